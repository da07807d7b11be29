package org.simsync.bridge.gp;

import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import javax.crypto.Cipher;

/** SCP03 (Amendment D 1.2) in S8 mode: challenges, cryptograms and MACs of 8 bytes. */
final class Scp03 implements SecureChannel {
    /** Bits of i (Amendment D, table 5-1). */
    static final int I_PSEUDO_RANDOM = 0x10;
    static final int I_R_MAC = 0x20;
    static final int I_R_ENCRYPTION = 0x40;
    static final int CHALLENGE = 8;

    /** Derivation constants (Amendment D, table 4-1). */
    private static final int CARD_CRYPTOGRAM = 0x00;
    private static final int HOST_CRYPTOGRAM = 0x01;
    private static final int CARD_CHALLENGE = 0x02;
    private static final int S_ENC = 0x04;
    private static final int S_MAC = 0x06;
    private static final int S_RMAC = 0x07;

    private static final int MAC = 8;
    private static final int BLOCK = Ciphers.AES_BLOCK;
    private static final int SEQUENCE = 3;

    private final int i;
    private final byte[] dek;
    private final byte[] enc;
    private final byte[] mac;
    private final byte[] rmac;
    private final byte[] hostCryptogram;
    private final byte[] opening;
    private byte[] chaining = new byte[BLOCK];
    private int counter;
    private int level;

    /** The sequence is the counter's 3 bytes; it is answered where the challenge came from it. */
    Scp03(KeySet keys, int i, byte[] hostChallenge, byte[] cardChallenge, byte[] sequence) {
        this.i = i;
        dek = keys.dek();
        int bits = 8 * keys.enc().length;
        byte[] context = Tlv.join(hostChallenge, cardChallenge);
        enc = Cmac.derive(keys.enc(), S_ENC, bits, context);
        mac = Cmac.derive(keys.mac(), S_MAC, bits, context);
        rmac = Cmac.derive(keys.mac(), S_RMAC, bits, context);
        hostCryptogram = Cmac.derive(mac, HOST_CRYPTOGRAM, 8 * MAC, context);
        byte[] cardCryptogram = Cmac.derive(mac, CARD_CRYPTOGRAM, 8 * MAC, context);
        byte[] told = (i & I_PSEUDO_RANDOM) == 0 ? new byte[0] : sequence;
        opening = Tlv.join(new byte[] {(byte) i}, cardChallenge, cardCryptogram, told);
    }

    /** The challenge that follows from the counter (Amendment D 6.2.2.1). */
    static byte[] pseudoRandomChallenge(KeySet keys, byte[] sequence, Aid domain) {
        return Cmac.derive(keys.enc(), CARD_CHALLENGE, 8 * CHALLENGE, Tlv.join(sequence, domain.bytes()));
    }

    static byte[] sequence(int counter) {
        return HexFormat.of().parseHex(String.format("%0" + 2 * SEQUENCE + "X", counter & 0xFFFFFF));
    }

    @Override
    public byte[] opening() {
        return opening;
    }

    @Override
    public boolean supports(int wanted) {
        return switch (wanted) {
            case 0, C_MAC, C_MAC | C_DECRYPTION -> true;
            case C_MAC | R_MAC, C_MAC | C_DECRYPTION | R_MAC -> (i & I_R_MAC) != 0;
            case C_MAC | C_DECRYPTION | R_MAC | R_ENCRYPTION -> (i & I_R_MAC) != 0 && (i & I_R_ENCRYPTION) != 0;
            default -> false;
        };
    }

    @Override
    public void authenticate(Command command) throws Refusal {
        byte[] cryptogram = Arrays.copyOf(command.data(), MAC);
        if (!MessageDigest.isEqual(cryptogram, hostCryptogram)) {
            throw new Refusal(Sw.AUTHENTICATION_FAILED);
        }
        checkMac(command);
        level = command.p1();
    }

    @Override
    public int level() {
        return level;
    }

    /** Answers what comes before the MAC (Amendment D 6.2.4). */
    private byte[] checkMac(Command command) throws Refusal {
        byte[] data = command.data();
        if (data.length < MAC) {
            throw new Refusal(Sw.SECURITY_STATUS);
        }
        byte[] covered = Arrays.copyOf(data, data.length - MAC);
        byte[] expected = Cmac.of(mac, chaining, command.header(data.length), covered);
        byte[] given = Arrays.copyOfRange(data, data.length - MAC, data.length);
        if (!MessageDigest.isEqual(given, Arrays.copyOf(expected, MAC))) {
            throw new Refusal(Sw.SECURITY_STATUS);
        }
        chaining = expected;
        return covered;
    }

    @Override
    public Command unwrap(Command command) throws Refusal {
        byte[] data = checkMac(command);
        // Commands without data count too (Amendment D 6.2.6).
        counter++;
        if ((level & C_DECRYPTION) == 0 || data.length == 0) {
            return command.plain(data);
        }
        byte[] plain = data.length % BLOCK == 0
                ? Ciphers.unpad(Ciphers.aesCbc(Cipher.DECRYPT_MODE, enc, icv(0), data)) : null;
        if (plain == null) {
            throw new Refusal(Sw.SECURITY_STATUS);
        }
        return command.plain(plain);
    }

    /** The counter, encrypted; for answers with the first byte 80 (Amendment D 6.2.6, 6.2.7). */
    private byte[] icv(int first) {
        byte[] block = new byte[BLOCK];
        block[0] = (byte) first;
        for (int at = 0; at < Integer.BYTES; at++) {
            block[BLOCK - 1 - at] = (byte) (counter >> 8 * at);
        }
        return Ciphers.aesEcb(enc, block);
    }

    @Override
    public byte[] wrap(byte[] data, int status) {
        if ((level & R_MAC) == 0 || Sw.isError(status)) {
            return data;
        }
        byte[] body = data;
        if ((level & R_ENCRYPTION) != 0 && data.length > 0) {
            body = Ciphers.aesCbc(Cipher.ENCRYPT_MODE, enc, icv(0x80), Ciphers.pad(data, BLOCK));
        }
        byte[] full = Cmac.of(rmac, chaining, Sw.answer(body, status));
        return Tlv.join(body, Arrays.copyOf(full, MAC));
    }

    /** By the static key (Amendment D 6.2.8). */
    @Override
    public byte[] decryptKey(byte[] encrypted) {
        return Ciphers.aesCbc(Cipher.DECRYPT_MODE, dek, new byte[BLOCK], encrypted);
    }
}
