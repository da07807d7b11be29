package org.simsync.bridge.gp;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.security.SecureRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.simsync.bridge.BridgeException;
import org.simsync.bridge.Chip;

/** Selection, GET DATA, sessions and their end, the card's life cycle; each refusal. */
class IsdTest {
    private static final String NEIGHBOUR = "F04E45494748424F5552";
    private static final String FCI = "6F108408A000000151000000A5049F6501FF";
    private static final String GET_STATUS = "80F28002024F00";
    private static final byte[] ALL = Host.hex("4F00");
    private static final byte[] WRONG_KEY = Host.hex("00".repeat(16));

    @Test
    void theDomainIsSelectedByItselfAndByItsNames() throws BridgeException {
        Host host = new Host();
        assertEquals(0x9000, host.swOf("80CA006600"), "after power-up");
        for (String name : new String[] {"", "A000000151000000", "A0000001510000", "A000000151"}) {
            assertEquals(FCI + "9000", Host.text(host.select(name)), name);
        }
        assertEquals(0x9000, Host.sw(host.select(NEIGHBOUR)));
        assertEquals(0x6D00, host.swOf("80CA006600"), "the neighbour's word");
        host.card.apply(null);
        assertEquals(0x9000, host.swOf("80CA006600"), "after a reset");
    }

    @ParameterizedTest
    @ValueSource(strings = {"A000000151000001", "A00000000300000000", "A0000001", "A00000015100000000", "F0534D53594E4301"})
    void aNameThatIsNotThereIsNotFoundAndChangesNothing(String name) throws BridgeException {
        Host host = new Host().open(1);
        assertEquals(0x6A82, Host.sw(host.select(name)));
        assertEquals(0x9000, Host.sw(host.secured(0xF2, 0x80, 2, ALL)), "the session goes on");
    }

    @Test
    void selectingTheDomainDeselectsTheApplet() throws BridgeException {
        Chip chip = new Chip();
        GpCard card = new GpCard(Settings.parse(), chip, new SecureRandom());
        byte[] verify = Host.hex("00200081" + "0100");
        assertEquals(0x9000, Host.sw(card.apply(Host.hex("00A40400" + Host.lv(NEIGHBOUR)))));
        assertEquals(0x63C2, Host.sw(chip.transmit(verify)), "the neighbour counts");
        assertEquals(0x9000, Host.sw(card.apply(Host.hex("00A4040000"))));
        assertEquals("9000", Host.text(chip.transmit(verify)), "the domain's stand-in does nothing");
    }

    @Test
    void selectInOtherWaysIsRefused() throws BridgeException {
        Host host = new Host();
        assertEquals(0x6A86, host.swOf("00A4000002" + "3F00"));
        assertEquals(0x6A82, host.swOf("00A4040208A000000151000000"), "the next occurrence");
        assertEquals(0x6A86, host.swOf("00A4040108A000000151000000"), "the last occurrence");
        assertEquals(0x6700, host.swOf("00A4040009A000000151000000"));
    }

    /** The structure is GlobalPlatformPro's reading of real cards; the OIDs are those of GPCS, appendix H. */
    @Test
    void getData() throws BridgeException {
        Host host = new Host("kdd=00112233445566778899", "kvn=30", "memory=50000");
        assertEquals("6631732F06072A864886FC6B01600C060A2A864886FC6B02020301630906072A864886FC6B03640B06092A864886FC6B040370",
                Host.text(host.ok("80CA006600")));
        assertEquals("E012C00401308810C00402308810C00403308810", Host.text(host.ok("80CA00E000")));
        assertEquals("C103000000", Host.text(host.ok("80CA00C100")));
        assertEquals("4203F0534D", Host.text(host.ok("80CA004200")));
        assertEquals("450A00112233445566778899", Host.text(host.ok("80CA004500")));
        assertEquals("9F7F2A" + "00".repeat(12) + "00112233" + "00".repeat(26), Host.text(host.ok("80CA9F7F00")));
        assertEquals("610C4F0A" + NEIGHBOUR, Host.text(host.ok("80CA2F0000")));
        assertEquals("FF210E8102000182040000C35083021000", Host.text(host.ok("80CAFF2100")));
        for (String tag : new String[] {"0000", "0067", "9F70", "00CF", "FFFF"}) {
            assertEquals(0x6A88, host.swOf("80CA" + tag + "00"), tag);
        }
        assertEquals("0215", Host.text(new Host("scp=02").ok("80CA006600")).replaceAll(".*(....)$", "$1"));
        assertEquals("E012C00401FF8010C00402FF8010C00403FF8010", Host.text(new Host("scp=02").ok("80CA00E000")));
        assertEquals("C1020000", Host.text(new Host("scp=02").ok("80CA00C100")));
    }

