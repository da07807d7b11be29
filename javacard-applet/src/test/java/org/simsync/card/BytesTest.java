package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigInteger;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;

class BytesTest {
    private static final BigInteger FAR = BigInteger.valueOf(Bytes.FAR);

    private static short expected(BigInteger a, BigInteger b) {
        BigInteger difference = a.subtract(b);
        return difference.signum() < 0 ? Bytes.BELOW : difference.min(FAR).shortValueExact();
    }

    private static byte[] bytes(BigInteger value, int length) {
        byte[] all = value.toByteArray();
        byte[] fixed = new byte[length];
        int count = Math.min(length, all.length);
        System.arraycopy(all, all.length - count, fixed, length - count, count);
        return fixed;
    }

    private static void check(BigInteger a, BigInteger b, int length, String hint) {
        assertEquals(expected(a, b),
                Bytes.ahead(bytes(a, length), (short) 0, bytes(b, length), (short) 0, (short) length),
                a + " against " + b + hint);
    }

    @Test
    void aheadAtTheEdges() {
        for (int length : new int[] {4, 8}) {
            BigInteger largest = BigInteger.ONE.shiftLeft(8 * length).subtract(BigInteger.ONE);
            BigInteger[] stored = {BigInteger.ZERO, BigInteger.valueOf(255), BigInteger.valueOf(65_535),
                    largest.subtract(FAR), largest};
            for (BigInteger b : stored) {
                for (long step : new long[] {-65_537, -256, -1, 0, 1, 2, 255, 256, 32_766, 32_767, 32_768, 65_535, 65_536, 65_537, 131_072}) {
                    BigInteger a = b.add(BigInteger.valueOf(step));
                    if (a.signum() >= 0 && a.compareTo(largest) <= 0) {
                        check(a, b, length, "");
                    }
                }
            }
            check(BigInteger.ZERO, largest, length, "");
            check(largest, BigInteger.ZERO, length, "");
        }
    }

    @Test
    void aheadAtRandom() {
        long seed = Seed.next();
        Random random = new Random(seed);
        for (int i = 0; i < 20_000; i++) {
            int length = random.nextBoolean() ? 4 : 8;
            BigInteger b = new BigInteger(8 * length, random);
            BigInteger a = random.nextBoolean() ? new BigInteger(8 * length, random)
                    : b.add(BigInteger.valueOf(random.nextInt(200_000) - 60_000))
                            .max(BigInteger.ZERO).min(BigInteger.ONE.shiftLeft(8 * length).subtract(BigInteger.ONE));
            check(a, b, length, Seed.hint(seed));
        }
    }

    @Test
    void incrementCarriesAndSaysWhenNothingIsLeft() {
        byte[] number = {9, 0, 0, (byte) 0xFF, (byte) 0xFF, 9};
        assertTrue(Bytes.increment(number, (short) 1, (short) 4));
        assertEquals("[9, 0, 1, 0, 0, 9]", Arrays.toString(number));
        byte[] largest = Host.filled(4, 0xFF);
        assertFalse(Bytes.increment(largest, (short) 0, (short) 4));
    }

    @Test
    void equalLooksAtEveryByte() {
        byte[] secret = Host.filled(16, 7);
        assertTrue(Bytes.equal(secret, (short) 0, secret.clone(), (short) 0, (short) 16));
        for (int i = 0; i < 16; i++) {
            byte[] other = secret.clone();
            other[i] ^= 1;
            assertFalse(Bytes.equal(secret, (short) 0, other, (short) 0, (short) 16), "byte " + i);
        }
    }
}
