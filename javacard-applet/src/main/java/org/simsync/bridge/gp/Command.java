package org.simsync.bridge.gp;

import java.util.Arrays;

/** A short command APDU (ISO 7816-4); what Le says does not matter here. */
record Command(int cla, int ins, int p1, int p2, byte[] data) {
    private static final int HEADER = 4;
    /** The bit of the class byte that says: with secure messaging (GPCS 11.1.4). */
    private static final int SECURED = 0x04;

    /** 6700 if the lengths contradict each other, and for extended ones. */
    static Command parse(byte[] apdu) throws Refusal {
        if (apdu.length < HEADER) {
            throw new Refusal(Sw.WRONG_LENGTH);
        }
        byte[] data = {};
        if (apdu.length > HEADER + 1) {
            int length = apdu[HEADER] & 0xFF;
            int end = HEADER + 1 + length;
            if (length == 0 || apdu.length != end && apdu.length != end + 1) {
                throw new Refusal(Sw.WRONG_LENGTH);
            }
            data = Arrays.copyOfRange(apdu, HEADER + 1, end);
        }
        return new Command(apdu[0] & 0xFF, apdu[1] & 0xFF, apdu[2] & 0xFF, apdu[3] & 0xFF, data);
    }

    boolean isSecured() {
        return (cla & SECURED) != 0;
    }

    int p1p2() {
        return p1 << 8 | p2;
    }

    /** Class, instruction, P1, P2 and a length: what a MAC is over before the data. */
    byte[] header(int length) {
        return new byte[] {(byte) cla, (byte) ins, (byte) p1, (byte) p2, (byte) length};
    }

    /** The same command with what it says once secure messaging is taken off. */
    Command plain(byte[] plainData) {
        return new Command(cla & ~SECURED, ins, p1, p2, plainData);
    }
}
