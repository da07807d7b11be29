package org.simsync.bridge.gp;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.simsync.bridge.BridgeException;
import org.simsync.bridge.Chip;

/** INSTALL, LOAD, DELETE, SET STATUS of applications; each refusal. */
class ContentTest {
    private static final String NEIGHBOUR = "F04E45494748424F5552";
    private static final String NEIGHBOUR_PACKAGE = "F04E45494748424F55";
    private static final String ISD = "A000000151000000";

    private static Host open(String... settings) throws BridgeException {
        return new Host(settings).open(3);
    }

    private static Host loaded() throws BridgeException {
        Host host = open();
        assertEquals(0x9000, host.announce(Host.PACKAGE));
        assertEquals(0x9000, host.load(Host.loadFile(), 200));
        return host;
    }

    private static byte[] block(String hex) {
        return Host.hex(hex);
    }

    // INSTALL [for load].

    @Test
    void announcingAnswersNoReceipt() throws BridgeException {
        assertEquals("009000", Host.text(open().secured(0xE6, 2, 0, Host.hex(Host.lv(Host.PACKAGE) + Host.lv(ISD)
                + "00" + Host.lv("EF04C6020100") + "00"))));
    }

    @ParameterizedTest
    @CsvSource({
        "0412345678 00 00 00 00, 6A80", // no AID
        "11F0534D53594E430102030405060708090A 00 00 00 00, 6A80",
        "08F053494D53594E43, 6A80", // fields missing
        "08F053494D53594E43 00 00 00, 6A80",
        "08F053494D53594E43 00 00 00 00 00, 6A80", // one too many
        "08F053494D53594E43 00 00 00 0112, 6A80", // a token
        "08F053494D53594E43 08A000000151000001 00 00 00, 6A88", // another domain
        "08F053494D53594E43 00 03112233 00 00, 6A80", // a hash of no length
        "08F053494D53594E43 00 00 03EF0412 00, 6A80", // parameters that do not add up
        "08F053494D53594E43 00 00 05EF03C60101 00, 6A80", // a quota of one byte
        "08F053494D53594E43 00 00 07EF05C603FFFFFF 00, 6A84",
        "07A0000000620101 00 00 00 00, 6985", // in the mask
        "08A000000151000000 00 00 00 00, 6985",
        "0AF04E45494748424F5552 00 00 00 00, 6985"})
    void announcingRefuses(String data, String status) throws BridgeException {
        Host host = open();
        assertEquals(status, String.format("%04X", host.securedSw(0xE6, 2, 0, data.replace(" ", ""))));
        assertEquals(0x6985, Host.sw(host.secured(0xE8, 0, 0, block("C40100"))), "nothing is awaited");
    }

    @Test
    void otherKindsOfInstallAreRefused() throws BridgeException {
        Host host = open();
        for (int p1 : new int[] {0x00, 0x10, 0x20, 0x40, 0x0E, 0x82}) {
            assertEquals(0x6A86, host.securedSw(0xE6, p1, 0, "00"));
        }
        assertEquals(0x6A86, host.securedSw(0xE6, 2, 1, Host.lv(Host.PACKAGE) + "00000000"));
    }

    @Test
    void whatIsLoadedIsNotLoadedAgain() throws BridgeException {
        assertEquals(0x6985, loaded().announce(Host.PACKAGE));
    }

    // LOAD.

    @ParameterizedTest
    @ValueSource(ints = {60, 127, 200, 239})
    void loadInBlocksOfAnySize(int size) throws BridgeException {
        Host host = open();
        assertEquals(0x9000, host.announce(Host.PACKAGE));
        assertEquals(0x9000, host.load(Host.loadFile(), size));
    }

    @Test
    void descriptorMayBeLoaded() throws BridgeException {
        Host host = open();
        assertEquals(0x9000, host.announce(Host.PACKAGE));
        assertEquals(0x9000, host.load(Tlv.join(Host.components().values().toArray(new byte[0][])), 200));
    }