    /** 2F00 is the name of a file, and no tag. */
    @Test
    void f_f4_theListOfApplicationsComesBare() throws BridgeException {
        Host host = new Host().open(3).installAll();
        String list = "610C4F0A" + NEIGHBOUR + "610B4F09" + Host.APPLET.replace(" ", "");
        assertEquals(list, Host.text(host.ok("80CA2F0000")));
        assertEquals(list, Host.text(host.ok("00CA2F0000")));
    }

    /** GPCS 11.3.3.1. */
    @ParameterizedTest
    @ValueSource(strings = {"0066", "00E0", "00C1", "00C2", "0042", "0045", "9F7F", "FF21"})
    void f_f4_classZeroGetsTheValueOnly(String tag) throws BridgeException, Refusal {
        Host host = new Host();
        byte[] value = Tlv.parse(host.ok("80CA" + tag + "00")).get(0).value();
        assertEquals(Host.text(value), Host.text(host.ok("00CA" + tag + "00")));
    }

    /** It counts receipts (GPCS, table 11-26), of which there are none. */
    @Test
    void f_f4_theConfirmationCounterIsTold() throws BridgeException {
        assertEquals("C2020000", Host.text(new Host().ok("80CA00C200")));
    }

    @Test
    void f_f4_theNextOccurrenceIsSelected() throws BridgeException {
        Host host = new Host().open(3).installAll();
        String both = "00A40402" + Host.lv("F0");
        assertEquals(0x6A82, host.swOf(both), "a name has 5 bytes at least");
        assertEquals(0x6A82, host.swOf("00A40402" + Host.lv("A000000151")), "the domain is the only one");
        assertEquals(0x9000, Host.sw(host.secured(0xF2, 0x80, 2, ALL)), "which stays as it was");
        assertEquals(0x9000, host.swOf("00A40402" + Host.lv("F053494D53")), "ours is behind the domain");
        assertEquals(0x6985, host.swOf("8020000000"), "ours answers");
        assertEquals(0x6A82, host.swOf("00A40402" + Host.lv("F053494D53")), "no further one");
        assertEquals(0x6985, host.swOf("8020000000"), "ours stays");
        assertEquals(0x6A82, host.swOf("00A40402" + Host.lv("F04E454947")), "the neighbour stands before ours");
        host.card.apply(null);
        assertEquals(0x9000, host.swOf("00A40402" + Host.lv("F04E454947")));
        assertEquals(0x6D00, host.swOf("80CA006600"), "the neighbour's word");
    }

    /** GPCS 11.9.3.2: the function is not there on a locked card. */
    @Test
    void f_f4_aLockedCardSelectsNothingButItsDomain() throws BridgeException {
        Host host = new Host("state=CARD_LOCKED");
        for (String name : new String[] {NEIGHBOUR, Host.APPLET, "A000000003000000"}) {
            assertEquals(0x6A81, Host.sw(host.select(name)), name);
            assertEquals(0x6A81, host.swOf("00A40402" + Host.lv(name)), "next " + name);
        }
        assertEquals(0x6A81, host.swOf("00A40402" + Host.lv("A000000151000000")));
        assertEquals(0x6283, Host.sw(host.select("A000000151000000")));
        assertEquals(0x6283, Host.sw(host.select("")));
    }

