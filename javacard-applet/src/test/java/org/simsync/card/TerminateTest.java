package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class TerminateTest {
    private static void assertTerminated(Host host) {
        Host.Selected selected = host.select();
        assertEquals(0x7F, selected.lifecycle());
        assertEquals(0, selected.pinTries());
        assertEquals(0, selected.pukTries());
        assertEquals(0, selected.pinState());
        assertArrayEquals(new byte[16], selected.pseudonym());
        host.tryPersonalise(0).expect(0x6985);
        host.terminate().expect(0x6985);
    }

    @Test
    void needsThePuk() {
        Host host = Host.enrolled();
        host.verify();
        host.terminate().expect(0x6982);
        host.terminate(Host.NEW_PUK).expect(0x63C9);
        host.terminate(Host.PUK).ok();
        host.readInfo().expect(0x6985);
        assertTerminated(host);
        host.card.powerCycle();
        assertTerminated(host);
    }

    @Test
    void needsNothingWhenThePukIsBlocked() {
        Host host = Host.enrolled();
        for (int i = 0; i < 10; i++) {
            host.terminate(Host.NEW_PUK);
        }
        host.terminate(Host.PUK).expect(0x6983);
        host.terminate().ok();
        assertTerminated(host);
    }

    @Test
    void leavesNothingBehind() {
        Host host = Host.enrolled();
        Terminal terminal = new Terminal();
        host.add(terminal, "laptop");
        Host.Session session = host.openFresh(terminal);
        host.putHead(session.token(), Host.head(1, 2, 3, 4, 5, 1), 0).ok();
        host.verify();
        host.setServer(Host.filled(64, 'z'), Host.filled(32, 'z')).ok();
        host.terminate(Host.PUK).ok();
        host.renew(session.token(), Host.CALLERS).expect(0x6985);
        assertWiped(host);
    }

    /** Looks into the card's memory. */
    static void assertWiped(Host host) {
        try {
            lookForRests(host);
        } catch (ReflectiveOperationException e) {
            throw new AssertionError(e);
        }
    }

    private static void lookForRests(Host host) throws ReflectiveOperationException {
        for (String name : new String[] {"profile", "sessions", "head"}) {
            assertEmpty(Records.of(host.card, name), name);
        }
        Object[] slots = (Object[]) Records.get(Records.field(host.card, "terminals"), "slots");
        for (Object slot : slots) {
            assertEmpty((Twin) slot, "terminal slot");
        }
        Object keys = Records.field(host.card, "keys");
        for (String key : new String[] {"sigPrivate", "kemPrivate"}) {
            assertEquals(false, ((javacard.security.Key) Records.get(keys, key)).isInitialized(), key);
        }
    }

    private static void assertEmpty(Twin record, String what) throws ReflectiveOperationException {
        for (String copy : new String[] {"first", "second"}) {
            byte[] bytes = (byte[]) Records.get(record, copy);
            for (int i = Twin.BODY; i < bytes.length - 4; i++) {
                // Lifecycle and flags of the profile say that the card is dead and wiped.
                boolean mayStay = what.equals("profile") && i < Twin.BODY + 2;
                assertEquals(0, mayStay ? 0 : bytes[i], what + ", " + copy + " copy, byte " + i);
            }
        }
    }
}
