package org.simsync.card;

import javacard.framework.Util;
import javacard.security.MessageDigest;

/**
 * Who the card is and how far its life has come: one record, so that PERSONALISE, CHANGE, SET SERVER and the steps of
 * life each take effect with a single write.
 */
final class Profile {
    private static final short LIFECYCLE = Twin.BODY;
    private static final short FLAGS = (short) (LIFECYCLE + 1);
    static final short CARD_ID = (short) (FLAGS + 1);
    /** LV fields and the CA pin, in the order of PERSONALISE's data. */
    static final short SUBSCRIBER = (short) (CARD_ID + Proto.LEN_CARD_ID);
    static final short LABEL = (short) (SUBSCRIBER + 1 + Proto.LEN_SUBSCRIBER_MAX);
    static final short SERVER = (short) (LABEL + 1 + Proto.LEN_LABEL_MAX);
    static final short CA_PIN = (short) (SERVER + 1 + Proto.LEN_SERVER_MAX);
    private static final short BODY_LENGTH = (short) (CA_PIN + Proto.LEN_HASH - Twin.BODY);

    /** Flags. Which of the two PIN objects counts is noted here too; see {@link Secrets}. */
    static final byte CONTACTLESS = 1;
    static final byte PIN_DUE = 2;
    static final byte KEYS_MADE = 4;
    static final byte SECOND_PIN = 8;
    static final byte SECOND_PUK = 16;
    static final byte WIPED = 32;

    private final Twin record;

    Profile(Nv nv, Ram ram, MessageDigest sha, short index) {
        record = new Twin(nv, ram, sha, BODY_LENGTH, index);
        byte[] image = record.edit();
        image[LIFECYCLE] = Proto.LIFE_INSTALLED;
        record.commit();
    }

    /** The record, to be read at the offsets of this class. */
    byte[] array() {
        return record.array();
    }

    byte lifecycle() {
        return record.array()[LIFECYCLE];
    }

    boolean has(byte flag) {
        return (byte) (record.array()[FLAGS] & flag) != (byte) 0;
    }

    /** Begins a change of several things; {@link #commit} makes all of them true at once. */
    byte[] edit() {
        return record.edit();
    }

    void commit() {
        record.commit();
    }

    static void setLifecycle(byte[] image, byte lifecycle) {
        image[LIFECYCLE] = lifecycle;
    }

    static void setFlag(byte[] image, byte flag, boolean on) {
        if (on) {
            image[FLAGS] = (byte) (image[FLAGS] | flag);
        } else {
            image[FLAGS] = (byte) (image[FLAGS] & (byte) ~flag);
        }
    }

    /** Copies an LV field into the image; the rest of its room becomes zeros. */
    static void setField(byte[] image, short at, short roomForValue, byte[] from, short offset) {
        Util.arrayFillNonAtomic(image, at, (short) (1 + roomForValue), (byte) 0);
        short length = (short) (1 + Bytes.unsigned(from[offset]));
        Util.arrayCopyNonAtomic(from, offset, image, at, length);
    }

    /** Copies an LV field out; answers where it ends. */
    short copyField(short at, byte[] to, short offset) {
        byte[] body = record.array();
        short length = (short) (1 + Bytes.unsigned(body[at]));
        return Util.arrayCopyNonAtomic(body, at, to, offset, length);
    }

    /** Ends the card's life and forgets who it was, in one write; the second copy follows. */
    void terminate() {
        writeTerminated(false);
        writeTerminated(false);
    }

    /** Notes that nothing is left to wipe. */
    void setWiped() {
        writeTerminated(true);
    }

    private void writeTerminated(boolean wiped) {
        byte[] image = record.edit();
        Util.arrayFillNonAtomic(image, Twin.BODY, BODY_LENGTH, (byte) 0);
        image[LIFECYCLE] = Proto.LIFE_TERMINATED;
        setFlag(image, WIPED, wiped);
        record.commit();
    }
}
