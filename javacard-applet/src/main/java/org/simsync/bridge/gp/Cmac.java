package org.simsync.bridge.gp;

import java.util.Arrays;
import javax.crypto.Cipher;

/** AES-CMAC (NIST SP 800-38B, RFC 4493), and the key derivation function that SCP03 builds on it. */
final class Cmac {
    private static final int BLOCK = Ciphers.AES_BLOCK;
    /** R for blocks of 128 bits (SP 800-38B, 5.3). */
    private static final int R = 0x87;

    private Cmac() {
    }

    /** 16 bytes; the key has 16, 24 or 32. */
    static byte[] of(byte[] key, byte[]... message) {
        byte[] data = Tlv.join(message);
        byte[] subkey = twice(Ciphers.aesEcb(key, new byte[BLOCK]));
        if (data.length == 0 || data.length % BLOCK != 0) {
            subkey = twice(subkey);
            data = Ciphers.pad(data, BLOCK);
        }
        for (int i = 0; i < BLOCK; i++) {
            data[data.length - BLOCK + i] ^= subkey[i];
        }
        byte[] chain = Ciphers.aesCbc(Cipher.ENCRYPT_MODE, key, new byte[BLOCK], data);
        return Arrays.copyOfRange(chain, chain.length - BLOCK, chain.length);
    }

    private static byte[] twice(byte[] block) {
        byte[] result = new byte[BLOCK];
        int carry = 0;
        for (int i = BLOCK - 1; i >= 0; i--) {
            result[i] = (byte) (block[i] << 1 | carry);
            carry = block[i] >> 7 & 1;
        }
        result[BLOCK - 1] ^= (byte) (carry == 0 ? 0 : R);
        return result;
    }

    /**
     * Key derivation in counter mode (SP 800-108; Amendment D 4.1.5): so many bits from a label that ends in the constant
     * and the context.
     */
    static byte[] derive(byte[] key, int constant, int bits, byte[] context) {
        byte[] derived = new byte[0];
        for (int counter = 1; derived.length * 8 < bits; counter++) {
            byte[] label = new byte[BLOCK];
            label[11] = (byte) constant;
            label[13] = (byte) (bits >> 8);
            label[14] = (byte) bits;
            label[15] = (byte) counter;
            derived = Tlv.join(derived, of(key, label, context));
        }
        return Arrays.copyOf(derived, bits / 8);
    }
}
