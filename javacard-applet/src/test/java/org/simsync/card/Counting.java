package org.simsync.card;

import java.lang.reflect.Field;
import javacard.security.Key;
import javacard.security.KeyAgreement;
import javacard.security.PrivateKey;
import javacard.security.Signature;

/** Counts a card's operations with public and private keys. */
final class Counting {
    int signed;
    int verified;
    int agreed;
    /** Length of the newest signature. */
    int signature;

    /** Puts itself between the applet and the platform. */
    static Counting on(TestCard card) throws ReflectiveOperationException {
        Counting counting = new Counting();
        Object keys = Records.field(card, "keys");
        replace(keys, "ecdsa", counting.new Signing((Signature) Records.get(keys, "ecdsa")));
        replace(keys, "ecdh", counting.new Agreeing((KeyAgreement) Records.get(keys, "ecdh")));
        return counting;
    }

    private static void replace(Object in, String name, Object by) throws ReflectiveOperationException {
        Field field = in.getClass().getDeclaredField(name);
        field.setAccessible(true);
        field.set(in, by);
    }

    void reset() {
        signed = 0;
        verified = 0;
        agreed = 0;
        signature = 0;
    }

    private final class Agreeing extends KeyAgreement {
        private final KeyAgreement inner;

        Agreeing(KeyAgreement inner) {
            this.inner = inner;
        }

        @Override
        public void init(PrivateKey key) {
            inner.init(key);
        }

        @Override
        public byte getAlgorithm() {
            return inner.getAlgorithm();
        }

        @Override
        public short generateSecret(byte[] from, short offset, short length, byte[] to, short at) {
            agreed++;
            return inner.generateSecret(from, offset, length, to, at);
        }
    }

    private final class Signing extends Signature {
        private final Signature inner;

        Signing(Signature inner) {
            this.inner = inner;
        }

        @Override
        public void init(Key key, byte mode) {
            inner.init(key, mode);
        }

        @Override
        public short sign(byte[] from, short offset, short length, byte[] to, short at) {
            signed++;
            signature = inner.sign(from, offset, length, to, at);
            return (short) signature;
        }

        @Override
        public boolean verify(byte[] from, short offset, short length, byte[] sig, short at, short sigLength) {
            verified++;
            return inner.verify(from, offset, length, sig, at, sigLength);
        }

        @Override
        public byte getAlgorithm() {
            return inner.getAlgorithm();
        }

        @Override
        public byte getMessageDigestAlgorithm() {
            return inner.getMessageDigestAlgorithm();
        }

        @Override
        public byte getCipherAlgorithm() {
            return inner.getCipherAlgorithm();
        }

        @Override
        public byte getPaddingAlgorithm() {
            return inner.getPaddingAlgorithm();
        }

        @Override
        public short getLength() {
            return inner.getLength();
        }

        // The applet calls none of these; SubsetTest knows what it calls.

        @Override
        public void init(Key key, byte mode, byte[] from, short offset, short length) {
            throw new UnsupportedOperationException();
        }

        @Override
        public void setInitialDigest(byte[] state, short offset, short length, byte[] done, short at, short doneLength) {
            throw new UnsupportedOperationException();
        }

        @Override
        public void update(byte[] from, short offset, short length) {
            throw new UnsupportedOperationException();
        }

        @Override
        public short signPreComputedHash(byte[] from, short offset, short length, byte[] to, short at) {
            throw new UnsupportedOperationException();
        }

        @Override
        public boolean verifyPreComputedHash(byte[] from, short offset, short length, byte[] sig, short at,
                short sigLength) {
            throw new UnsupportedOperationException();
        }
    }
}
