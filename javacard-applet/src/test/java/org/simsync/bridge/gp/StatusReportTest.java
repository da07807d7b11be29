package org.simsync.bridge.gp;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.simsync.bridge.BridgeException;

/** GET STATUS in both formats, whole and in parts; each refusal. */
class StatusReportTest {
    private static final String DOMAIN_AID = "CC08A000000151000000";

    private static String ask(Host host, int p1, int p2, String data) {
        return Host.text(host.secured(0xF2, p1, p2, Host.hex(data)));
    }

    @Test
    void theDomain() throws BridgeException {
        Host host = new Host("state=SECURED").open(1);
        assertEquals("E3264F08A0000001510000009F70010FC5039EFE80C407A0000001515350" + DOMAIN_AID + "9000",
                ask(host, 0x80, 2, "4F00"));
        assertEquals("08A0000001510000000F9E9000", ask(host, 0x80, 0, "4F00"));
    }

    /** GPCS 11.4.2.1: there is one, and what to look for is ignored. What to tell of it is not. */
    @ParameterizedTest
    @ValueSource(strings = {"4F00", "", "4F05A000000099", "4F110102030405060708090A0B0C0D0E0F1011", "4F08A000000151000000"})
    void f_f4_theDomainIsToldWhateverIsLookedFor(String criteria) throws BridgeException {
        Host host = new Host().open(1);
        assertEquals(ask(host, 0x80, 2, "4F00"), ask(host, 0x80, 2, criteria));
        assertEquals("E30A4F08A0000001510000009000", ask(host, 0x80, 2, criteria + "5C014F"));
        assertEquals("08A0000001510000" + "00019E9000", ask(host, 0x80, 0, criteria));
    }

    @Test
    void applications() throws BridgeException {
        Host host = new Host().open(1);
        String neighbour = "E3" + "2A" + "4F0AF04E45494748424F5552" + "9F700107" + "C503000000" + "C409F04E45494748424F55"
                + DOMAIN_AID;
        assertEquals(neighbour + "9000", ask(host, 0x40, 2, "4F00"));
        assertEquals("6A88", ask(host, 0x40, 2, "4F" + Host.lv(Host.APPLET)));
        host.installAll();
        String ours = "E3" + "28" + "4F09F053494D53594E4301" + "9F700107" + "C503000000" + "C408F053494D53594E43" + DOMAIN_AID;
        assertEquals(neighbour + ours + "9000", ask(host, 0x40, 2, "4F00"));
        assertEquals(ours + "9000", ask(host, 0x40, 2, "4F" + Host.lv(Host.APPLET)));
        assertEquals(ours + "9000", ask(host, 0x40, 2, "4F02F053"), "by the first bytes");
        assertEquals("0AF04E45494748424F5552070009F053494D53594E430107009000", ask(host, 0x40, 0, "4F00"));
    }

    @Test
    void loadFilesWithAndWithoutModules() throws BridgeException {
        Host host = new Host().open(1).installAll();
        String name = "4F" + Host.lv(Host.PACKAGE);
        String plain = "4F08F053494D53594E43" + "9F700101" + "CE020101";
        assertEquals("E31C" + plain + DOMAIN_AID + "9000", ask(host, 0x20, 2, name));
        assertEquals("E327" + plain + "8409F053494D53594E4301" + DOMAIN_AID + "9000", ask(host, 0x10, 2, name));
        assertEquals("08F053494D53594E4301009000", ask(host, 0x20, 0, name));
        assertEquals("08F053494D53594E4301000109F053494D53594E43019000", ask(host, 0x10, 0, name));
        assertEquals("07A00000006201010100" + "009000", ask(host, 0x10, 0, "4F07A0000000620101"), "no modules");
        assertEquals("CE020105", ask(host, 0x20, 2, "4F07A0000000620101").substring(30, 38), "3.0.4 has 1.5");
    }

    @Test
    void tagListsChooseWhatIsTold() throws BridgeException {
        Host host = new Host().open(1);
        String name = "4F05F04E454947";
        assertEquals("E30C4F0AF04E45494748424F55529000", ask(host, 0x40, 2, name + "5C014F"));
        assertEquals("E3049F7001079000", ask(host, 0x40, 2, name + "5C029F70"));
        assertEquals("E3099F700107C5030000009000", ask(host, 0x40, 2, name + "5C03C59F70"));
        assertEquals("E3009000", ask(host, 0x40, 2, name + "5C01CE"), "does not apply");
        assertEquals("6A80", ask(host, 0x40, 2, name + "5C019F"), "half a tag");
    }

    @ParameterizedTest
    @ValueSource(ints = {0x01, 0x33})
    void whatDoesNotFitComesInParts(int level) throws BridgeException {
        Host host = new Host().open(level).installAll();
        byte[] first = host.secured(0xF2, 0x10, 2, Host.hex("4F00"));
        assertEquals(0x6310, Host.sw(first));
        byte[] second = host.secured(0xF2, 0x10, 3, Host.hex("4F00"));
        assertEquals(0x9000, Host.sw(second));
        List<Tlv> entries;
        try {
            entries = Tlv.parse(Tlv.join(Host.data(first), Host.data(second)));
        } catch (Refusal e) {
            throw new AssertionError(e);
        }
        assertEquals(7, entries.size());
        assertTrue(first.length <= 225);
        assertFalse(Host.text(first).contains("F053494D53594E43"), "in the order of loading");
        assertEquals("6985", ask(host, 0x10, 3, "4F00"), "there is no more");
    }

    @Test
    void partsAreLostWhenAnotherCommandComesIn() throws BridgeException {
        for (int between = 0; between < 3; between++) {
            Host host = new Host().open(1).installAll();
            assertEquals(0x6310, Host.sw(host.secured(0xF2, 0x10, 2, Host.hex("4F00"))));
            switch (between) {
                case 0 -> host.ok("80CA006600");
                case 1 -> assertEquals("6985", ask(host, 0x20, 3, "4F00"), "another question's");
                default -> {
                    host.card.apply(null);
                    host.open(1);
                }
            }
            if (between != 1) {
                assertEquals("6985", ask(host, 0x10, 3, "4F00"));
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"64,2,'',6A80", "64,2,5C014F,6A80", "128,2,4F05A0,6A80", "64,2,4F110102030405060708090A0B0C0D0E0F1011,6A80",
        "0,2,4F00,6A86", "96,2,4F00,6A86", "128,4,4F00,6A86", "128,1,4F00,6985", "128,3,4F00,6985",
        "32,2,4F05A000000099,6A88", "64,2,4F05A000000099,6A88"})
    void refusals(int p1, int p2, String data, String status) throws BridgeException {
        assertEquals(status, ask(new Host().open(1), p1, p2, data));
    }
}
