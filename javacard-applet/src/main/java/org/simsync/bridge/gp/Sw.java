package org.simsync.bridge.gp;

import java.util.Arrays;

/** Status words (ISO 7816-4; GPCS 11.1.3 and the tables of each command). */
final class Sw {
    static final int OK = 0x9000;
    static final int CARD_IS_LOCKED = 0x6283;
    static final int AUTHENTICATION_FAILED = 0x6300;
    static final int MORE_DATA = 0x6310;
    static final int NEEDS_NEWER_CARD = 0x6438;
    static final int WRONG_LENGTH = 0x6700;
    static final int NO_SUCH_CHANNEL = 0x6881;
    static final int NO_SECURE_MESSAGING = 0x6882;
    static final int SECURITY_STATUS = 0x6982;
    static final int BLOCKED = 0x6983;
    static final int CONDITIONS = 0x6985;
    static final int WRONG_DATA = 0x6A80;
    static final int NO_SUCH_FUNCTION = 0x6A81;
    static final int NOT_FOUND = 0x6A82;
    static final int NO_MEMORY = 0x6A84;
    static final int WRONG_P1P2 = 0x6A86;
    static final int NO_REFERENCED_DATA = 0x6A88;
    static final int NO_SUCH_INSTRUCTION = 0x6D00;
    static final int NO_SUCH_CLASS = 0x6E00;

    private Sw() {
    }

    /** Errors carry no data and no protection; warnings do (Amendment D 6.2.5). */
    static boolean isError(int status) {
        int first = status >> 8;
        return status != OK && first != 0x62 && first != 0x63;
    }

    /** An answer APDU. */
    static byte[] answer(byte[] data, int status) {
        byte[] answer = Arrays.copyOf(data, data.length + 2);
        answer[data.length] = (byte) (status >> 8);
        answer[data.length + 1] = (byte) status;
        return answer;
    }
}