    @Test
    void f_f4_selectKnowsNoSecureMessaging() throws BridgeException {
        assertEquals(0x6882, new Host().swOf("04A4040000"));
    }

    /** GPCS 5.1 and 5.3: a step leads to another state. */
    @Test
    void f_f4_theCardIsNotLedToTheStateThatItIsIn() throws BridgeException {
        Host host = new Host("state=SECURED").open(1);
        assertEquals(0x6985, host.securedSw(0xF0, 0x80, 0x0F, ""));
        assertEquals(0x9000, host.securedSw(0xF0, 0x80, 0x7F, ""));
        assertEquals(0x6985, host.securedSw(0xF0, 0x80, 0x7F, ""));
    }

    @Test
    void memoryIsTakenAndGivenBack() throws BridgeException {
        Host host = new Host("memory=50000").open(3).installAll();
        int left = 50_000 - Host.loadFile().length - Content.INSTANCE_SIZE;
        assertEquals(String.format("8204%08X", left), Host.text(host.ok("80CAFF2100")).substring(14, 26));
        assertEquals(0x9000, host.securedSw(0xE4, 0, 0x80, "4F" + Host.lv(Host.PACKAGE)));
        assertEquals("82040000C350", Host.text(host.ok("80CAFF2100")).substring(14, 26));
    }

    @Test
    void classesAndInstructions() throws BridgeException {
        Host host = new Host();
        assertEquals(0x6D00, host.swOf("8000000000"));
        assertEquals(0x6D00, host.swOf("00B0000000"));
        assertEquals(0x6D00, host.swOf("80E2000000"), "STORE DATA");
        assertEquals(0x6E00, host.swOf("A0A4000002" + "3F00"));
        assertEquals(0x6E00, host.swOf("00F28002024F00"));
        assertEquals(0x6E00, host.swOf("10CA006600"));
        assertEquals(0x6E00, host.swOf("FFCA006600"));
        assertEquals(0x6E00, host.swOf("80820000" + "10" + "00".repeat(16)));
        assertEquals(0x6E00, host.swOf("8450000008" + "00".repeat(8)));
        assertEquals(0x6881, host.swOf("81CA006600"));
        assertEquals(0x6881, host.swOf("01A4040000"));
        assertEquals(0x6881, host.swOf("C0CA006600"));
        assertEquals(0x6700, host.swOf("80CA00"));
        assertEquals(0x6700, host.swOf("80CA006602AA"));
        assertEquals(0x6700, host.swOf("80CA0066000002AABB"), "extended");
        assertEquals(0x6700, host.swOf(""));
    }

    @ParameterizedTest
    @ValueSource(strings = {GET_STATUS, "80E60200020000", "80E80000" + "0100", "80E40000" + "024F00", "80F0800107",
        "80D80081" + "0100", "84F280020A4F000000000000000000"})
    void managementNeedsASession(String apdu) throws BridgeException {
        assertEquals(0x6982, new Host().swOf(apdu));
    }

    @Test
    void initializeUpdateRefuses() throws BridgeException {
        Host host = new Host("kvn=30");
        assertEquals(0x6A88, host.swOf("8050310008" + "00".repeat(8)), "no such version");
        assertEquals(0x6A86, host.swOf("8050000108" + "00".repeat(8)));
        assertEquals(0x6700, host.swOf("8050000007" + "00".repeat(7)));
        assertEquals(0x6700, host.swOf("8050000010" + "00".repeat(16)));
        assertEquals(0x6700, host.swOf("80500000"));
        assertEquals(0x9000, host.swOf("8050300008" + "00".repeat(8)));
        assertEquals(0x9000, host.swOf("8050000008" + "00".repeat(8) + "00"), "whichever is the first");
    }

