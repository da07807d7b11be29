package org.simsync.card;

import javacard.framework.ISOException;
import javacard.framework.Util;
import javacard.security.ECPrivateKey;
import javacard.security.ECPublicKey;
import javacard.security.KeyAgreement;
import javacard.security.KeyBuilder;
import javacard.security.KeyPair;
import javacard.security.Signature;

/** The card's two keys: SIG signs, KEM agrees; neither does the other's work and neither leaves the card. */
final class Keys {
    private static final byte FIRST_OF_POINT = 4;
    private static final short GENERATE_ATTEMPTS = 4;

    private final Nv nv;
    private final Ram ram;
    private final ECPrivateKey sigPrivate;
    private final ECPublicKey sigPublic;
    private final ECPrivateKey kemPrivate;
    private final ECPublicKey kemPublic;
    private final ECPublicKey terminal;
    private final KeyPair sig;
    private final KeyPair kem;
    private final Signature ecdsa;
    private final KeyAgreement ecdh;

    Keys(Nv nv, Ram ram) {
        this.nv = nv;
        this.ram = ram;
        sigPrivate = privateKey();
        sigPublic = publicKey();
        kemPrivate = privateKey();
        kemPublic = publicKey();
        terminal = publicKey();
        sig = new KeyPair(sigPublic, sigPrivate);
        kem = new KeyPair(kemPublic, kemPrivate);
        ecdsa = Signature.getInstance(Signature.ALG_ECDSA_SHA_256, false);
        ecdh = KeyAgreement.getInstance(KeyAgreement.ALG_EC_SVDP_DH_PLAIN, false);
    }

    private static ECPrivateKey privateKey() {
        ECPrivateKey key = (ECPrivateKey) KeyBuilder.buildKey(KeyBuilder.TYPE_EC_FP_PRIVATE, Curve.BITS, false);
        Curve.setOn(key);
        return key;
    }

    private static ECPublicKey publicKey() {
        ECPublicKey key = (ECPublicKey) KeyBuilder.buildKey(KeyBuilder.TYPE_EC_FP_PUBLIC, Curve.BITS, false);
        Curve.setOn(key);
        return key;
    }

    /** Makes both keys. 6A81 on a card whose keys do not work, or that agrees with points off the curve. */
    void generate() {
        short attempts = GENERATE_ATTEMPTS;
        do {
            if (attempts == 0) {
                ISOException.throwIt(Proto.SW_CANNOT);
            }
            attempts--;
            nv.generate(sig);
            nv.generate(kem);
        } while (!sigWorks() || !kemWorks());

        // A card that takes such points lets its private key be found out with a few of them.
        Curve.putPointOffCurve(ram.work, (short) 0);
        if (agree(ram.work, (short) 0, ram.out, (short) 0)) {
            ISOException.throwIt(Proto.SW_CANNOT);
        }
    }

    /**
     * Whether public and private SIG key belong together. They may not: the simulator makes a mistake when a key object
     * is used a second time, as after a cut, and a private key begins with a zero byte.
     */
    private boolean sigWorks() {
        Curve.putGenerator(ram.work, (short) 0);
        sign(Proto.LEN_POINT, ram.out, (short) 0);
        ecdsa.init(sigPublic, Signature.MODE_VERIFY);
        return ecdsa.verify(ram.work, (short) 0, Proto.LEN_POINT, ram.out, (short) 1, Bytes.unsigned(ram.out[0]));
    }

    /** The same for KEM: agreeing with the generator gives the x-coordinate of the key's own point. */
    private boolean kemWorks() {
        Curve.putGenerator(ram.work, (short) 0);
        kemPublic.getW(ram.out, Proto.LEN_HASH);
        return agree(ram.work, (short) 0, ram.out, (short) 0)
                && Bytes.equal(ram.out, (short) 0, ram.out, (short) (Proto.LEN_HASH + 1), Proto.LEN_HASH);
    }

    void wipe() {
        nv.clear(sigPrivate);
        nv.clear(kemPrivate);
    }

    short copySigPoint(byte[] to, short offset) {
        return (short) (offset + sigPublic.getW(to, offset));
    }

    short copyKemPoint(byte[] to, short offset) {
        return (short) (offset + kemPublic.getW(to, offset));
    }

    /** Signs the first bytes of the work buffer; writes LV of the signature and answers where it ends. */
    short sign(short textLength, byte[] to, short offset) {
        ecdsa.init(sigPrivate, Signature.MODE_SIGN);
        short length = ecdsa.sign(ram.work, (short) 0, textLength, to, (short) (offset + 1));
        to[offset] = (byte) length;
        return (short) ((short) (offset + 1) + length);
    }

    /** Whether the signature over the first bytes of the work buffer is by the key with this point. */
    boolean verify(short textLength, byte[] point, short pointOffset, byte[] from, short offset, short length) {
        try {
            if (!holds(terminal, point, pointOffset)) {
                nv.setPoint(terminal, point, pointOffset);
            }
            ecdsa.init(terminal, Signature.MODE_VERIFY);
            return ecdsa.verify(ram.work, (short) 0, textLength, from, offset, length);
        } catch (RuntimeException e) {
            // Platforms differ in what they throw at a signature that is no DER; all of it means: not signed.
            return false;
        }
    }

    /**
     * Whether the key has this point already: to read it takes cards a few milliseconds, to set it up to 190, and each time a
     * write. A point that a cut left half set is another one. The answer's buffer is free while signatures are checked.
     */
    private boolean holds(ECPublicKey key, byte[] point, short pointOffset) {
        return key.isInitialized() && key.getW(ram.out, (short) 0) == Proto.LEN_POINT
                && Util.arrayCompare(ram.out, (short) 0, point, pointOffset, Proto.LEN_POINT) == 0;
    }

    /** 6A80 unless the point can be agreed with. */
    void requirePoint(byte[] from, short offset) {
        if (!agree(from, offset, ram.out, (short) 0)) {
            ISOException.throwIt(Proto.SW_BAD_DATA);
        }
        Util.arrayFillNonAtomic(ram.out, (short) 0, Proto.LEN_HASH, (byte) 0);
    }

    /**
     * Writes the x-coordinate of ECDH with the KEM key, 32 bytes; false if the point is none of the curve's. The
     * agreement itself is the check: cards refuse other points there, and {@link #generate} refuses cards that do not.
     */
    boolean agree(byte[] point, short pointOffset, byte[] to, short offset) {
        if (point[pointOffset] != FIRST_OF_POINT) {
            return false;
        }
        try {
            ecdh.init(kemPrivate);
            return ecdh.generateSecret(point, pointOffset, Proto.LEN_POINT, to, offset) == Proto.LEN_HASH;
        } catch (RuntimeException e) {
            // A CryptoException by the standard; platforms throw other things too at coordinates outside the field.
            return false;
        }
    }
}
