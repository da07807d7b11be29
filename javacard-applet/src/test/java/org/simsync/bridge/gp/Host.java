package org.simsync.bridge.gp;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.HexFormat;
import java.util.Map;
import org.simsync.bridge.BridgeException;

/**
 * The other side of a card: sends commands, bare or through a secure channel. The channels' cryptography is held against
 * published transcripts in {@link TranscriptTest}; this class only has to agree with the card's.
 */
final class Host {
    static final byte[] TEST_KEY = hex("404142434445464748494A4B4C4D4E4F");
    static final byte[] SECRET = hex("5A".repeat(16));
    static final String APPLET = "F053494D53594E4301";
    static final String PACKAGE = "F053494D53594E43";
    static final byte[] HOST_CHALLENGE = hex("0102030405060708");

    final GpCard card;
    Session session;
    byte[] lastUpdate;

    Host(String... settings) throws BridgeException {
        card = new GpCard(settings);
    }

    /** The sending end of a secure channel. */
    interface Session {
        byte[] externalAuthenticate(int level);

        byte[] wrap(int ins, int p1, int p2, byte[] data);

        /** With a right MAC over data that is sent as it is, however it ought to be encrypted. */
        byte[] wrapAsIs(int ins, int p1, int p2, byte[] data);

        byte[] unwrap(byte[] answer);

        byte[] encryptKey(byte[] key);
    }

    static byte[] hex(String text) {
        return HexFormat.of().parseHex(text.replace(" ", ""));
    }

    static String text(byte[] bytes) {
        return HexFormat.of().withUpperCase().formatHex(bytes);
    }

    static int sw(byte[] answer) {
        return (answer[answer.length - 2] & 0xFF) << 8 | answer[answer.length - 1] & 0xFF;
    }

    static byte[] data(byte[] answer) {
        return Arrays.copyOf(answer, answer.length - 2);
    }

    byte[] send(String apdu) {
        return card.apply(hex(apdu));
    }

    int swOf(String apdu) {
        return sw(send(apdu));
    }

    /** Sends an APDU and wants 9000. */
    byte[] ok(String apdu) {
        byte[] answer = send(apdu);
        assertEquals("9000", String.format("%04X", sw(answer)), apdu);
        return data(answer);
    }

    byte[] select(String aid) {
        return send("00A40400" + (aid.isEmpty() ? "" : lv(aid)) + "00");
    }

    /** INITIALIZE UPDATE with these keys; answers what the card says. */
    byte[] initializeUpdate(int version, byte[] enc, byte[] mac, byte[] dek) {
        byte[] answer = send(String.format("8050%02X0008", version) + text(HOST_CHALLENGE) + "00");
        if (sw(answer) == Sw.OK) {
            lastUpdate = data(answer);
            session = lastUpdate[11] == 3
                    ? new Session03(lastUpdate, enc, mac, dek) : new Session02(lastUpdate, enc, mac, dek);
        }
        return answer;
    }

    int authenticate(int level) {
        return sw(card.apply(session.externalAuthenticate(level)));
    }

    /** A session with the test keys. */
    Host open(int level) {
        assertEquals(Sw.OK, sw(initializeUpdate(0, TEST_KEY, TEST_KEY, TEST_KEY)));
        assertEquals(Sw.OK, authenticate(level));
        return this;
    }

    /** Sends a command through the session; the answer is as the card meant it. */
    byte[] secured(int ins, int p1, int p2, byte[] data) {
        return session.unwrap(card.apply(session.wrap(ins, p1, p2, data)));
    }

    int securedSw(int ins, int p1, int p2, String data) {
        return sw(secured(ins, p1, p2, hex(data)));
    }

    static String lv(String hex) {
        return String.format("%02X", hex.length() / 2) + hex.replace(" ", "");
    }

    int announce(String loadFile) {
        return securedSw(0xE6, 0x02, 0, lv(loadFile) + "00000000");
    }