    @Test
    void theHashIsCompared() throws BridgeException, GeneralSecurityException {
        for (String algorithm : new String[] {"SHA-1", "SHA-256"}) {
            byte[] hash = MessageDigest.getInstance(algorithm).digest(Host.loadFile());
            Host host = open();
            assertEquals(0x9000, host.securedSw(0xE6, 2, 0, Host.lv(Host.PACKAGE) + "00" + Host.lv(Host.text(hash)) + "0000"));
            assertEquals(0x9000, host.load(Host.loadFile(), 200));
            hash[0] ^= 1;
            host = open();
            assertEquals(0x9000, host.securedSw(0xE6, 2, 0, Host.lv(Host.PACKAGE) + "00" + Host.lv(Host.text(hash)) + "0000"));
            assertEquals(0x6A80, host.load(Host.loadFile(), 200));
            assertEquals(0x6A88, host.install(0x0C, Host.secretParameter()), "nothing was loaded");
        }
    }

    @Test
    void loadNeedsToBeAnnouncedAndUninterrupted() throws BridgeException {
        Host host = open();
        byte[] first = Arrays.copyOf(Tlv.of(0xC4, Host.loadFile()), 200);
        assertEquals(0x6985, Host.sw(host.secured(0xE8, 0, 0, first)));
        assertEquals(0x9000, host.announce(Host.PACKAGE));
        assertEquals(0x9000, Host.sw(host.secured(0xE8, 0, 0, first)));
        assertEquals(0x9000, Host.sw(host.secured(0xF2, 0x80, 2, Host.hex("4F00"))));
        assertEquals(0x6985, Host.sw(host.secured(0xE8, 0, 1, first)), "another command came in between");
        assertEquals(0x9000, host.announce(Host.PACKAGE));
        assertEquals(0x9000, Host.sw(host.secured(0xE8, 0, 0, first)));
        host.card.apply(null);
        host.open(3);
        assertEquals(0x6985, Host.sw(host.secured(0xE8, 0, 1, first)), "power");
        host.installAll();
    }

    @Test
    void blocksComeInOrder() throws BridgeException {
        for (int[] wrong : new int[][] {{0, 0}, {0, 2}, {1, 1}, {0x40, 1}, {0x80, 0}}) {
            Host host = open();
            assertEquals(0x9000, host.announce(Host.PACKAGE));
            assertEquals(0x9000, Host.sw(host.secured(0xE8, 0, 0, block("C482"))));
            assertEquals(0x6A86, Host.sw(host.secured(0xE8, wrong[0], wrong[1], block("0000"))));
            assertEquals(0x6985, Host.sw(host.secured(0xE8, 0, 1, block("0000"))), "the load is over");
        }
        Host host = open();
        assertEquals(0x9000, host.announce(Host.PACKAGE));
        assertEquals(0x6700, Host.sw(host.secured(0xE8, 0, 0, new byte[0])));
    }

    @ParameterizedTest
    @ValueSource(strings = {"C4", "C482", "C40201", "C4020102FF", "C4850000000001", "C40100", "E2040102C400", "DECAFFED"})
    void whatIsNoLoadFileIsRefused(String data) throws BridgeException {
        Host host = open();
        assertEquals(0x9000, host.announce(Host.PACKAGE));
        assertEquals(0x6A80, Host.sw(host.secured(0xE8, 0x80, 0, Host.hex(data))));
    }

    @Test
    void anotherPackagesNameIsRefused() throws BridgeException {
        Host host = open();
        assertEquals(0x9000, host.announce("F053494D53594E44"));
        assertEquals(0x6A80, host.load(Host.loadFile(), 200));
    }

