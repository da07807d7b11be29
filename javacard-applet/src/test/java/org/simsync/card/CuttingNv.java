package org.simsync.card;

import javacard.framework.Util;

/** Persistent memory whose power a test can cut before, or in the middle of, any write. */
final class CuttingNv extends Nv {
    /** Writes since the last {@link #cutAt} or {@link #never}. */
    private int writes;
    private int cutAt = -1;
    private int partOfTen;
    private boolean cut;

    /**
     * Cuts at that write (0 is the next one). Of a write of many bytes so many tenths are done first: 0 is a cut before
     * the write, 9 one that leaves only its end undone.
     */
    void cutAt(int write, int tenths) {
        never();
        cutAt = write;
        partOfTen = tenths;
    }

    void never() {
        writes = 0;
        cutAt = -1;
        cut = false;
    }

    boolean wasCut() {
        return cut;
    }

    int writes() {
        return writes;
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
        } catch (PowerCut e) {
            if (writes == cutAt) {
                Util.arrayCopyNonAtomic(from, fromOffset, to, toOffset, (short) (length * partOfTen / 10));
                writes++;
            }
            throw e;
        }
    }
}
