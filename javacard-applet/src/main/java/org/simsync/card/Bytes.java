package org.simsync.card;

/** Big-endian unsigned numbers and comparisons on byte arrays. */
final class Bytes {
    /** The first number is smaller. */
    static final short BELOW = -1;
    /** Larger by so much, or more. */
    static final short FAR = (short) 0x7FFF;

    private Bytes() {
    }

    static short unsigned(byte value) {
        return (short) (value & (short) 0xFF);
    }

    /**
     * How far the first number is above the second, both of the given length in bytes: BELOW, 0 for equal, the difference,
     * FAR. The difference is never built as a whole, so no sum of a stored value and a limit can overflow.
     */
    static short ahead(byte[] a, short aOffset, byte[] b, short bOffset, short length) {
        short borrow = 0;
        short low = 0;
        short high = 0;
        for (short i = (short) (length - 1); i >= 0; i--) {
            short minuend = unsigned(a[(short) (aOffset + i)]);
            short subtrahend = unsigned(b[(short) (bOffset + i)]);
            short difference = (short) ((short) (minuend - subtrahend) - borrow);
            borrow = 0;
            if (difference < 0) {
                difference = (short) (difference + 256);
                borrow = 1;
            }
            short fromEnd = (short) ((short) (length - 1) - i);
            if (fromEnd == 0) {
                low = difference;
            } else if (fromEnd == 1) {
                low = (short) (low | (short) (difference << 8));
            } else {
                high = (short) (high | difference);
            }
        }
        if (borrow != 0) {
            return BELOW;
        }
        return high != 0 || low < 0 ? FAR : low;
    }

    /** Adds one; false, and all zeros left behind, when there is no larger number. */
    static boolean increment(byte[] a, short offset, short length) {
        for (short i = (short) (length - 1); i >= 0; i--) {
            short at = (short) (offset + i);
            a[at] = (byte) (a[at] + 1);
            if (a[at] != 0) {
                return true;
            }
        }
        return false;
    }

    static boolean isZero(byte[] a, short offset, short length) {
        byte all = 0;
        for (short i = 0; i < length; i++) {
            all = (byte) (all | a[(short) (offset + i)]);
        }
        return all == 0;
    }

    /** Compares in a time that does not tell where two secrets differ. */
    static boolean equal(byte[] a, short aOffset, byte[] b, short bOffset, short length) {
        byte all = 0;
        for (short i = 0; i < length; i++) {
            all = (byte) (all | (byte) (a[(short) (aOffset + i)] ^ b[(short) (bOffset + i)]));
        }
        return all == 0;
    }
}
