package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.KeyPair;
import java.security.interfaces.ECPublicKey;
import java.util.Arrays;
import org.simsync.bridge.fault.FaultyCard;

/** The host's side of every command, and of every check that a host can make. All test helpers are here. */
final class Host {
    static final byte[] PIN = pin("1234");
    static final byte[] PUK = pin("abcd5678");
    static final byte[] NEW_PIN = pin("Z9z9Z9z9");
    static final byte[] NEW_PUK = pin("87654321");
    static final byte[] SUBSCRIBER = "subscriber-0017".getBytes(StandardCharsets.US_ASCII);
    static final byte[] LABEL = "Blue card".getBytes(StandardCharsets.US_ASCII);
    static final byte[] SERVER = "sync.example.org:8443".getBytes(StandardCharsets.US_ASCII);
    static final byte[] CA_PIN = filled(32, 0xCA);
    static final byte[] CALLERS = filled(32, 0x31);
    static final int OPTION_CONTACTLESS = 1;
    static final int OPTION_CHANGE_PIN = 2;

    final TestCard card;
    byte[] cardId;
    byte[] sigPoint;
    byte[] kemPoint;
    byte[] challenge;

    Host(TestCard card) {
        this.card = card;
    }

    /** A card fresh from installation, selected. */
    static Host installed() {
        Host host = new Host(new TestCard());
        host.select();
        return host;
    }

    /** An enrolled card, selected, its PIN not verified. */
    static Host enrolled() {
        return enrolled(new TestCard(), 0);
    }

    static Host enrolled(TestCard card, int options) {
        Host host = new Host(card);
        host.select();
        host.personalise(options);
        host.generateKeys();
        host.markEnrolled().ok();
        host.select();
        return host;
    }

    // Bytes.