    /** LOAD of all of it, in blocks of so many bytes; the first status word that is not 9000, else that. */
    int load(byte[] file, int blockSize) {
        byte[] block = Tlv.of(0xC4, file);
        for (int at = 0, number = 0; at < block.length; at += blockSize, number++) {
            boolean last = at + blockSize >= block.length;
            byte[] part = Arrays.copyOfRange(block, at, Math.min(block.length, at + blockSize));
            int status = sw(secured(0xE8, last ? 0x80 : 0, number & 0xFF, part));
            if (status != Sw.OK) {
                return status;
            }
        }
        return Sw.OK;
    }

    static Map<Integer, byte[]> components() {
        return LoadFile.components(AppletClasses.proof());
    }

    static byte[] loadFile() {
        return LoadFile.loaded(components());
    }

    int install(int p1, String parameters) {
        return securedSw(0xE6, p1, 0, lv(PACKAGE) + lv(APPLET) + lv(APPLET) + "0100" + lv(parameters) + "00");
    }

    static String secretParameter() {
        return "C910" + text(SECRET);
    }

    /** From blank to an applet that can be selected, within the session that is open. */
    Host installAll() {
        assertEquals(Sw.OK, announce(PACKAGE));
        assertEquals(Sw.OK, load(loadFile(), 200));
        assertEquals(Sw.OK, install(0x0C, secretParameter()));
        return this;
    }

    /** SCP03. */
    private static final class Session03 implements Session {
        private final byte[] enc;
        private final byte[] mac;
        private final byte[] rmac;
        private final byte[] dek;
        private final byte[] cryptogram;
        private byte[] chaining = new byte[16];
        private int level;
        private int counter;

        Session03(byte[] update, byte[] staticEnc, byte[] staticMac, byte[] dek) {
            byte[] context = Tlv.join(HOST_CHALLENGE, Arrays.copyOfRange(update, 13, 21));
            int bits = 8 * staticEnc.length;
            this.dek = dek;
            enc = Cmac.derive(staticEnc, 0x04, bits, context);
            mac = Cmac.derive(staticMac, 0x06, bits, context);
            rmac = Cmac.derive(staticMac, 0x07, bits, context);
            cryptogram = Cmac.derive(mac, 0x01, 64, context);
        }

        @Override
        public byte[] externalAuthenticate(int wanted) {
            byte[] command = maced(0x82, wanted, 0, cryptogram);
            level = wanted;
            return command;
        }

        private byte[] maced(int ins, int p1, int p2, byte[] data) {
            byte[] head = {(byte) 0x84, (byte) ins, (byte) p1, (byte) p2, (byte) (data.length + 8)};
            chaining = Cmac.of(mac, chaining, head, data);
            return Tlv.join(head, data, Arrays.copyOf(chaining, 8));
        }

        @Override
        public byte[] wrap(int ins, int p1, int p2, byte[] data) {
            if (level == 0) {
                byte[] head = {(byte) 0x80, (byte) ins, (byte) p1, (byte) p2, (byte) data.length};
                return Tlv.join(head, data);
            }
            counter++;
            byte[] body = data;
            if ((level & 2) != 0 && data.length > 0) {
                body = Ciphers.aesCbc(javax.crypto.Cipher.ENCRYPT_MODE, enc, icv(0), Ciphers.pad(data, 16));
            }
            return maced(ins, p1, p2, body);
        }

        @Override
        public byte[] wrapAsIs(int ins, int p1, int p2, byte[] data) {
            return maced(ins, p1, p2, data);
        }

        private byte[] icv(int first) {
            return Ciphers.aesEcb(enc, hex(String.format("%02X%030X", first, counter)));
        }