    @ParameterizedTest
    @CsvSource({"scp=03,32", "i=60,29", "i=00,29", "scp=02,28"})
    void initializeUpdateAnswers(String settings, int length) throws BridgeException {
        Host host = new Host(settings, "kdd=00112233445566778899", "kvn=0A");
        byte[] one = host.ok("8050000008" + "00".repeat(8));
        byte[] other = host.ok("8050000008" + "00".repeat(8));
        assertEquals(length, one.length);
        assertEquals("001122334455667788990A0" + settings.replaceAll("i=.*", "3").replaceAll("scp=0", ""),
                Host.text(one).substring(0, 24));
        if (!settings.equals("scp=02")) {
            assertEquals(settings.startsWith("i=") ? settings.substring(2) : "70", Host.text(one).substring(24, 26));
        }
        assertNotEquals(Host.text(one), Host.text(other), "a new challenge");
        assertNotEquals(Host.text(new Host(settings).ok("8050000008" + "00".repeat(8))).substring(0, 20),
                Host.text(new Host(settings).ok("8050000008" + "00".repeat(8))).substring(0, 20), "cards differ");
    }

    @Test
    void countersOutlivePower() throws BridgeException {
        Host host = new Host();
        host.open(1);
        host.card.apply(null);
        host.open(1);
        assertEquals("C103000002", Host.text(host.ok("80CA00C100")), "SCP03 counts beginnings");
        host.ok("8050000008" + "00".repeat(8));
        assertEquals("C103000003", Host.text(host.ok("80CA00C100")));
        host = new Host("i=60");
        host.open(1);
        assertEquals("C103000000", Host.text(host.ok("80CA00C100")), "random challenges count nothing");
        host = new Host("scp=02", "i=55");
        String first = Host.text(Host.data(host.initializeUpdate(0, WRONG_KEY, WRONG_KEY, WRONG_KEY)));
        assertEquals(first, Host.text(Host.data(host.open(1).initializeUpdate(0, WRONG_KEY, WRONG_KEY, WRONG_KEY)))
                .replaceAll("^(.{24})0001.*", "$1") + first.substring(24), "SCP02 counts sessions");
        host.card.apply(null);
        assertEquals("C1020001", Host.text(host.ok("80CA00C100")));
    }

    @Test
    void externalAuthenticateRefuses() throws BridgeException {
        Host host = new Host();
        assertEquals(0x6985, host.swOf("8482010010" + "00".repeat(16)), "nothing was begun");
        host.initializeUpdate(0, Host.TEST_KEY, Host.TEST_KEY, Host.TEST_KEY);
        host.ok("80CA006600");
        assertEquals(0x6985, host.authenticate(1), "another command came in between");
        host.initializeUpdate(0, Host.TEST_KEY, Host.TEST_KEY, Host.TEST_KEY);
        assertEquals(0x6700, host.swOf("8482010008" + "00".repeat(8)));
        host.initializeUpdate(0, Host.TEST_KEY, Host.TEST_KEY, Host.TEST_KEY);
        assertEquals(0x6A86, host.swOf("8482010110" + "00".repeat(16)));
        host.initializeUpdate(0, WRONG_KEY, WRONG_KEY, WRONG_KEY);
        assertEquals(0x6300, host.authenticate(1), "wrong keys");
        host.initializeUpdate(0, Host.TEST_KEY, Host.TEST_KEY, Host.TEST_KEY);
        byte[] command = host.session.externalAuthenticate(1);
        command[20] ^= 1;
        assertEquals(0x6982, Host.sw(host.card.apply(command)), "wrong MAC");
        assertEquals(0x6982, host.swOf(GET_STATUS), "none of these opened anything");
    }

