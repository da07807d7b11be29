package org.simsync.card;

import javacard.framework.Util;
import javacard.security.MessageDigest;

/** The 16 slots of paired terminals. */
final class Terminals {
    static final short NOT_FOUND = -1;

    private static final short TAKEN = 0;
    private static final short ID = 1;
    private static final short POINT = (short) (ID + Proto.LEN_HASH);
    private static final short LABEL = (short) (POINT + Proto.LEN_POINT);
    private static final short BODY_LENGTH = (short) (LABEL + 1 + Proto.LEN_TERMINAL_LABEL_MAX);

    /** Of {@link Twin}; the converter refuses arrays of arrays but not arrays of objects. */
    private final Object[] slots;

    Terminals(Nv nv, Ram ram, MessageDigest sha, short firstIndex) {
        slots = new Object[Proto.SLOTS];
        for (short i = 0; i < Proto.SLOTS; i++) {
            slots[i] = new Twin(nv, ram, sha, BODY_LENGTH, (short) (firstIndex + i));
        }
    }

    private Twin slot(short slot) {
        return (Twin) slots[slot];
    }

    boolean isTaken(short slot) {
        Twin record = slot(slot);
        return record.isWritten() && record.array()[(short) (Twin.BODY + TAKEN)] != 0;
    }

    /** The slot of a terminal ID, or NOT_FOUND. */
    short find(byte[] id, short offset) {
        for (short i = 0; i < Proto.SLOTS; i++) {
            // The cheap look comes first: checksums over all slots would take a card a third of a second.
            if (slot(i).mayHold(id, offset, ID, Proto.LEN_HASH) && isTaken(i)
                    && Util.arrayCompare(slot(i).array(), idAt(), id, offset, Proto.LEN_HASH) == 0) {
                return i;
            }
        }
        return NOT_FOUND;
    }

    /** The first free slot, or NOT_FOUND. */
    short findFree() {
        for (short i = 0; i < Proto.SLOTS; i++) {
            if (!isTaken(i)) {
                return i;
            }
        }
        return NOT_FOUND;
    }

    /** The array with the slot's record, for {@link #idAt} and {@link #pointAt}; the slot must be taken. */
    byte[] array(short slot) {
        return slot(slot).array();
    }

    static short idAt() {
        return (short) (Twin.BODY + ID);
    }

    static short pointAt() {
        return (short) (Twin.BODY + POINT);
    }

    /** Copies the LV label out; answers where it ends. */
    short copyLabel(short slot, byte[] to, short offset) {
        byte[] body = slot(slot).array();
        short at = (short) (Twin.BODY + LABEL);
        return Util.arrayCopyNonAtomic(body, at, to, offset, (short) (1 + Bytes.unsigned(body[at])));
    }

    /** Whether the slot's LV label is this one. */
    boolean hasLabel(short slot, byte[] label, short offset) {
        byte[] body = slot(slot).array();
        short at = (short) (Twin.BODY + LABEL);
        return Util.arrayCompare(body, at, label, offset, (short) (1 + Bytes.unsigned(label[offset]))) == 0;
    }

    /** Writes a slot: ID, point and LV label. */
    void put(short slot, byte[] id, short idOffset, byte[] point, short pointOffset, byte[] label, short labelOffset) {
        Twin record = slot(slot);
        byte[] image = record.edit();
        image[(short) (Twin.BODY + TAKEN)] = 1;
        Util.arrayCopyNonAtomic(id, idOffset, image, idAt(), Proto.LEN_HASH);
        Util.arrayCopyNonAtomic(point, pointOffset, image, pointAt(), Proto.LEN_POINT);
        Profile.setField(image, (short) (Twin.BODY + LABEL), Proto.LEN_TERMINAL_LABEL_MAX, label, labelOffset);
        record.commit();
    }

    /** Frees a slot in one write. */
    void free(short slot) {
        Twin record = slot(slot);
        byte[] image = record.edit();
        Util.arrayFillNonAtomic(image, Twin.BODY, BODY_LENGTH, (byte) 0);
        record.commit();
    }

    void wipe() {
        for (short i = 0; i < Proto.SLOTS; i++) {
            slot(i).wipe();
        }
    }
}
