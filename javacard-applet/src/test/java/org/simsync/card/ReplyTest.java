package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import java.util.Arrays;
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

    /** There the runtime says 61XX and gives the rest to GET RESPONSE. */
    @Test
    void f_f2_withTZeroTheRestIsLeftToTheRuntime() {
        Host host = Host.enrolled(new TestCard("T=0"), 0);
        host.verify();
        byte[] whole = host.card.raw(with(READ_INFO, 0)).data();
        assertArrayEquals(whole, host.card.raw(with(READ_INFO, 5)).data());
    }
}