    static byte[] filled(int length, int value) {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) value);
        return bytes;
    }

    static byte[] pin(String characters) {
        byte[] padded = filled(8, 0xFF);
        byte[] ascii = characters.getBytes(StandardCharsets.US_ASCII);
        System.arraycopy(ascii, 0, padded, 0, ascii.length);
        return padded;
    }

    static byte[] join(byte[]... parts) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            all.writeBytes(part);
        }
        return all.toByteArray();
    }

    static byte[] lv(byte[] value) {
        return join(new byte[] {(byte) value.length}, value);
    }

    static byte[] u32(long value) {
        return ByteBuffer.allocate(4).putInt((int) value).array();
    }

    static byte[] take(ByteBuffer from, int length) {
        byte[] bytes = new byte[length];
        from.get(bytes);
        return bytes;
    }

    static byte[] takeLv(ByteBuffer from) {
        return take(from, from.get() & 0xFF);
    }

    // SELECT and GET CHALLENGE.

    /** What SELECT answers. */
    record Selected(int lifecycle, int pinTries, int pukTries, int pinState, byte[] challenge, byte[] pseudonym) { }

    Selected select() {
        ByteBuffer answer = ByteBuffer.wrap(card.send(0x00, 0xA4, 4, 0, FaultyCard.AID).ok(38));
        assertEquals(1, answer.get(), "major version");
        assertEquals(1, answer.get(), "minor version");
        Selected selected = new Selected(answer.get(), answer.get(), answer.get(), answer.get(), take(answer, 16),
                take(answer, 16));
        challenge = selected.challenge();
        return selected;
    }

    void getChallenge() {
        challenge = card.send(0x80, 0x84, 0, 0).ok(16);
    }

    // Provisioning.

    static byte[] personaliseData(byte[] transport, byte[] subscriber, byte[] label, byte[] server, byte[] pin,
            byte[] puk, int options) {
        return join(transport, lv(subscriber), lv(label), lv(server), CA_PIN, pin, puk, new byte[] {(byte) options});
    }

    Answer tryPersonalise(int options) {
        return card.send(0x80, 0x10, 0, 0,
                personaliseData(TestCard.TRANSPORT, SUBSCRIBER, LABEL, SERVER, PIN, PUK, options));
    }

    void personalise(int options) {
        cardId = tryPersonalise(options).ok(16);
    }

    Answer tryGenerateKeys() {
        return card.send(0x80, 0x12, 0, 0, join(TestCard.TRANSPORT, CALLERS));
    }

    void generateKeys() {
        ByteBuffer answer = tryGenerateKeys().fields();
        sigPoint = take(answer, 65);
        kemPoint = take(answer, 65);
        byte[] signature = takeLv(answer);
        assertFalse(answer.hasRemaining());
        assertSigned("enrol", signature, sigPoint, kemPoint, CALLERS);
    }

    Answer markEnrolled() {
        return card.send(0x80, 0x14, 0, 0, TestCard.TRANSPORT);
    }

    /** Checks a signature by the card's SIG key over a text that this side builds by itself. */
    void assertSigned(String domain, byte[] signature, byte[]... fields) {
        assertTrue(signature.length <= 72, "a signature has at most 72 bytes");
        assertTrue(Crypto.verify(sigPoint, Crypto.text(domain, cardId, fields), signature), domain + " signature");
    }

    // PIN and PUK.

    Answer tryVerify(byte[] pin) {
        return card.send(0x00, 0x20, 0, 0x81, pin);
    }

    Answer askPin() {
        return card.raw((byte) 0x00, (byte) 0x20, (byte) 0, (byte) 0x81);
    }

    void verify() {
        verify(PIN);
    }

    void verify(byte[] pin) {
        tryVerify(pin).ok();
    }

    Answer change(byte[]... values) {
        return card.send(0x00, 0x24, 0, 0x81, join(values));
    }

    Answer unblock(byte[] puk, byte[] newPin) {
        return card.send(0x00, 0x2C, 0, 0x81, join(puk, newPin));
    }

    Answer terminate(byte... puk) {
        return card.send(0x80, 0x50, 0, 0, puk);
    }

    // Reading and the server.

    Answer readInfo() {
        return card.send(0x80, 0x20, 0, 0);
    }

    Answer readKeys(byte[] nonce) {
        return card.send(0x80, 0x22, 0, 0, nonce);
    }

    Answer setServer(byte[] address, byte[] caPin) {
        return card.send(0x80, 0x24, 0, 0, join(lv(address), caPin));
    }

    // Terminals.

    Answer tryAdd(byte[] point, String label, byte[] binding) {
        return card.send(0x80, 0x30, 0, 0, join(point, lv(label.getBytes(StandardCharsets.UTF_8)), binding));
    }

    /** VERIFY and ADD TERMINAL; answers the slot. */
    int add(Terminal terminal, String label) {
        verify();
        byte[] binding = filled(32, 0xB1);
        ByteBuffer answer = tryAdd(terminal.point, label, binding).fields();
        int slot = answer.get();
        byte[] signature = takeLv(answer);
        assertFalse(answer.hasRemaining());
        assertSigned("pair", signature, terminal.id, binding);
        return slot;
    }

    Answer remove(byte[] id) {
        return card.send(0x80, 0x36, 0, 0, id);
    }

    Answer list(int slot) {
        return card.send(0x80, 0x32, slot, 0);
    }

    Answer readSessions() {
        return card.send(0x80, 0x34, 0, 0);
    }

    // Sessions.

    /** What OPEN SESSION answers, checked as far as a host can. */
    record Session(long n, byte[] token, int unsettled, boolean headIsSet, byte[] head, byte[] writer) { }

    Answer tryOpen(byte[] id, byte[] binding, byte[] point, byte[] signature) {
        return card.send(0x80, 0x40, 0, 0, join(id, binding, point, signature));
    }

    byte[] terminalText(byte[] binding, byte[] point) {
        return Crypto.text("terminal", cardId, challenge, binding, point);
    }

    /** OPEN SESSION with the newest challenge; checks the signature and that both sides agree on the secret. */
    Session open(Terminal terminal) {
        KeyPair hpke = Crypto.newKeyPair();
        byte[] point = Crypto.encode((ECPublicKey) hpke.getPublic());
        byte[] binding = Crypto.sha256(challenge);
        ByteBuffer answer = tryOpen(terminal.id, binding, point, terminal.sign(terminalText(binding, point))).fields();
        byte[] n = take(answer, 4);
        byte[] signature = takeLv(answer);
        assertSigned("session", signature, n, terminal.id, binding);
        assertArrayEquals(Crypto.agree(hpke.getPrivate(), kemPoint), take(answer, 32), "shared secret");
        byte about = answer.get();
        boolean headIsSet = (about & 1) == 1;
        assertEquals(2, about & ~1, "a writer follows");
        byte[] head = take(answer, Head.LENGTH);
        byte[] writer = take(answer, Head.LEN_WRITER);
        int unsettled = answer.getShort() & 0xFFFF;
        byte[] token = take(answer, 16);
        assertFalse(answer.hasRemaining());
        return new Session(ByteBuffer.wrap(n).getInt() & 0xFFFFFFFFL, token, unsettled, headIsSet, head, writer);
    }

    /** SELECT, VERIFY, OPEN SESSION. */
    Session openFresh(Terminal terminal) {
        select();
        verify();
        return open(terminal);
    }

    Answer renew(byte[] token, byte[] binding) {
        return card.send(0x80, 0x42, 0, 0, join(token, binding));
    }

    Answer sign(int domain, byte[] hash) {
        return card.send(0x80, 0x46, domain, 0, hash);
    }

    // The head record.

    static byte[] head(long epoch, long sequence, int headHash, long list, int listHash, int flags) {
        return ByteBuffer.allocate(Head.LENGTH).putInt((int) epoch).putLong(sequence).put(filled(32, headHash))
                .putInt((int) list).put(filled(32, listHash)).put((byte) flags).array();
    }

    Answer putHead(byte[] token, byte[] head, int settle) {
        return card.send(0x80, 0x44, 0, 0, join(token, head, new byte[] {(byte) (settle >> 8), (byte) settle}));
    }
}
