package org.simsync.card;

import javacard.framework.ISOException;
import javacard.framework.Util;
import javacard.security.MessageDigest;

/**
 * A persistent record that is never half written.
 *
 * <p>It stands in two copies: write counter (4), body, checksum (4: the first bytes of SHA-256 over counter and body).
 * The newest copy whose checksum is right counts. A write goes over the other copy, so a cut at any byte of it leaves
 * the old record. Transactions are not used: cards limit them and the simulator does not roll them back.
 */
final class Twin {
    /** Where the body begins in the array that {@link #array} answers, and in the image to be edited. */
    static final short BODY = 4;

    private static final short LEN_COUNTER = 4;
    private static final short LEN_CHECK = 4;

    private static final byte UNKNOWN = 0;
    private static final byte FIRST = 1;
    private static final byte SECOND = 2;
    private static final byte NONE = 3;

    private final Nv nv;
    private final Ram ram;
    private final MessageDigest sha;
    private final byte[] first;
    private final byte[] second;
    private final short bodyLength;
    private final short index;

    /** A record that was never written; index is its own place in {@link Ram#newest}. */
    Twin(Nv nv, Ram ram, MessageDigest sha, short bodyLength, short index) {
        this.nv = nv;
        this.ram = ram;
        this.sha = sha;
        this.bodyLength = bodyLength;
        this.index = index;
        short size = (short) ((short) (LEN_COUNTER + bodyLength) + LEN_CHECK);
        first = new byte[size];
        second = new byte[size];
    }

    /** Whether the record was ever written (or both its copies are damaged). */
    boolean isWritten() {
        return newest() != NONE;
    }

    /** The copy that counts, body at {@link #BODY}; to be read only. */
    byte[] array() {
        byte newest = newest();
        if (newest == NONE) {
            ISOException.throwIt(Proto.SW_MEMORY_DAMAGED);
        }
        return newest == FIRST ? first : second;
    }

    /** Begins a change: the image, body at {@link #BODY}, as it is now, or zeros. End it with {@link #commit}. */
    byte[] edit() {
        byte[] image = ram.work;
        byte newest = newest();
        if (newest == NONE) {
            Util.arrayFillNonAtomic(image, (short) 0, (short) (BODY + bodyLength), (byte) 0);
        } else {
            byte[] current = newest == FIRST ? first : second;
            Util.arrayCopyNonAtomic(current, (short) 0, image, (short) 0, (short) (BODY + bodyLength));
        }
        return image;
    }

    /** Writes the image over the copy that does not count; from then on it does. */
    void commit() {
        byte[] image = ram.work;
        byte newest = newest();
        // 2^32 writes are far beyond what the memory of any card lives through.
        Bytes.increment(image, (short) 0, LEN_COUNTER);
        short checkAt = (short) (BODY + bodyLength);
        sha.doFinal(image, (short) 0, checkAt, ram.hash, (short) 0);
        Util.arrayCopyNonAtomic(ram.hash, (short) 0, image, checkAt, LEN_CHECK);
        byte[] target = newest == FIRST ? second : first;
        // While the copy is being written nothing is known: a command that fails here must look again.
        ram.newest[index] = UNKNOWN;
        nv.copy(image, (short) 0, target, (short) 0, (short) (checkAt + LEN_CHECK));
        ram.newest[index] = newest == FIRST ? SECOND : FIRST;
    }

    /** Overwrites both copies with a body of zeros. */
    void wipe() {
        for (short i = 0; i < 2; i++) {
            byte[] image = edit();
            Util.arrayFillNonAtomic(image, BODY, bodyLength, (byte) 0);
            commit();
        }
    }

    /**
     * Whether either copy holds these bytes there. Cheap, and may be wrong for a copy that does not count: a first look
     * before {@link #array}, whose checksums take time.
     */
    boolean mayHold(byte[] value, short offset, short bodyOffset, short length) {
        short at = (short) (BODY + bodyOffset);
        return Util.arrayCompare(first, at, value, offset, length) == 0
                || Util.arrayCompare(second, at, value, offset, length) == 0;
    }

    private byte newest() {
        if (ram.newest[index] == UNKNOWN) {
            ram.newest[index] = look();
        }
        return ram.newest[index];
    }

    private byte look() {
        boolean firstIsRight = isRight(first);
        boolean secondIsRight = isRight(second);
        if (firstIsRight && secondIsRight) {
            short ahead = Bytes.ahead(first, (short) 0, second, (short) 0, LEN_COUNTER);
            return ahead == Bytes.BELOW ? SECOND : FIRST;
        }
        if (firstIsRight) {
            return FIRST;
        }
        return secondIsRight ? SECOND : NONE;
    }

    private boolean isRight(byte[] copy) {
        short checkAt = (short) (BODY + bodyLength);
        sha.doFinal(copy, (short) 0, checkAt, ram.hash, (short) 0);
        return Util.arrayCompare(ram.hash, (short) 0, copy, checkAt, LEN_CHECK) == 0;
    }
}
