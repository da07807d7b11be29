package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Whatever comes in, the card answers one of its status words and goes on living. */
class FuzzTest {
    private static final int[] OWN = {0x84, 0x10, 0x12, 0x14, 0x20, 0x22, 0x24, 0x30, 0x32, 0x34, 0x36, 0x40, 0x42, 0x44,
        0x46, 0x50};
    private static final int[] ISO = {0x20, 0x24, 0x2C, 0xA4};
    private static final Set<Integer> KNOWN = Set.of(0x9000, 0x6581, 0x6700, 0x6882, 0x6884, 0x6982, 0x6983, 0x6984, 0x6985, 0x6A80,
            0x6A82, 0x6A84, 0x6A86, 0x6D00, 0x6E00);

    @ParameterizedTest
    @ValueSource(strings = {"T=1", "T=0"})
    void anyCommandGetsAKnownAnswer(String protocol) {
        long seed = Seed.next();
        Random random = new Random(seed);
        for (int round = 0; round < 20; round++) {
            Host host = round % 2 == 0 ? new Host(new TestCard(protocol)) : Host.enrolled(new TestCard(protocol), 0);
            host.select();
            List<byte[]> pieces = List.of(TestCard.TRANSPORT, Host.PIN, Host.PUK, Host.NEW_PIN, new Terminal().point,
                    Host.CALLERS, Host.lv(Host.SUBSCRIBER), new byte[] {0});
            for (int i = 0; i < 400; i++) {
                boolean iso = random.nextInt(4) == 0;
                int ins = random.nextInt(20) == 0 ? random.nextInt(256)
                        : iso ? ISO[random.nextInt(ISO.length)] : OWN[random.nextInt(OWN.length)];
                int p1 = random.nextInt(10) == 0 ? random.nextInt(256) : iso ? 0 : random.nextInt(4);
                int p2 = random.nextInt(20) == 0 ? random.nextInt(256) : iso ? 0x81 : 0;
                Answer answer = host.card.send(iso ? 0x00 : 0x80, ins, p1, p2, data(random, pieces));
                assertNotEquals(0x6F00, answer.sw(), "instruction " + ins + Seed.hint(seed));
                assertTrue(KNOWN.contains(answer.sw()) || (answer.sw() & 0xFFF0) == 0x63C0,
                        String.format("%04X", answer.sw()) + Seed.hint(seed));
            }
        }
    }

    /** Random bytes, or pieces that commands are made of, so that some get past the first checks. */
    private static byte[] data(Random random, List<byte[]> pieces) {
        byte[] data = new byte[0];
        int count = random.nextInt(6);
        for (int i = 0; i < count; i++) {
            byte[] piece = pieces.get(random.nextInt(pieces.size())).clone();
            if (random.nextInt(8) == 0) {
                random.nextBytes(piece);
            }
            data = Host.join(data, piece);
        }
        return data.length <= 255 ? data : Arrays.copyOf(data, 255);
    }

    @Test
    void everyTruncationAndExtensionOfOpenSession() {
        Host host = Host.enrolled();
        Terminal terminal = new Terminal();
        host.add(terminal, "");
        for (int length = 0; length <= 255; length++) {
            host.select();
            host.verify();
            byte[] point = terminal.point;
            byte[] whole = Host.join(terminal.id, Host.CALLERS, point,
                    terminal.sign(host.terminalText(Host.CALLERS, point)));
            if (length == whole.length) {
                continue;
            }
            byte[] data = Arrays.copyOf(whole, length);
            host.card.send(0x80, 0x40, 0, 0, data).expect(length < 137 || length > 201 ? 0x6700 : 0x6982);
        }
    }
}
