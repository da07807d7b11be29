package org.simsync.card;

import javacard.framework.ISOException;
import javacard.framework.Util;
import javacard.security.MessageDigest;

/** The newest vault head that this card has seen: the witness that travels with its owner. */
final class Head {
    /** The fields in the order of PUT HEAD's data; OPEN SESSION's answer has the writer behind them. */
    static final short LENGTH = 81;
    /** Who wrote them: the beginning of the terminal's ID, and the number of its session. */
    static final short LEN_WRITER = (short) (Proto.LEN_SHORT_ID + Proto.LEN_N);

    /** So much may each number rise at once. A card that is far behind is led up in steps. */
    private static final short STEP_EPOCH = 1;
    private static final short STEP_SEQUENCE = 1024;
    private static final short STEP_LIST = 16;
    /** So many leading bytes of a first record's numbers are zero: what is far ahead of every vault could never be led back. */
    private static final short ZEROS_EPOCH = 2;
    private static final short ZEROS_SEQUENCE = 4;
    private static final short ZEROS_LIST = 2;

    private static final short LEN_EPOCH = 4;
    private static final short LEN_SEQUENCE = 8;
    private static final short LEN_LIST = 4;
    private static final short SEQUENCE = LEN_EPOCH;
    private static final short HEAD_HASH = (short) (SEQUENCE + LEN_SEQUENCE);
    private static final short LIST = (short) (HEAD_HASH + Proto.LEN_HASH);
    private static final short LIST_HASH = (short) (LIST + LEN_LIST);

    private static final short FLAGS = (short) (LIST_HASH + Proto.LEN_HASH);
    private static final byte FLAGS_UNKNOWN = (byte) ~Proto.FLAG_CLOSED;

    private static final short IS_SET = Twin.BODY;
    private static final short FIELDS = (short) (IS_SET + 1);
    private static final short WRITER = (short) (FIELDS + LENGTH);
    private static final short BODY_LENGTH = (short) ((short) (1 + LENGTH) + LEN_WRITER);

    private final Twin record;

    Head(Nv nv, Ram ram, MessageDigest sha, short index) {
        record = new Twin(nv, ram, sha, BODY_LENGTH, index);
        record.edit();
        record.commit();
    }

    /** Copies "is set" (1), the fields and their writer out; answers where they end. */
    short copy(byte[] to, short offset) {
        return Util.arrayCopyNonAtomic(record.array(), IS_SET, to, offset, BODY_LENGTH);
    }

    /**
     * Takes new fields and their writer, or refuses them with 6A80 if they have a flag that is none, go back, too far ahead,
     * or contradict the stored ones. restored: the owner ended a record that nobody can prove; list and epoch may go back.
     */
    void put(byte[] from, short offset, boolean restored, byte[] writer, short terminal, short n) {
        if ((byte) (from[(short) (offset + FLAGS)] & FLAGS_UNKNOWN) != (byte) 0) {
            ISOException.throwIt(Proto.SW_BAD_DATA);
        }
        byte[] old = record.array();
        boolean may = old[IS_SET] == 0 ? mayBegin(from, offset) : mayFollow(old, from, offset, restored);
        if (!may) {
            ISOException.throwIt(Proto.SW_BAD_DATA);
        }
        if (old[IS_SET] != 0 && Util.arrayCompare(old, FIELDS, from, offset, LENGTH) == 0) {
            // The same head again, perhaps only to settle a slot: the memory need not wear.
            return;
        }
        byte[] image = record.edit();
        image[IS_SET] = 1;
        Util.arrayCopyNonAtomic(from, offset, image, FIELDS, LENGTH);
        short end = Util.arrayCopyNonAtomic(writer, terminal, image, WRITER, Proto.LEN_SHORT_ID);
        Util.arrayCopyNonAtomic(writer, n, image, end, Proto.LEN_N);
        record.commit();
    }

    private static boolean mayBegin(byte[] from, short offset) {
        return Bytes.isZero(from, offset, ZEROS_EPOCH)
                && Bytes.isZero(from, (short) (offset + SEQUENCE), ZEROS_SEQUENCE)
                && Bytes.isZero(from, (short) (offset + LIST), ZEROS_LIST);
    }

    private static boolean mayFollow(byte[] old, byte[] next, short nextAt, boolean restored) {
        short epoch = Bytes.ahead(next, nextAt, old, FIELDS, LEN_EPOCH);
        short sequence = ahead(next, nextAt, old, SEQUENCE, LEN_SEQUENCE);
        short list = ahead(next, nextAt, old, LIST, LEN_LIST);
        if (epoch > STEP_EPOCH || sequence > STEP_SEQUENCE || list > STEP_LIST) {
            return false;
        }
        if (restored && sequence > 0) {
            return true;
        }
        if (epoch == Bytes.BELOW || sequence == Bytes.BELOW || list == Bytes.BELOW) {
            return false;
        }
        if (epoch == 0 && sequence == 0 && !sameHash(next, nextAt, old, HEAD_HASH)) {
            return false;
        }
        return list != 0 || sameHash(next, nextAt, old, LIST_HASH);
    }

    private static short ahead(byte[] next, short nextAt, byte[] old, short at, short length) {
        return Bytes.ahead(next, (short) (nextAt + at), old, (short) (FIELDS + at), length);
    }

    private static boolean sameHash(byte[] next, short nextAt, byte[] old, short at) {
        return Util.arrayCompare(next, (short) (nextAt + at), old, (short) (FIELDS + at), Proto.LEN_HASH) == 0;
    }

    void wipe() {
        record.wipe();
    }
}
