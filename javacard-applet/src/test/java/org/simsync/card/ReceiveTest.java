package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.util.Set;
import javacard.framework.APDU;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** When the applet asks the platform for data: where data came, and never else. */
class ReceiveTest {
    /** What follows the header: nothing (case 1), Le (case 2), data (case 3), data and Le (case 4). */
    private static final byte[][] CASES = {{}, {0}, {16}, {(byte) 0xFF}, {1, 7}, {2, 7, 7, 0}};

    private static byte[] header(int cla, int ins, int p1, int p2) {
        return new byte[] {(byte) cla, (byte) ins, (byte) p1, (byte) p2};
    }

    /** A card whose PIN is verified, with a terminal and a session that is not settled. */
    private static Host inUse(String protocol) {
        Host host = Host.enrolled(new TestCard(protocol), 0);
        Terminal terminal = new Terminal();
        host.add(terminal, "desk");
        host.openFresh(terminal);
        return host;
    }

    private static void neverReceives(String protocol, int ins) {
        Host host = inUse(protocol);
        for (byte[] rest : CASES) {
            host.card.raw(Host.join(header(0x80, ins, 0, 0), rest)).expect(0x9000);
            assertEquals(0, APDU.getCurrentAPDU().timesAsked(), "asked for data after " + rest.length + " bytes");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"T=0", "T=1"})
    void f_f1_getChallengeNeverReceives(String protocol) {
        neverReceives(protocol, 0x84);
    }

    @ParameterizedTest
    @ValueSource(strings = {"T=0", "T=1"})
    void f_f1_readInfoNeverReceives(String protocol) {
        neverReceives(protocol, 0x20);
    }

    @ParameterizedTest
    @ValueSource(strings = {"T=0", "T=1"})
    void f_f1_listNeverReceives(String protocol) {
        neverReceives(protocol, 0x32);
    }

    @ParameterizedTest
    @ValueSource(strings = {"T=0", "T=1"})
    void f_f1_readSessionsNeverReceives(String protocol) {
        neverReceives(protocol, 0x34);
    }

    /** The runtime has read the data of a SELECT; what it left of them is nobody's. */
    @ParameterizedTest
    @ValueSource(strings = {"T=0", "T=1"})
    void f_f1_selectNeverReceives(String protocol) {
        Host host = inUse(protocol);
        host.select();
        assertEquals(0, APDU.getCurrentAPDU().timesAsked());
    }

    @ParameterizedTest
    @ValueSource(strings = {"T=0", "T=1"})
    void f_f1_verifyWithoutDataNeverReceives(String protocol) {
        Host host = Host.enrolled(new TestCard(protocol), 0);
        for (int sw : new int[] {0x63C3, 0x9000}) {
            host.card.raw(header(0x00, 0x20, 0, 0x81)).expect(sw);
            host.card.raw(Host.join(header(0x00, 0x20, 0, 0x81), new byte[1])).expect(sw);
            assertEquals(0, APDU.getCurrentAPDU().timesAsked());
            host.verify();
        }
    }

    /** With T=1 the fifth and last byte is Le, whatever it looks like. */
    @Test
    void f_f1_verifyWithLeAsksTheStateAndCostsNoTry() {
        Host host = Host.enrolled();
        for (int le = 0; le < 256; le++) {
            host.card.raw(Host.join(header(0x00, 0x20, 0, 0x81), new byte[] {(byte) le})).expect(0x63C3);
        }
        host.verify();
        host.card.raw(Host.join(header(0x00, 0x20, 0, 0x81), new byte[] {8})).ok();
        // Who asks has not verified.
        host.sign(1, Host.CALLERS).expect(0x6982);
    }

    @ParameterizedTest
    @ValueSource(strings = {"T=0", "T=1"})
    void f_f1_terminateWithoutDataNeverReceives(String protocol) {
        Host host = Host.enrolled(new TestCard(protocol), 0);
        host.card.raw(header(0x80, 0x50, 0, 0)).expect(0x6982);
        host.card.raw(Host.join(header(0x80, 0x50, 0, 0), new byte[1])).expect(0x6982);
        assertEquals(0, APDU.getCurrentAPDU().timesAsked());
        for (int i = 0; i < 10; i++) {
            host.terminate(Host.NEW_PUK);
        }
        host.card.raw(header(0x80, 0x50, 0, 0)).ok();
        assertEquals(0, APDU.getCurrentAPDU().timesAsked());
    }

    @Test
    void f_f1_terminateWithLeIsWithoutData() {
        Host host = Host.enrolled();
        for (int le = 0; le < 256; le++) {
            host.card.raw(Host.join(header(0x80, 0x50, 0, 0), new byte[] {(byte) le})).expect(0x6982);
        }
        assertEquals(10, host.select().pukTries());
    }

    /** Some cards take Le for a length of data, and hand out what was in their buffer. */
    @Test
    void f_f1_dataThatThePlatformMakesUpHarmsNothing() {
        Host host = inUse("T=1");
        APDU.makeDataUp(true);
        try {
            for (int ins : new int[] {0x84, 0x20, 0x32, 0x34}) {
                host.card.raw(Host.join(header(0x80, ins, 0, 0), new byte[] {(byte) 0xFF})).expect(0x9000);
            }
            for (int le = 1; le < 256; le++) {
                host.card.raw(Host.join(header(0x00, 0x20, 0, 0x81), new byte[] {(byte) le})).expect(le == 8 ? 0x6A80 : 0x6700);
                host.card.raw(Host.join(header(0x80, 0x50, 0, 0), new byte[] {(byte) le})).expect(le == 8 ? 0x6A80 : 0x6700);
            }
            host.card.raw(Host.join(header(0x00, 0x20, 0, 0x81), new byte[1])).ok();
        } finally {
            APDU.makeDataUp(false);
        }
        assertEquals(3, host.select().pinTries());
        assertEquals(10, host.select().pukTries());
    }

    /** Lc says how much is data, whatever the platform counts. */
    @Test
    void f_f1_bytesThatThePlatformCountsTooManyAreNoData() {
        APDU.makeDataUp(true);
        try {
            Host host = inUse("T=1");
            host.verify();
            host.setServer(Host.SERVER, Host.CA_PIN).ok();
            host.tryVerify(Host.join(Host.PIN, new byte[1])).expect(0x6700);
            host.change(Host.PIN, Host.NEW_PIN).ok();
            host.terminate(Host.PUK).ok();
        } finally {
            APDU.makeDataUp(false);
        }
    }

    /** Some cards tell both wrong; with short commands neither is needed. */
    @Test
    void f_f1_lengthAndPlaceOfTheDataAreNotAskedFor() {
        for (String call : Set.of("getIncomingLength()S", "getOffsetCdata()S")) {
            assertFalse(Subset.PLATFORM.contains("javacard/framework/APDU." + call), call);
        }
    }
}