    @Test
    void memoryRunsOut() throws BridgeException {
        int size = Host.loadFile().length;
        Host host = open("memory=" + (size - 1));
        assertEquals(0x9000, host.announce(Host.PACKAGE));
        assertEquals(0x6A84, host.load(Host.loadFile(), 200));
        assertEquals(0x6985, Host.sw(host.secured(0xE8, 0, 1, block("00"))), "the load is over");
        host = open("memory=" + (size + Content.INSTANCE_SIZE - 1));
        assertEquals(0x9000, host.announce(Host.PACKAGE));
        assertEquals(0x9000, host.load(Host.loadFile(), 200));
        assertEquals(0x6A84, host.install(0x0C, Host.secretParameter()));
        open("memory=" + (size + Content.INSTANCE_SIZE + 16)).installAll();
        assertEquals(0x6A84, loaded().install(0x0C, Host.secretParameter() + "EF06C80400FFFFFF"));
        assertEquals(0x9000, loaded().install(0x0C, Host.secretParameter() + "EF04C8021000"));
    }

    @ParameterizedTest
    @CsvSource({"2.1.1,6438", "2.2.1,6438", "2.2.2,6438", "3.0.1,6438", "3.0.4,9000", "3.0.5,9000", "3.1.0,9000"})
    void anOlderCardWantsAnOlderFile(String api, String status) throws BridgeException {
        Host host = open("api=" + api);
        assertEquals(0x9000, host.announce(Host.PACKAGE));
        assertEquals(status, String.format("%04X", host.load(Host.loadFile(), 200)));
    }

    // INSTALL [for install].

    @ParameterizedTest
    @CsvSource({
        "08F053494D53594E44 09F053494D53594E4301 09F053494D53594E4301 0100 12%s 00, 6A88", // no such load file
        "08F053494D53594E43 09F053494D53594E4302 09F053494D53594E4301 0100 12%s 00, 6A88", // no such module
        "08F053494D53594E43 04F0534900 09F053494D53594E4301 0100 12%s 00, 6A80",
        "08F053494D53594E43 09F053494D53594E4301 04F0534900 0100 12%s 00, 6A80",
        "08F053494D53594E43 09F053494D53594E4301 09F053494D53594E4301 00 12%s 00, 6A80", // no privileges at all
        "08F053494D53594E43 09F053494D53594E4301 09F053494D53594E4301 0104 12%s 00, 6A80", // one that is not given away
        "08F053494D53594E43 09F053494D53594E4301 09F053494D53594E4301 020000 12%s 00, 6A80",
        "08F053494D53594E43 09F053494D53594E4301 09F053494D53594E4301 0100 00 00, 6A80", // without C9
        "08F053494D53594E43 09F053494D53594E4301 09F053494D53594E4301 0100 02C900 00, 6A80", // the applet's word
        "08F053494D53594E43 09F053494D53594E4301 09F053494D53594E4301 0100 04C9020102 00, 6A80",
        "08F053494D53594E43 09F053494D53594E4301 09F053494D53594E4301 0100 03C91000 00, 6A80",
        "08F053494D53594E43 09F053494D53594E4301 09F053494D53594E4301 0100 12%s 0155, 6A80", // a token
        "08F053494D53594E43 09F053494D53594E4301 09F053494D53594E4301 0100 12%s, 6A80",
        "08F053494D53594E43 09F053494D53594E4301 08F053494D53594E43 0100 12%s 00, 6985", // the load file's name
        "08F053494D53594E43 09F053494D53594E4301 0AF04E45494748424F5552 0100 12%s 00, 6985"})
    void installingRefuses(String data, String status) throws BridgeException {
        Host host = loaded();
        String filled = String.format(data.replace(" ", ""), Host.secretParameter());
        assertEquals(status, String.format("%04X", host.securedSw(0xE6, 0x0C, 0, filled)));
        assertEquals(0x9000, host.install(0x0C, Host.secretParameter()), "nothing was left of it");
    }

    @Test
    void oneInstanceOfAName() throws BridgeException {
        Host host = open().installAll();
        assertEquals(0x6985, host.install(0x0C, Host.secretParameter()));
        assertEquals(0x9000, host.securedSw(0xE6, 0x0C, 0, Host.lv(Host.PACKAGE) + Host.lv(Host.APPLET)
                + Host.lv(Host.APPLET + "02") + "03000000" + Host.lv(Host.secretParameter()) + "00"), "another name");
        assertEquals(1, host.select(Host.APPLET + "02")[2]);
        assertEquals(1, host.select(Host.APPLET)[2]);
    }

