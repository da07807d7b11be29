package org.simsync.card;

import java.io.ByteArrayOutputStream;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Signature;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.util.Arrays;
import javax.crypto.KeyAgreement;

/** P-256, signatures and signed texts, done by the JDK and so not by the code under test. */
final class Crypto {
    private Crypto() {
    }

    /** Something of the JDK's that cannot fail here. */
    private interface Step<T> {
        T run() throws GeneralSecurityException;
    }

    private static <T> T sure(Step<T> step) {
        try {
            return step.run();
        } catch (GeneralSecurityException e) {
            throw new AssertionError(e);
        }
    }

    static KeyPair newKeyPair() {
        return sure(() -> {
            KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
            generator.initialize(new ECGenParameterSpec("secp256r1"));
            return generator.generateKeyPair();
        });
    }

    static byte[] encode(ECPublicKey key) {
        byte[] point = new byte[65];
        point[0] = 4;
        putNumber(key.getW().getAffineX(), point, 1);
        putNumber(key.getW().getAffineY(), point, 33);
        return point;
    }

    private static void putNumber(BigInteger number, byte[] to, int offset) {
        byte[] bytes = number.toByteArray();
        int length = Math.min(32, bytes.length);
        System.arraycopy(bytes, bytes.length - length, to, offset + 32 - length, length);
    }

    static PublicKey decode(byte[] point) {
        return sure(() -> {
            AlgorithmParameters curve = AlgorithmParameters.getInstance("EC");
            curve.init(new ECGenParameterSpec("secp256r1"));
            ECPoint w = new ECPoint(new BigInteger(1, Arrays.copyOfRange(point, 1, 33)),
                    new BigInteger(1, Arrays.copyOfRange(point, 33, 65)));
            return KeyFactory.getInstance("EC").generatePublic(
                    new ECPublicKeySpec(w, curve.getParameterSpec(ECParameterSpec.class)));
        });
    }

    static byte[] sha256(byte[]... parts) {
        return sure(() -> {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            for (byte[] part : parts) {
                digest.update(part);
            }
            return digest.digest();
        });
    }

    static byte[] sign(PrivateKey key, byte[] text) {
        return sure(() -> {
            Signature signature = Signature.getInstance("SHA256withECDSA");
            signature.initSign(key);
            signature.update(text);
            return signature.sign();
        });
    }

    static boolean verify(byte[] point, byte[] text, byte[] der) {
        return sure(() -> {
            Signature signature = Signature.getInstance("SHA256withECDSA");
            signature.initVerify(decode(point));
            signature.update(text);
            return signature.verify(der);
        });
    }

    static byte[] agree(PrivateKey key, byte[] point) {
        return sure(() -> {
            KeyAgreement agreement = KeyAgreement.getInstance("ECDH");
            agreement.init(key);
            agreement.doPhase(decode(point), true);
            return agreement.generateSecret();
        });
    }

    /** Fields, each with its length in 2 bytes. */
    static byte[] fields(byte[]... fields) {
        ByteArrayOutputStream text = new ByteArrayOutputStream();
        for (byte[] field : fields) {
            text.write(field.length >> 8);
            text.write(field.length);
            text.writeBytes(field);
        }
        return text.toByteArray();
    }

    /** A text to be signed: domain, card ID and the further fields. */
    static byte[] text(String domain, byte[] cardId, byte[]... more) {
        byte[][] all = new byte[more.length + 2][];
        all[0] = ("simsync/1/" + domain).getBytes(StandardCharsets.US_ASCII);
        all[1] = cardId;
        System.arraycopy(more, 0, all, 2, more.length);
        return fields(all);
    }
}
