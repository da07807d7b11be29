package org.simsync.bridge.gp;

import java.util.Arrays;
import javax.crypto.Cipher;

/** Three keys of one version: AES with 16, 24 or 32 bytes, or two-key triple DES with 16. Its counter goes with it. */
final class KeySet {
    /** Key types (GPCS, table 11-16). */
    static final int TYPE_DES = 0x80;
    static final int TYPE_AES = 0x88;
    private static final int CHECK_VALUE = 3;

    private final int version;
    private final int type;
    private final byte[] enc;
    private final byte[] mac;
    private final byte[] dek;
    /** The sequence counter; SCP03 says 3 bytes of it, SCP02 2 (Amendment D 6.2.2; GPCS E.1.2.1). */
    private int counter;

    KeySet(int version, int type, byte[] enc, byte[] mac, byte[] dek) {
        this.version = version;
        this.type = type;
        this.enc = enc;
        this.mac = mac;
        this.dek = dek;
    }

    int version() {
        return version;
    }

    int type() {
        return type;
    }

    byte[] enc() {
        return enc;
    }

    byte[] mac() {
        return mac;
    }

    byte[] dek() {
        return dek;
    }

    int counter() {
        return counter;
    }

    void count() {
        counter++;
    }

    /** The first bytes of an encrypted block: of ones for AES, of zeros for DES (Amendment D 7.2; GPCS B.5). */
    static byte[] checkValue(int type, byte[] key) {
        byte[] block;
        if (type == TYPE_AES) {
            byte[] ones = new byte[Ciphers.AES_BLOCK];
            Arrays.fill(ones, (byte) 1);
            block = Ciphers.aesEcb(key, ones);
        } else {
            block = Ciphers.des3Ecb(Cipher.ENCRYPT_MODE, key, new byte[Ciphers.DES_BLOCK]);
        }
        return Arrays.copyOf(block, CHECK_VALUE);
    }
}