    @ParameterizedTest
    @CsvSource({"i=70,00 01 03 11 13 33,02 10 12 21 23 30 31 80", "i=30,00 01 03 11 13,33", "i=20,00 01 03 11 13,33",
        "i=10,00 01 03,11 13 33", "scp=02,00 01 03,11 13 33 10"})
    void levelsAsTheVariantHasThem(String settings, String taken, String refused) throws BridgeException {
        for (String level : taken.split(" ")) {
            Host host = new Host(settings).open(Integer.parseInt(level, 16));
            assertEquals(0x9000, Host.sw(host.secured(0xF2, 0x80, 2, ALL)), level);
        }
        for (String level : refused.split(" ")) {
            Host host = new Host(settings);
            host.initializeUpdate(0, Host.TEST_KEY, Host.TEST_KEY, Host.TEST_KEY);
            assertEquals(0x6A86, host.authenticate(Integer.parseInt(level, 16)), level);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"scp=03", "scp=02"})
    void triesRunOutAndComeBack(String settings) throws BridgeException {
        Host host = new Host(settings, "tries=2");
        host.initializeUpdate(0, WRONG_KEY, WRONG_KEY, WRONG_KEY);
        assertEquals(0x6300, host.authenticate(1));
        host.card.apply(null);
        host.open(1);
        host.initializeUpdate(0, WRONG_KEY, WRONG_KEY, WRONG_KEY);
        assertEquals(0x6300, host.authenticate(1), "the right one gave the tries back");
        host.initializeUpdate(0, Host.TEST_KEY, Host.TEST_KEY, Host.TEST_KEY);
        byte[] command = host.session.externalAuthenticate(1);
        command[20] ^= 1;
        assertEquals(0x6982, Host.sw(host.card.apply(command)), "a wrong MAC costs a try as well");
        host.card.apply(null);
        assertEquals(0x6983, host.swOf("8050000008" + "00".repeat(8)), "blocked, power or not");
        assertEquals(0x6983, host.swOf("8482010010" + "00".repeat(16)));
        assertEquals(0x9000, host.swOf("80CA006600"));
    }

    @Test
    void askingSpendsNoTry() throws BridgeException {
        Host host = new Host("tries=1");
        for (int i = 0; i < 5; i++) {
            host.initializeUpdate(0, WRONG_KEY, WRONG_KEY, WRONG_KEY);
            assertEquals(0x6A86, host.swOf("8482020010" + "00".repeat(16)));
        }
        host.open(1);
    }

    @ParameterizedTest
    @ValueSource(strings = {"reset", "neighbour", "domain", "mac", "short", "bare", "again"})
    void aSessionEnds(String how) throws BridgeException {
        Host host = new Host().open(3);
        byte[] wrapped = host.session.wrap(0xF2, 0x80, 2, ALL);
        switch (how) {
            case "reset" -> host.card.apply(null);
            case "neighbour" -> {
                host.select(NEIGHBOUR);
                host.select("");
            }
            case "domain" -> host.select("");
            case "mac" -> {
                byte[] touched = wrapped.clone();
                touched[touched.length - 1] ^= 1;
                assertEquals(0x6982, Host.sw(host.card.apply(touched)));
            }
            case "short" -> assertEquals(0x6982, host.swOf("84F28002024F00"), "no room for a MAC");
            case "bare" -> assertEquals(0x6982, host.swOf(GET_STATUS), "without the protection that was agreed");
            default -> host.ok("8050000008" + "00".repeat(8));
        }
        assertEquals(0x6982, Host.sw(host.card.apply(wrapped)));
        assertEquals(0x6982, host.swOf(GET_STATUS));
    }

    @Test
    void aCommandIsTakenOnce() throws BridgeException {
        Host host = new Host().open(3);
        byte[] wrapped = host.session.wrap(0xF2, 0x80, 2, ALL);
        assertEquals(0x9000, Host.sw(host.card.apply(wrapped)));
        assertEquals(0x6982, Host.sw(host.card.apply(wrapped)), "replayed");
    }

    @Test
    void aRefusedCommandLeavesTheSession() throws BridgeException {
        Host host = new Host().open(0x33);
        assertEquals(0x6A88, host.securedSw(0xE4, 0, 0, "4F05A000000099"), "errors come bare");
        assertEquals(0x9000, Host.sw(host.secured(0xF2, 0x80, 2, ALL)));
        host.ok("80CA006600");
        assertEquals(0x9000, Host.sw(host.secured(0xF2, 0x80, 2, ALL)), "GET DATA may come bare");
        assertEquals("6A88", Host.text(host.secured(0xCA, 0x99, 0x99, new byte[0])));
    }

