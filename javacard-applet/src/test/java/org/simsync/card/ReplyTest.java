package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.util.Arrays;
import java.util.HexFormat;
import javacard.framework.APDU;
import org.junit.jupiter.api.Test;
import org.simsync.bridge.fault.FaultyCard;

/** What is sent, and what is left behind. */
class ReplyTest {
    private static final byte[] READ_INFO = {(byte) 0x80, 0x20, 0, 0};
    private static final byte[] LIST = {(byte) 0x80, 0x32, 0, 0};

    private static byte[] with(byte[] command, int le) {
        return Host.join(command, new byte[] {(byte) le});
    }

    @Test
    void f_f2_anAnswerHasAtMostAsManyBytesAsLeAsksFor() {
        Host host = Host.enrolled();
        host.add(new Terminal(), "desk");
        for (byte[] command : new byte[][] {READ_INFO, LIST}) {
            byte[] whole = host.card.raw(with(command, 0)).data();
            for (int le = 1; le < 256; le++) {
                byte[] part = Arrays.copyOf(whole, Math.min(le, whole.length));
                assertArrayEquals(part, host.card.raw(with(command, le)).ok(part.length), "Le " + le);
            }
            assertArrayEquals(whole, host.card.raw(command).data(), "without Le");
        }
    }

    /** Also where the command has data, where the answer is drawn, and at SELECT. */
    @Test
    void f_f2_leHoldsForEveryCommand() {
        Host host = Host.enrolled();
        byte[] select = Host.join(new byte[] {0x00, (byte) 0xA4, 4, 0}, Host.lv(FaultyCard.AID));
        host.card.raw(with(select, 5)).ok(5);
        host.card.raw(with(new byte[] {(byte) 0x80, (byte) 0x84, 0, 0}, 3)).ok(3);
        host.verify();
        byte[] readKeys = Host.join(new byte[] {(byte) 0x80, 0x22, 0, 0}, Host.lv(Host.CALLERS));
        assertArrayEquals(Arrays.copyOf(host.sigPoint, 20), host.card.raw(with(readKeys, 20)).ok(20));
    }

    /** All applets share the platform's buffer, and cards clear it only when it is needed again. */
    @Test
    void f_f2_noSecretStaysInThePlatformsBuffer() {
        for (String protocol : new String[] {"T=0", "T=1"}) {
            Host host = new Host(new TestCard(protocol));
            host.select();
            host.personalise(0);
            assertLeftBehindNothing(TestCard.TRANSPORT, Host.PIN, Host.PUK);
            host.generateKeys();
            assertLeftBehindNothing(TestCard.TRANSPORT);
            host.markEnrolled().ok();
            assertLeftBehindNothing(TestCard.TRANSPORT);
            host.verify();
            assertLeftBehindNothing(Host.PIN);
            host.tryVerify(Arrays.copyOf(Host.PIN, 7)).expect(0x6700);
            assertLeftBehindNothing(Arrays.copyOf(Host.PIN, 7));
            host.tryVerify(Host.join(Host.PUK, Host.filled(120, 1))).expect(0x6700);
            assertLeftBehindNothing(Host.PUK);
            host.change(Host.PIN, Host.NEW_PIN).ok();
            assertLeftBehindNothing(Host.PIN, Host.NEW_PIN);
            host.unblock(Host.PUK, Host.PIN).ok();
            assertLeftBehindNothing(Host.PUK, Host.PIN);
            Terminal terminal = new Terminal();
            host.add(terminal, "desk");
            Host.Session session = host.openFresh(terminal);
            host.putHead(session.token(), Host.head(1, 1, 1, 1, 1, 0), 0).ok();
            assertLeftBehindNothing(session.token());
            host.terminate(Host.PUK).ok();
            assertLeftBehindNothing(Host.PUK);
        }
    }

    private static void assertLeftBehindNothing(byte[]... secrets) {
        String buffer = HexFormat.of().formatHex(APDU.getCurrentAPDUBuffer());
        for (byte[] secret : secrets) {
            // A part of it would be too much, too.
            assertFalse(buffer.contains(HexFormat.of().formatHex(secret, 0, 4)), buffer);
        }
    }

    /** There the runtime says 61XX and gives the rest to GET RESPONSE. */
    @Test
    void f_f2_withTZeroTheRestIsLeftToTheRuntime() {
        Host host = Host.enrolled(new TestCard("T=0"), 0);
        host.verify();
        byte[] whole = host.card.raw(with(READ_INFO, 0)).data();
        assertArrayEquals(whole, host.card.raw(with(READ_INFO, 5)).data());
    }
}
