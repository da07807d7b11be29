package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

class PairingTest {
    private static void assertListed(Host host, int slot, Terminal terminal, String label, long n) {
        ByteBuffer answer = host.list(slot).fields();
        assertArrayEquals(terminal.id, Host.take(answer, 32));
        assertEquals(label, new String(Host.takeLv(answer), StandardCharsets.UTF_8));
        assertEquals(n, answer.getInt() & 0xFFFFFFFFL);
        assertFalse(answer.hasRemaining());
    }

    @Test
    void theSameKeyTakesTheSameSlotAndTheNewLabel() {
        Host host = Host.enrolled();
        Terminal terminal = new Terminal();
        assertEquals(0, host.add(terminal, "laptop"));
        assertEquals(1, host.add(new Terminal(), ""));
        assertEquals(0, host.add(terminal, "laptop"));
        assertEquals(0, host.add(terminal, "a label of 24 characters"));
        assertListed(host, 0, terminal, "a label of 24 characters", 0);
        host.list(2).expect(0x6A82);
    }

    @Test
    void theSameKeyKeepsItsUnsettledSession() {
        Host host = Host.enrolled();
        Terminal terminal = new Terminal();
        host.add(terminal, "laptop");
        host.openFresh(terminal);
        host.add(terminal, "renamed");
        assertListed(host, 0, terminal, "renamed", 1);
    }

    @Test
    void pointsThatAreNotOnTheCurveAreRefused() {
        Host host = Host.enrolled();
        for (byte[] bad : badPoints()) {
            host.verify();
            host.tryAdd(bad, "", Host.CALLERS).expect(0x6A80);
        }
        host.list(0).expect(0x6A82);
    }

    /** Points that no P-256 key has. */
    static byte[][] badPoints() {
        byte[] good = new Terminal().point;
        byte[] lastBit = good.clone();
        lastBit[64] ^= 1;
        byte[] otherX = good.clone();
        otherX[1] ^= (byte) 0x80;
        byte[] hybrid = good.clone();
        hybrid[0] = (byte) (6 + (good[64] & 1));
        byte[] compressed = good.clone();
        compressed[0] = 2;
        byte[] infinity = good.clone();
        infinity[0] = 0;
        byte[] zeros = new byte[65];
        zeros[0] = 4;
        byte[] outOfField = Host.filled(65, 0xFF);
        outOfField[0] = 4;
        return new byte[][] {lastBit, otherX, hybrid, compressed, infinity, zeros, outOfField};
    }

    @Test
    void labelsOfAnotherLengthThanTheDataAreRefused() {
        Host host = Host.enrolled();
        Terminal terminal = new Terminal();
        for (int wrong : new int[] {0, 4, 6, 24, 25, 0x80, 0xFF}) {
            host.verify();
            byte[] data = Host.join(terminal.point, new byte[] {(byte) wrong}, Host.filled(5, 'a'), Host.CALLERS);
            host.card.send(0x80, 0x30, 0, 0, data).expect(0x6A80);
        }
    }

    @Test
    void removedSlotsAreUsedAgainAndOthersStay() {
        Host host = Host.enrolled();
        Terminal[] terminals = {new Terminal(), new Terminal(), new Terminal()};
        for (Terminal terminal : terminals) {
            host.add(terminal, "t");
        }
        host.openFresh(terminals[1]);
        host.verify();
        host.remove(terminals[1].id).ok();
        host.verify();
        host.remove(terminals[1].id).expect(0x6A82);
        assertEquals(0, host.readSessions().fields().remaining());
        host.list(1).expect(0x6A82);
        Terminal next = new Terminal();
        assertEquals(1, host.add(next, "next"));
        assertListed(host, 1, next, "next", 0);
        assertListed(host, 2, terminals[2], "t", 0);
    }