    @Test
    void aSessionWithoutProtection() throws BridgeException {
        Host host = new Host().open(0);
        assertEquals(0x9000, host.swOf(GET_STATUS));
        assertEquals(0x6882, host.swOf("84F280020A4F000000000000000000"));
    }

    @Test
    void badPaddingUnderARightMacIsRefused() throws BridgeException {
        for (String settings : new String[] {"scp=03", "scp=02"}) {
            for (int length : new int[] {16, 17}) {
                Host host = new Host(settings).open(3);
                byte[] sent = host.session.wrapAsIs(0xF2, 0x80, 2, new byte[length]);
                assertEquals(0x6982, Host.sw(host.card.apply(sent)), settings + ", " + length);
                assertEquals(0x6982, Host.sw(host.secured(0xF2, 0x80, 2, ALL)), "the session is over");
            }
        }
    }

    @Test
    void aLockedCard() throws BridgeException {
        Host host = new Host("state=SECURED").open(3).installAll();
        assertEquals(0x9000, host.securedSw(0xF0, 0x80, 0x7F, ""));
        assertEquals(0x9000, Host.sw(host.secured(0xF2, 0x80, 2, ALL)));
        assertEquals(0x6985, host.securedSw(0xE4, 0, 0, "4F" + Host.lv(Host.APPLET)));
        assertEquals(0x6985, host.announce("A000000099"));
        assertEquals(0x6A81, Host.sw(host.select(Host.APPLET)));
        assertEquals(0x6A81, Host.sw(host.select(NEIGHBOUR)));
        host.card.apply(null);
        assertEquals(FCI + "6283", Host.text(host.select("")));
        assertEquals(0x9000, host.swOf("80CA006600"));
        host.open(3);
        assertEquals(0x9000, host.securedSw(0xF0, 0x80, 0x0F, ""), "unlocked");
        assertEquals(0x9000, Host.sw(host.select(Host.APPLET)), "as it was");
    }

    @Test
    void aTerminatedCard() throws BridgeException {
        Host host = new Host().open(3);
        assertEquals(0x9000, host.securedSw(0xF0, 0x80, 0xFF, ""));
        host.card.apply(null);
        for (String apdu : new String[] {"00A4040000", "00A4040008A000000151000000", "8050000008" + "00".repeat(8), GET_STATUS,
            "8000000000", "00A404000A" + NEIGHBOUR}) {
            assertEquals(0x6985, host.swOf(apdu), apdu);
        }
        host.ok("80CA9F7F00");
        assertEquals(0x6985, new Host("state=TERMINATED").swOf("00A4040000"));
        assertEquals(0x6283, new Host("state=CARD_LOCKED").swOf("00A4040000"));
    }

    @Test
    void theCardsLifeGoesForward() throws BridgeException {
        Host host = new Host().open(1);
        assertEquals(0x6985, host.securedSw(0xF0, 0x80, 0x7F, ""), "only a secured card is locked");
        assertEquals(0x9000, host.securedSw(0xF0, 0x80, 0x07, ""));
        assertEquals(0x6985, host.securedSw(0xF0, 0x80, 0x07, ""));
        assertEquals(0x9000, host.securedSw(0xF0, 0x80, 0x0F, ""));
        assertEquals(0x6985, host.securedSw(0xF0, 0x80, 0x07, ""), "not back");
        assertEquals(0x6A80, host.securedSw(0xF0, 0x80, 0x01, ""));
        assertEquals(0x6A80, host.securedSw(0xF0, 0x80, 0x33, ""));
        assertEquals("0F", Host.text(host.secured(0xF2, 0x80, 0, ALL)).substring(18, 20));
    }
}