    @Test
    void withoutNamesOfLoadFileAndInstance() throws BridgeException {
        Host host = loaded();
        assertEquals(0x9000, host.securedSw(0xE6, 0x0C, 0,
                "00" + Host.lv(Host.APPLET) + "000100" + Host.lv(Host.secretParameter()) + "00"));
        assertEquals(1, host.select(Host.APPLET)[2]);
    }

    @Test
    void installThenMakeSelectable() throws BridgeException {
        Host host = loaded();
        String selectable = "0000" + Host.lv(Host.APPLET) + "01000000";
        assertEquals(0x6A88, host.securedSw(0xE6, 0x08, 0, selectable), "not there yet");
        assertEquals(0x9000, host.install(0x04, Host.secretParameter()));
        assertEquals(0x6A80, host.securedSw(0xE6, 0x08, 0, "0100" + selectable), "a load file's name");
        assertEquals(0x6A80, host.securedSw(0xE6, 0x08, 0, "0000" + Host.lv(Host.APPLET) + "01040000"), "a privilege");
        assertEquals(0x6A80, host.securedSw(0xE6, 0x08, 0, "0000" + Host.lv(Host.APPLET) + "0100"));
        assertEquals(0x6A82, Host.sw(host.select(Host.APPLET)), "installed is not selectable");
        host.select("");
        host.open(3);
        assertEquals(0x9000, host.securedSw(0xE6, 0x08, 0, selectable));
        assertEquals(0x6985, host.securedSw(0xE6, 0x08, 0, selectable), "it is already");
        assertEquals(1, host.select(Host.APPLET)[2]);
    }

    // DELETE.

    @ParameterizedTest
    @CsvSource({"4F05A000000099,6A88", "4F08A000000151000000,6985", "4F07A0000000620101,6985", "4F09F04E45494748424F55,6985",
        "4F0412345678,6A80", "'',6A80", "5F05A000000099,6A80", "4F09A0,6A80", "4F,6A80"})
    void deletingRefuses(String data, String status) throws BridgeException {
        assertEquals(status, String.format("%04X", open().securedSw(0xE4, 0, 0, data)));
    }

    @Test
    void deleteHasItsParameters() throws BridgeException {
        Host host = open();
        assertEquals(0x6A86, host.securedSw(0xE4, 1, 0, "4F05A000000099"));
        assertEquals(0x6A86, host.securedSw(0xE4, 0, 1, "4F05A000000099"));
    }

    @Test
    void packagesGoAfterTheirInstancesOrWithThem() throws BridgeException {
        Host host = open().installAll();
        assertEquals(0x6985, host.securedSw(0xE4, 0, 0, "4F" + Host.lv(Host.PACKAGE)));
        assertArrayEquals(Host.hex("009000"), host.secured(0xE4, 0, 0, Host.hex("4F" + Host.lv(Host.APPLET))));
        assertEquals(0x6A88, host.securedSw(0xE4, 0, 0, "4F" + Host.lv(Host.APPLET)));
        assertEquals(0x9000, host.securedSw(0xE4, 0, 0, "4F" + Host.lv(Host.PACKAGE)));
        assertEquals(0x6A88, host.securedSw(0xE4, 0, 0, "4F" + Host.lv(Host.PACKAGE)));
        host.installAll();
        assertEquals(0x9000, host.securedSw(0xE4, 0, 0x80, "4F" + Host.lv(Host.PACKAGE)));
        assertEquals(0x6A82, Host.sw(host.select(Host.APPLET)));
        assertEquals(0x9000, Host.sw(host.select(NEIGHBOUR)), "nothing else went");
    }

