package org.simsync.card;

import javacard.framework.OwnerPIN;
import javacard.framework.Util;
import javacard.security.ECPublicKey;
import javacard.security.Key;
import javacard.security.KeyPair;

/**
 * The one place where persistent memory is written.
 *
 * <p>Power can go before, between and during any of these writes. Nothing here is a transaction: whoever calls must
 * leave, after every single call, a state that reads as old or as new. Tests put a subclass here that cuts the power.
 */
public class Nv {
    /** Called before each write; a card does nothing here, a test may end the card's power. */
    protected void beforeWrite() {
    }

    /**
     * Copies bytes into a persistent array. Not atomic: a cut may leave any part of it written, which is why all that
     * is written this way carries a checksum.
     */
    protected void copy(byte[] from, short fromOffset, byte[] to, short toOffset, short length) {
        beforeWrite();
        Util.arrayCopyNonAtomic(from, fromOffset, to, toOffset, length);
    }

    /** Gives a PIN a new value and all its tries; atomic by the platform. */
    final void setPin(OwnerPIN pin, byte[] from, short offset, byte length) {
        beforeWrite();
        pin.update(from, offset, length);
    }

    /** Compares a PIN; the platform counts the try before it compares. */
    final boolean checkPin(OwnerPIN pin, byte[] from, short offset, byte length) {
        beforeWrite();
        return pin.check(from, offset, length);
    }

    /** Makes a pair. Not atomic: a cut may leave one half of it. */
    protected void generate(KeyPair pair) {
        beforeWrite();
        pair.genKeyPair();
    }

    final void clear(Key key) {
        beforeWrite();
        key.clearKey();
    }

    /** Loads a point into a public key, not atomically; Java Card 3.0.4 has no public keys in transient memory. */
    protected void setPoint(ECPublicKey key, byte[] from, short offset) {
        beforeWrite();
        key.setW(from, offset, Proto.LEN_POINT);
    }
}
