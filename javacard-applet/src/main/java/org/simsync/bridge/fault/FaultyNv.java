package org.simsync.bridge.fault;

import javacard.framework.Util;
import javacard.security.ECPublicKey;
import javacard.security.KeyPair;
import org.simsync.card.Nv;

/** Persistent memory whose power a test can cut before, or in the middle of, any write. */
public final class FaultyNv extends Nv {
    /** Length of a point of P-256, uncompressed. */
    private static final short POINT = 65;

    /** Writes since the last {@link #cutAt} or {@link #never}. */
    private int writes;
    private long bytes;
    private int cutAt = -1;
    private int partOfTen;
    private boolean cut;

    /**
     * Cuts at that write (0 is the next one). Of a write of many bytes so many tenths are done first: 0 is a cut before
     * the write, 9 one that leaves only its end undone.
     */
    public void cutAt(int write, int tenths) {
        never();
        cutAt = write;
        partOfTen = tenths;
    }

    public void never() {
        writes = 0;
        bytes = 0;
        cutAt = -1;
        cut = false;
    }

    public boolean wasCut() {
        return cut;
    }

    public int writes() {
        return writes;
    }

    /** Bytes of arrays that were written since then; what keys and PINs write is the platform's own. */
    public long bytes() {
        return bytes;
    }

    @Override
    protected void beforeWrite() {
        if (cut) {
            // A card without power does nothing at all.
            throw new PowerCut();
        }
        if (writes == cutAt) {
            cut = true;
            throw new PowerCut();
        }
        writes++;
    }

    @Override
    protected void copy(byte[] from, short fromOffset, byte[] to, short toOffset, short length) {
        try {
            super.copy(from, fromOffset, to, toOffset, length);
            bytes += length;
        } catch (PowerCut e) {
            if (writes == cutAt) {
                Util.arrayCopyNonAtomic(from, fromOffset, to, toOffset, (short) (length * partOfTen / 10));
                writes++;
            }
            throw e;
        }
    }

    /** Two halves that do not belong together, if part of the write was to be done. */
    @Override
    protected void generate(KeyPair pair) {
        try {
            super.generate(pair);
        } catch (PowerCut e) {
            if (writes == cutAt && partOfTen > 0) {
                ECPublicKey half = (ECPublicKey) pair.getPublic();
                byte[] point = new byte[POINT];
                pair.genKeyPair();
                half.getW(point, (short) 0);
                pair.genKeyPair();
                half.setW(point, (short) 0, POINT);
                writes++;
            }
            throw e;
        }
    }

    /** A point that nobody gave, if part of the write was to be done. */
    @Override
    protected void setPoint(ECPublicKey key, byte[] from, short offset) {
        try {
            super.setPoint(key, from, offset);
        } catch (PowerCut e) {
            if (writes == cutAt && partOfTen > 0) {
                byte[] generator = new byte[POINT];
                key.getG(generator, (short) 0);
                key.setW(generator, (short) 0, POINT);
                writes++;
            }
            throw e;
        }
    }
}
