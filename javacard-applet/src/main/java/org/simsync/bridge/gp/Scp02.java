package org.simsync.bridge.gp;

import java.security.MessageDigest;
import java.util.Arrays;
import javax.crypto.Cipher;

/**
 * SCP02 (GPCS appendix E) with three keys, explicit initiation, a C-MAC over the modified command and an encrypted ICV:
 * i=15, and i=55, whose challenge follows from the counter.
 */
final class Scp02 implements SecureChannel {
    static final int I_PSEUDO_RANDOM = 0x40;
    static final int CHALLENGE = 6;

    /** Derivation constants (GPCS E.4.1). */
    private static final int C_MAC_KEY = 0x0101;
    private static final int DEK_KEY = 0x0181;
    private static final int ENC_KEY = 0x0182;

    private static final int MAC = 8;
    private static final int BLOCK = Ciphers.DES_BLOCK;
    private static final byte[] ZEROS = new byte[BLOCK];

    private final byte[] enc;
    private final byte[] mac;
    private final byte[] dek;
    private final byte[] hostCryptogram;
    private final byte[] opening;
    /** The last MAC; null before the first. */
    private byte[] last;
    private int level;

    Scp02(KeySet keys, byte[] hostChallenge, byte[] cardChallenge, byte[] sequence) {
        enc = sessionKey(keys.enc(), ENC_KEY, sequence);
        mac = sessionKey(keys.mac(), C_MAC_KEY, sequence);
        dek = sessionKey(keys.dek(), DEK_KEY, sequence);
        byte[] card = Tlv.join(sequence, cardChallenge);
        hostCryptogram = cryptogram(Tlv.join(card, hostChallenge));
        opening = Tlv.join(card, cryptogram(Tlv.join(hostChallenge, card)));
    }

    private static byte[] sessionKey(byte[] key, int constant, byte[] sequence) {
        byte[] block = new byte[2 * BLOCK];
        block[0] = (byte) (constant >> 8);
        block[1] = (byte) constant;
        block[2] = sequence[0];
        block[3] = sequence[1];
        return Ciphers.des3Cbc(Cipher.ENCRYPT_MODE, key, ZEROS, block);
    }

    /** The last block of triple DES over all of it (GPCS B.1.2.1). */
    private byte[] cryptogram(byte[] text) {
        byte[] chain = Ciphers.des3Cbc(Cipher.ENCRYPT_MODE, enc, ZEROS, Ciphers.pad(text, BLOCK));
        return Arrays.copyOfRange(chain, chain.length - BLOCK, chain.length);
    }

    /** Single DES, and triple DES for the last block (GPCS B.1.2.2; ISO 9797-1, algorithm 3). */
    private static byte[] retailMac(byte[] key, byte[] icv, byte[] text) {
        byte[] padded = Ciphers.pad(text, BLOCK);
        int lastAt = padded.length - BLOCK;
        byte[] chain = icv;
        if (lastAt > 0) {
            byte[] blocks = Ciphers.desCbc(key, icv, Arrays.copyOf(padded, lastAt));
            chain = Arrays.copyOfRange(blocks, lastAt - BLOCK, lastAt);
        }
        return Ciphers.des3Cbc(Cipher.ENCRYPT_MODE, key, chain, Arrays.copyOfRange(padded, lastAt, padded.length));
    }

    /** The challenge that follows from the counter (GPCS E.4.2.3). */
    static byte[] pseudoRandomChallenge(KeySet keys, byte[] sequence, Aid domain) {
        byte[] key = sessionKey(keys.mac(), C_MAC_KEY, sequence);
        return Arrays.copyOf(retailMac(key, ZEROS, domain.bytes()), CHALLENGE);
    }

    static byte[] sequence(int counter) {
        return new byte[] {(byte) (counter >> 8), (byte) counter};
    }

    @Override
    public byte[] opening() {
        return opening;
    }

    @Override
    public boolean supports(int wanted) {
        return wanted == 0 || wanted == C_MAC || wanted == (C_MAC | C_DECRYPTION);
    }

    @Override
    public void authenticate(Command command) throws Refusal {
        byte[] data = command.data();
        byte[] cryptogram = Arrays.copyOf(data, MAC);
        if (!MessageDigest.isEqual(cryptogram, hostCryptogram)) {
            throw new Refusal(Sw.AUTHENTICATION_FAILED);
        }
        checkMac(command, cryptogram);
        level = command.p1();
    }

    @Override
    public int level() {
        return level;
    }

    /** The MAC is over the plain data and its length (GPCS E.4.4, E.4.6). */
    private void checkMac(Command command, byte[] plain) throws Refusal {
        byte[] icv = last == null ? ZEROS : Ciphers.desCbc(mac, ZEROS, last);
        byte[] expected = retailMac(mac, icv, Tlv.join(command.header(plain.length + MAC), plain));
        byte[] data = command.data();
        byte[] given = Arrays.copyOfRange(data, data.length - MAC, data.length);
        if (!MessageDigest.isEqual(given, expected)) {
            throw new Refusal(Sw.SECURITY_STATUS);
        }
        last = expected;
    }

    @Override
    public Command unwrap(Command command) throws Refusal {
        byte[] data = command.data();
        if (data.length < MAC) {
            throw new Refusal(Sw.SECURITY_STATUS);
        }
        byte[] plain = Arrays.copyOf(data, data.length - MAC);
        if ((level & C_DECRYPTION) != 0 && plain.length > 0) {
            plain = plain.length % BLOCK == 0
                    ? Ciphers.unpad(Ciphers.des3Cbc(Cipher.DECRYPT_MODE, enc, ZEROS, plain)) : null;
        }
        if (plain == null) {
            throw new Refusal(Sw.SECURITY_STATUS);
        }
        checkMac(command, plain);
        return command.plain(plain);
    }

    @Override
    public byte[] wrap(byte[] data, int status) {
        return data;
    }

    /** By the session key (GPCS E.4.7). */
    @Override
    public byte[] decryptKey(byte[] encrypted) {
        return Ciphers.des3Ecb(Cipher.DECRYPT_MODE, dek, encrypted);
    }
}
