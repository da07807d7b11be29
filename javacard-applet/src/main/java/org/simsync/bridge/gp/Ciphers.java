package org.simsync.bridge.gp;

import java.security.GeneralSecurityException;
import java.util.Arrays;
import javax.crypto.Cipher;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/** Block ciphers without padding of their own, and the padding that secure messaging has. */
final class Ciphers {
    static final int AES_BLOCK = 16;
    static final int DES_BLOCK = 8;

    private Ciphers() {
    }

    static byte[] aesEcb(byte[] key, byte[] block) {
        return run("AES/ECB/NoPadding", "AES", Cipher.ENCRYPT_MODE, key, null, block);
    }

    static byte[] aesCbc(int mode, byte[] key, byte[] iv, byte[] data) {
        return run("AES/CBC/NoPadding", "AES", mode, key, iv, data);
    }

    /** Two-key triple DES, the key 16 bytes. */
    static byte[] des3Cbc(int mode, byte[] key, byte[] iv, byte[] data) {
        return run("DESede/CBC/NoPadding", "DESede", mode, threeParts(key), iv, data);
    }

    static byte[] des3Ecb(int mode, byte[] key, byte[] data) {
        return run("DESede/ECB/NoPadding", "DESede", mode, threeParts(key), null, data);
    }

    /** Single DES with the first half of a key of 16 bytes. */
    static byte[] desCbc(byte[] key, byte[] iv, byte[] data) {
        return run("DES/CBC/NoPadding", "DES", Cipher.ENCRYPT_MODE, Arrays.copyOf(key, DES_BLOCK), iv, data);
    }

    private static byte[] threeParts(byte[] key) {
        byte[] parts = Arrays.copyOf(key, 3 * DES_BLOCK);
        System.arraycopy(key, 0, parts, 2 * DES_BLOCK, DES_BLOCK);
        return parts;
    }

    private static byte[] run(String transformation, String algorithm, int mode, byte[] key, byte[] iv, byte[] data) {
        try {
            Cipher cipher = Cipher.getInstance(transformation);
            cipher.init(mode, new SecretKeySpec(key, algorithm), iv == null ? null : new IvParameterSpec(iv));
            return cipher.doFinal(data);
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(transformation + " failed", e);
        }
    }

    /** 80, and zeros up to a whole block (ISO 9797-1, method 2). */
    static byte[] pad(byte[] data, int block) {
        byte[] padded = Arrays.copyOf(data, (data.length / block + 1) * block);
        padded[data.length] = (byte) 0x80;
        return padded;
    }

    /** What was padded; null if that is no padding. */
    static byte[] unpad(byte[] padded) {
        int end = padded.length - 1;
        while (end >= 0 && padded[end] == 0) {
            end--;
        }
        return end >= 0 && padded[end] == (byte) 0x80 ? Arrays.copyOf(padded, end) : null;
    }
}
