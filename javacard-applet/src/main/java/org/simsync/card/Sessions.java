package org.simsync.card;

import javacard.framework.ISOException;
import javacard.framework.Util;
import javacard.security.MessageDigest;

/**
 * The session counter and, for each slot, the newest session that is not settled: one record, so that a number is
 * counted and noted in a single write, before anything is signed with it. A number is never used twice.
 */
final class Sessions {
    private static final short COUNTER = Twin.BODY;
    private static final short UNSETTLED = (short) (COUNTER + Proto.LEN_N);
    private static final short BODY_LENGTH = (short) (Proto.LEN_N + (short) (Proto.SLOTS * Proto.LEN_N));

    private final Twin record;

    Sessions(Nv nv, Ram ram, MessageDigest sha, short index) {
        record = new Twin(nv, ram, sha, BODY_LENGTH, index);
        record.edit();
        record.commit();
    }

    private static short at(short slot) {
        return (short) (UNSETTLED + (short) (slot * Proto.LEN_N));
    }

    boolean isUnsettled(short slot) {
        return !Bytes.isZero(record.array(), at(slot), Proto.LEN_N);
    }

    short copyUnsettled(short slot, byte[] to, short offset) {
        return Util.arrayCopyNonAtomic(record.array(), at(slot), to, offset, Proto.LEN_N);
    }

    /** Counts up, notes the number in the slot, copies it out. 6A84 when all numbers are used. */
    void next(short slot, byte[] to, short offset) {
        byte[] image = record.edit();
        if (!Bytes.increment(image, COUNTER, Proto.LEN_N)) {
            ISOException.throwIt(Proto.SW_FULL);
        }
        Util.arrayCopyNonAtomic(image, COUNTER, image, at(slot), Proto.LEN_N);
        record.commit();
        Util.arrayCopyNonAtomic(record.array(), COUNTER, to, offset, Proto.LEN_N);
    }

    /** Settles the slots of a bitmap (bit 0 = slot 0); writes only if one of them was unsettled. */
    void settle(short bitmap) {
        byte[] image = record.edit();
        boolean changed = false;
        for (short slot = 0; slot < Proto.SLOTS; slot++) {
            if ((short) (bitmap & bit(slot)) != 0 && !Bytes.isZero(image, at(slot), Proto.LEN_N)) {
                Util.arrayFillNonAtomic(image, at(slot), Proto.LEN_N, (byte) 0);
                changed = true;
            }
        }
        if (changed) {
            record.commit();
        }
    }

    static short bit(short slot) {
        return (short) ((short) 1 << slot);
    }

    void wipe() {
        record.wipe();
    }
}