    /** Not only from the registry, which SELECT asks first. */
    @Test
    void whatIsDeletedIsGoneFromTheChip() throws Refusal {
        Chip chip = new Chip();
        Content content = new Content(new Registry(100_000, Registry.OP_READY), chip, JavaCardVersion.of("3.0.4"));
        content.install(new Command(0x80, 0xE6, 0x02, 0, Host.hex(Host.lv(Host.PACKAGE) + "00000000")));
        content.load(new Command(0x80, 0xE8, 0x80, 0, Tlv.of(0xC4, Host.loadFile())));
        content.install(new Command(0x80, 0xE6, 0x0C, 0, Host.hex(Host.lv(Host.PACKAGE) + Host.lv(Host.APPLET)
                + Host.lv(Host.APPLET) + "0100" + Host.lv(Host.secretParameter()) + "00")));
        byte[] select = Host.hex("00A40400" + Host.lv(Host.APPLET) + "00");
        assertEquals(0x9000, Host.sw(chip.transmit(select)));
        content.delete(new Command(0x80, 0xE4, 0, 0, Host.hex("4F" + Host.lv(Host.APPLET))));
        chip.reset();
        assertEquals(0x6999, Host.sw(chip.transmit(select)), "the simulator's word for nobody");
    }

    @Test
    void theNeighbourCanGoAndComeBack() throws BridgeException {
        Host host = open();
        assertEquals(0x9000, host.securedSw(0xE4, 0, 0, "4F" + Host.lv(NEIGHBOUR)));
        assertEquals(0x6A82, Host.sw(host.select(NEIGHBOUR)));
        assertEquals(0x9000, host.securedSw(0xE6, 0x0C, 0,
                Host.lv(NEIGHBOUR_PACKAGE) + Host.lv(NEIGHBOUR) + "00" + "0100" + "02C900" + "00"));
        assertEquals(0x9000, Host.sw(host.select(NEIGHBOUR)));
    }

    // SET STATUS.

    @Test
    void applicationsAreLockedAndUnlocked() throws BridgeException {
        Host host = open().installAll();
        assertEquals(0x9000, host.securedSw(0xF0, 0x40, 0x80, Host.APPLET));
        assertEquals(0x6A82, Host.sw(host.select(Host.APPLET)));
        host.select("");
        host.open(3);
        assertEquals("9F700187", Host.text(host.secured(0xF2, 0x40, 2, Host.hex("4F" + Host.lv(Host.APPLET)))).substring(26, 34));
        assertEquals(0x9000, host.securedSw(0xF0, 0x40, 0x07, Host.APPLET));
        assertEquals(1, host.select(Host.APPLET)[2]);
    }

    @Test
    void f_f4_anApplicationIsNotLedToTheStateThatItIsIn() throws BridgeException {
        Host host = open().installAll();
        assertEquals(0x6985, host.securedSw(0xF0, 0x40, 0x07, Host.APPLET), "not locked");
        assertEquals(0x9000, host.securedSw(0xF0, 0x40, 0x80, Host.APPLET));
        assertEquals(0x6985, host.securedSw(0xF0, 0x40, 0x80, Host.APPLET), "locked already");
        assertEquals(0x6985, host.securedSw(0xF0, 0x40, 0x87, Host.APPLET), "the lock is all that counts");
        assertEquals(0x9000, host.securedSw(0xF0, 0x40, 0x00, Host.APPLET));
        assertEquals(1, host.select(Host.APPLET)[2]);
    }

    @Test
    void setStatusRefuses() throws BridgeException {
        Host host = open();
        assertEquals(0x6A88, host.securedSw(0xF0, 0x40, 0x80, Host.APPLET));
        assertEquals(0x6A80, host.securedSw(0xF0, 0x40, 0x80, "1234"));
        assertEquals(0x6A86, host.securedSw(0xF0, 0x60, 0x80, Host.APPLET));
        assertEquals(0x6A86, host.securedSw(0xF0, 0x00, 0x80, Host.APPLET));
    }
}
