package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** One card from installation to its end, as docs/card.md tells it, over both protocols. */
class FullLifeTest {
    @ParameterizedTest
    @ValueSource(strings = {"T=1", "T=0"})
    void fromInstallationToTheEnd(String protocol) {
        Host host = new Host(new TestCard(protocol));

        Host.Selected selected = host.select();
        assertEquals(0x01, selected.lifecycle());
        assertEquals(0, selected.pinTries());
        host.personalise(Host.OPTION_CHANGE_PIN);
        assertEquals(0x03, host.select().lifecycle());
        host.generateKeys();
        host.markEnrolled().ok();

        selected = host.select();
        assertEquals(0x07, selected.lifecycle());
        assertEquals(3, selected.pinTries());
        assertEquals(10, selected.pukTries());
        assertEquals(3, selected.pinState(), "set, and due for change");
        host.verify();
        host.readInfo().expect(0x6984);
        byte[] firstPin = Host.pin("0000");
        host.change(Host.PIN, firstPin, Host.NEW_PUK).ok();
        host.readInfo().expect(0x9000);
        host.tryAdd(new Terminal().point, "", Host.CALLERS).expect(0x6982);
        host.change(firstPin, Host.PIN).ok();

        ByteBuffer info = host.readInfo().fields();
        assertArrayEquals(host.cardId, Host.take(info, 16));
        assertArrayEquals(Host.SUBSCRIBER, Host.takeLv(info));
        assertArrayEquals(Host.LABEL, Host.takeLv(info));
        assertArrayEquals(Host.SERVER, Host.takeLv(info));
        assertArrayEquals(Host.CA_PIN, Host.take(info, 32));
        assertFalse(info.hasRemaining());

        List<Terminal> terminals = new ArrayList<>();
        for (int slot = 0; slot < 16; slot++) {
            terminals.add(new Terminal());
            assertEquals(slot, host.add(terminals.get(slot), "terminal " + slot));
        }
        host.verify();
        host.tryAdd(new Terminal().point, "one too many", Host.CALLERS).expect(0x6A84);

        Host.Session first = host.openFresh(terminals.get(0));
        assertEquals(1, first.n());
        assertEquals(0, first.unsettled());
        assertFalse(first.headIsSet());
        byte[] head = Host.head(1, 7, 0xAA, 1, 0xBB, 0);
        host.putHead(first.token(), head, 0).ok();
        byte[] binding = Host.filled(32, 0x77);
        host.assertSigned("renew", Host.takeLv(host.renew(first.token(), binding).fields()),
                Host.u32(1), terminals.get(0).id, binding);

        host.card.powerCycle();
        Host.Session second = host.openFresh(terminals.get(15));
        assertEquals(2, second.n());
        assertEquals(1, second.unsettled());
        assertTrue(second.headIsSet());
        assertArrayEquals(head, second.head());
        host.putHead(second.token(), Host.head(1, 9, 0xCC, 1, 0xBB, 1), 0x8001).ok();
        assertEquals(0, host.readSessions().fields().remaining());

        host.verify();
        host.remove(terminals.get(0).id).ok();
        host.list(0).expect(0x6A82);
        host.list(1).expect(0x9000);

        for (int left = 2; left > 0; left--) {
            host.tryVerify(Host.pin("9999")).expect(0x63C0 + left);
        }
        host.tryVerify(Host.pin("9999")).expect(0x6983);
        host.tryVerify(Host.PIN).expect(0x6983);
        host.unblock(Host.PUK, Host.PIN).expect(0x63C9);
        host.unblock(Host.NEW_PUK, Host.NEW_PIN).ok();
        host.readInfo().expect(0x6982);
        host.verify(Host.NEW_PIN);
        host.readInfo().expect(0x9000);

        host.terminate(Host.NEW_PUK).ok();
        selected = host.select();
        assertEquals(0x7F, selected.lifecycle());
        assertArrayEquals(new byte[16], selected.pseudonym());
        host.tryVerify(Host.NEW_PIN).expect(0x6985);
    }
}