        @Override
        public byte[] unwrap(byte[] answer) {
            if ((level & 0x10) == 0 || Sw.isError(sw(answer))) {
                return answer;
            }
            byte[] body = Arrays.copyOf(answer, answer.length - 10);
            byte[] status = Arrays.copyOfRange(answer, answer.length - 2, answer.length);
            byte[] given = Arrays.copyOfRange(answer, answer.length - 10, answer.length - 2);
            assertArrayEquals(Arrays.copyOf(Cmac.of(rmac, chaining, body, status), 8), given, "R-MAC");
            if ((level & 0x20) != 0 && body.length > 0) {
                body = Ciphers.unpad(Ciphers.aesCbc(javax.crypto.Cipher.DECRYPT_MODE, enc, icv(0x80), body));
            }
            return Tlv.join(body, status);
        }

        @Override
        public byte[] encryptKey(byte[] key) {
            byte[] padded = Arrays.copyOf(key, (key.length + 15) / 16 * 16);
            byte[] blocks = Ciphers.aesCbc(javax.crypto.Cipher.ENCRYPT_MODE, dek, new byte[16], padded);
            return Tlv.join(new byte[] {(byte) key.length}, blocks);
        }
    }

    /** SCP02, i=15 and 55. */
    private static final class Session02 implements Session {
        private final byte[] enc;
        private final byte[] mac;
        private final byte[] dek;
        private final byte[] cryptogram;
        private byte[] last;
        private int level;

        Session02(byte[] update, byte[] enc, byte[] mac, byte[] dek) {
            String sequence = text(Arrays.copyOfRange(update, 12, 14));
            this.enc = key(enc, "0182" + sequence);
            this.mac = key(mac, "0101" + sequence);
            this.dek = key(dek, "0181" + sequence);
            byte[] both = Tlv.join(Arrays.copyOfRange(update, 12, 20), HOST_CHALLENGE);
            byte[] chain = Ciphers.des3Cbc(1, this.enc, new byte[8], Ciphers.pad(both, 8));
            cryptogram = Arrays.copyOfRange(chain, chain.length - 8, chain.length);
        }

        private static byte[] key(byte[] base, String label) {
            return Ciphers.des3Cbc(1, base, new byte[8], hex(label + "00".repeat(12)));
        }

        private byte[] maced(int ins, int p1, int p2, byte[] plain, byte[] sent) {
            byte[] head = {(byte) 0x84, (byte) ins, (byte) p1, (byte) p2, (byte) (plain.length + 8)};
            byte[] padded = Ciphers.pad(Tlv.join(head, plain), 8);
            byte[] chain = last == null ? new byte[8] : Ciphers.desCbc(mac, new byte[8], last);
            for (int at = 0; at < padded.length; at += 8) {
                byte[] block = Arrays.copyOfRange(padded, at, at + 8);
                boolean end = at + 8 == padded.length;
                chain = end ? Ciphers.des3Cbc(1, mac, chain, block) : Ciphers.desCbc(mac, chain, block);
            }
            last = chain;
            head[4] = (byte) (sent.length + 8);
            return Tlv.join(head, sent, last);
        }

        @Override
        public byte[] externalAuthenticate(int wanted) {
            level = wanted;
            return maced(0x82, wanted, 0, cryptogram, cryptogram);
        }

        @Override
        public byte[] wrap(int ins, int p1, int p2, byte[] data) {
            if (level == 0) {
                byte[] head = {(byte) 0x80, (byte) ins, (byte) p1, (byte) p2, (byte) data.length};
                return Tlv.join(head, data);
            }
            boolean encrypted = (level & 2) != 0 && data.length > 0;
            byte[] sent = encrypted ? Ciphers.des3Cbc(1, enc, new byte[8], Ciphers.pad(data, 8)) : data;
            return maced(ins, p1, p2, data, sent);
        }

        @Override
        public byte[] wrapAsIs(int ins, int p1, int p2, byte[] data) {
            return maced(ins, p1, p2, data, data);
        }

        @Override
        public byte[] unwrap(byte[] answer) {
            return answer;
        }

        @Override
        public byte[] encryptKey(byte[] key) {
            return Ciphers.des3Ecb(1, dek, key);
        }
    }
}
