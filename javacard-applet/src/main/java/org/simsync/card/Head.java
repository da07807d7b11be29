package org.simsync.card;

import javacard.framework.ISOException;
import javacard.framework.Util;
import javacard.security.MessageDigest;

/** The newest vault head that this card has seen: the witness that travels with its owner. */
final class Head {
    /** The fields in the order of PUT HEAD's data and OPEN SESSION's answer. */
    static final short LENGTH = 81;

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
    private static final short BODY_LENGTH = (short) (1 + LENGTH);

    private final Twin record;

    Head(Nv nv, Ram ram, MessageDigest sha, short index) {
        record = new Twin(nv, ram, sha, BODY_LENGTH, index);
        record.edit();
        record.commit();
    }

    /** Copies "is set" (1) and the fields out; answers where they end. */
    short copy(byte[] to, short offset) {
        return Util.arrayCopyNonAtomic(record.array(), IS_SET, to, offset, BODY_LENGTH);
    }

    /**
     * Takes new fields, or refuses them with 6A80 if they have a flag that is none, go back, too far ahead, or contradict the
     * stored ones.
     */
    void put(byte[] from, short offset) {
        if ((byte) (from[(short) (offset + FLAGS)] & FLAGS_UNKNOWN) != (byte) 0) {
            ISOException.throwIt(Proto.SW_BAD_DATA);
        }
        byte[] old = record.array();
        if (old[IS_SET] != 0 && !mayFollow(old, FIELDS, from, offset)) {
            ISOException.throwIt(Proto.SW_BAD_DATA);
        }
        if (old[IS_SET] != 0 && Util.arrayCompare(old, FIELDS, from, offset, LENGTH) == 0) {
            // The same head again, perhaps only to settle a slot: the memory need not wear.
            return;
        }
        byte[] image = record.edit();
        image[IS_SET] = 1;
        Util.arrayCopyNonAtomic(from, offset, image, FIELDS, LENGTH);
        record.commit();
    }

    private static boolean mayFollow(byte[] old, short oldAt, byte[] next, short nextAt) {
        byte epoch = Bytes.distance(next, nextAt, old, oldAt, LEN_EPOCH);
        if (epoch != Bytes.EQUAL && epoch != Bytes.NEXT) {
            return false;
        }
        byte sequence = field(next, nextAt, old, oldAt, SEQUENCE, LEN_SEQUENCE);
        byte list = field(next, nextAt, old, oldAt, LIST, LEN_LIST);
        if (isOutside(sequence) || isOutside(list)) {
            return false;
        }
        if (epoch == Bytes.EQUAL && sequence == Bytes.EQUAL && !sameHash(next, nextAt, old, oldAt, HEAD_HASH)) {
            return false;
        }
        return list != Bytes.EQUAL || sameHash(next, nextAt, old, oldAt, LIST_HASH);
    }

    private static byte field(byte[] next, short nextAt, byte[] old, short oldAt, short at, short length) {
        return Bytes.distance(next, (short) (nextAt + at), old, (short) (oldAt + at), length);
    }

    private static boolean isOutside(byte distance) {
        return distance == Bytes.BELOW || distance == Bytes.FAR;
    }

    private static boolean sameHash(byte[] next, short nextAt, byte[] old, short oldAt, short at) {
        return Util.arrayCompare(next, (short) (nextAt + at), old, (short) (oldAt + at), Proto.LEN_HASH) == 0;
    }

    void wipe() {
        record.wipe();
    }
}