    @Test
    void aRemovedTerminalOpensNothingAndItsSessionEnds() {
        Host host = Host.enrolled();
        Terminal stays = new Terminal();
        Terminal goes = new Terminal();
        host.add(stays, "");
        host.add(goes, "");
        Host.Session session = host.openFresh(goes);
        host.verify();
        host.remove(goes.id).ok();
        host.renew(session.token(), Host.CALLERS).expect(0x6982);
        host.putHead(session.token(), Host.head(1, 1, 1, 1, 1, 0), 0).expect(0x6982);
        host.getChallenge();
        byte[] point = new Terminal().point;
        host.tryOpen(goes.id, Host.CALLERS, point, goes.sign(host.terminalText(Host.CALLERS, point))).expect(0x6A82);

        Host.Session other = host.openFresh(stays);
        host.verify();
        host.remove(new Terminal().id).expect(0x6A82);
        host.renew(other.token(), Host.CALLERS).expect(0x9000);
    }

    @Test
    void removingAnotherTerminalLeavesTheSessionOpen() {
        Host host = Host.enrolled();
        Terminal own = new Terminal();
        Terminal other = new Terminal();
        host.add(own, "");
        host.add(other, "");
        Host.Session session = host.openFresh(own);
        host.verify();
        host.remove(other.id).ok();
        host.renew(session.token(), Host.CALLERS).expect(0x9000);
    }

    @Test
    void readSessionsTellsSlotShortIdAndNumber() {
        Host host = Host.enrolled();
        Terminal[] terminals = new Terminal[16];
        for (int i = 0; i < 16; i++) {
            terminals[i] = new Terminal();
            host.add(terminals[i], "");
        }
        for (int i = 15; i >= 0; i--) {
            host.openFresh(terminals[i]);
        }
        ByteBuffer answer = host.readSessions().fields();
        assertEquals(16 * 13, answer.remaining());
        for (int i = 0; i < 16; i++) {
            assertEquals(i, answer.get());
            assertArrayEquals(Arrays.copyOf(terminals[i].id, 8), Host.take(answer, 8));
            assertEquals(16 - i, answer.getInt());
        }
    }

    @Test
    void setServerChangesBothFieldsTogether() {
        Host host = Host.enrolled();
        byte[] address = Host.filled(64, 'n');
        byte[] caPin = Host.filled(32, 0x99);
        host.verify();
        host.setServer(address, caPin).ok();
        host.setServer(address, caPin).expect(0x6982);
        ByteBuffer info = host.readInfo().fields();
        assertArrayEquals(host.cardId, Host.take(info, 16));
        assertArrayEquals(Host.SUBSCRIBER, Host.takeLv(info));
        assertArrayEquals(Host.LABEL, Host.takeLv(info));
        assertArrayEquals(address, Host.takeLv(info));
        assertArrayEquals(caPin, Host.take(info, 32));
        host.verify();
        host.setServer(Host.filled(1, 'x'), caPin).ok();
        host.verify();
        host.card.send(0x80, 0x24, 0, 0, Host.join(new byte[] {0}, Host.filled(33, 1))).expect(0x6A80);
        host.verify();
        host.card.send(0x80, 0x24, 0, 0, Host.join(new byte[] {9}, Host.filled(40, 1))).expect(0x6A80);
    }

    @Test
    void readKeysSignsTheNonce() {
        Host host = Host.enrolled();
        host.verify();
        byte[] nonce = Host.filled(32, 0x4E);
        ByteBuffer answer = host.readKeys(nonce).fields();
        byte[] sig = Host.take(answer, 65);
        byte[] kem = Host.take(answer, 65);
        assertArrayEquals(host.sigPoint, sig);
        assertArrayEquals(host.kemPoint, kem);
        host.assertSigned("keys", Host.takeLv(answer), sig, kem, nonce);
        assertFalse(answer.hasRemaining());
    }

    @Test
    void signBuildsADomainForEachP1() {
        Host host = Host.enrolled();
        String[] domains = {"keyobject", "erase", "restore"};
        for (int p1 = 1; p1 <= 3; p1++) {
            host.verify();
            ByteBuffer answer = host.sign(p1, Host.CALLERS).fields();
            host.assertSigned(domains[p1 - 1], Host.takeLv(answer), Host.CALLERS);
            assertFalse(answer.hasRemaining());
        }
    }
}
