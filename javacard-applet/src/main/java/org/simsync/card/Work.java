package org.simsync.card;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;
import javacard.security.RandomData;

/** OPEN SESSION, RENEW, PUT HEAD, SIGN: what a paired terminal does with the card. */
final class Work {
    /** OPEN SESSION's data. */
    private static final short BINDING = Proto.LEN_HASH;
    private static final short POINT = (short) (BINDING + Proto.LEN_HASH);
    private static final short SIGNATURE = (short) (POINT + Proto.LEN_POINT);
    private static final short OPEN_MIN = (short) (SIGNATURE + Proto.LEN_SIGNATURE_MIN);
    private static final short OPEN_MAX = (short) (SIGNATURE + Proto.LEN_SIGNATURE_MAX);

    private static final short RENEW_LENGTH = (short) (Proto.LEN_TOKEN + Proto.LEN_HASH);
    private static final short BITMAP = (short) (Proto.LEN_TOKEN + Head.LENGTH);
    private static final short PUT_LENGTH = (short) (BITMAP + 2);

    private static final byte SIGN_KEYOBJECT = 1;
    private static final byte SIGN_ERASE = 2;

    private final Ram ram;
    private final Io io;
    private final Rights rights;
    private final Keys keys;
    private final Texts texts;
    private final Terminals terminals;
    private final Sessions sessions;
    private final Pairing pairing;
    private final Head head;
    private final RandomData random;

    Work(Ram ram, Io io, Rights rights, Keys keys, Texts texts, Terminals terminals, Sessions sessions,
            Pairing pairing, Head head, RandomData random) {
        this.ram = ram;
        this.io = io;
        this.rights = rights;
        this.keys = keys;
        this.texts = texts;
        this.terminals = terminals;
        this.sessions = sessions;
        this.pairing = pairing;
        this.head = head;
        this.random = random;
    }

    void open(APDU apdu) {
        rights.requireLifecycle(Proto.LIFE_ENROLLED);
        // Taken before anything can fail: one challenge, one attempt.
        boolean challenged = ram.takeChallenge();
        short length = io.receive(apdu, OPEN_MIN, OPEN_MAX);
        rights.requirePin();
        if (!challenged) {
            ISOException.throwIt(Proto.SW_NOT_NOW);
        }
        byte[] in = ram.in;
        short slot = terminals.find(in, (short) 0);
        if (slot == Terminals.NOT_FOUND) {
            ISOException.throwIt(Proto.SW_NOT_FOUND);
        }
        requireTerminalSignature(slot, length);
        // Behind the longest signature, until it is known how long this one is.
        short secretAt = (short) (Proto.LEN_N + 1 + Proto.LEN_SIGNATURE_MAX);
        if (!keys.agree(in, POINT, ram.out, secretAt)) {
            ISOException.throwIt(Proto.SW_BAD_DATA);
        }
        short unsettled = unsettledSlots();

        ram.setOpen(false);
        sessions.next(slot, ram.session, Ram.N);
        Util.arrayCopyNonAtomic(in, (short) 0, ram.session, Ram.TERMINAL, Proto.LEN_HASH);
        random.generateData(ram.session, Ram.TOKEN, Proto.LEN_TOKEN);

        byte[] out = ram.out;
        short end = Util.arrayCopyNonAtomic(ram.session, Ram.N, out, (short) 0, Proto.LEN_N);
        end = signSession(Texts.SESSION, in, BINDING, end);
        end = Util.arrayCopyNonAtomic(out, secretAt, out, end, Proto.LEN_HASH);
        short headAt = end;
        end = head.copy(out, end);
        out[headAt] = (byte) (out[headAt] | Proto.HEAD_HAS_WRITER);
        end = Util.setShort(out, end, unsettled);
        end = Util.arrayCopyNonAtomic(ram.session, Ram.TOKEN, out, end, Proto.LEN_TOKEN);
        ram.setOpen(true);
        io.reply(apdu, end);
    }

    private void requireTerminalSignature(short slot, short length) {
        byte[] in = ram.in;
        short textEnd = texts.begin(Texts.TERMINAL);
        textEnd = texts.field(textEnd, ram.session, Ram.CHALLENGE, Proto.LEN_CHALLENGE);
        textEnd = texts.field(textEnd, in, BINDING, Proto.LEN_HASH);
        textEnd = texts.field(textEnd, in, POINT, Proto.LEN_POINT);
        if (!keys.verify(textEnd, terminals.array(slot), Terminals.pointAt(), in, SIGNATURE,
                (short) (length - SIGNATURE))) {
            ISOException.throwIt(Proto.SW_RIGHT_MISSING);
        }
    }

    private short unsettledSlots() {
        short bitmap = 0;
        for (short slot = 0; slot < Proto.SLOTS; slot++) {
            if (pairing.isUnsettled(slot)) {
                bitmap = (short) (bitmap | Sessions.bit(slot));
            }
        }
        return bitmap;
    }

    /** Signs N, the session's terminal and a binding; writes LV to the answer and answers where it ends. */
    private short signSession(byte[] domain, byte[] binding, short bindingOffset, short at) {
        short textEnd = texts.begin(domain);
        textEnd = texts.field(textEnd, ram.session, Ram.N, Proto.LEN_N);
        textEnd = texts.field(textEnd, ram.session, Ram.TERMINAL, Proto.LEN_HASH);
        textEnd = texts.field(textEnd, binding, bindingOffset, Proto.LEN_HASH);
        return keys.sign(textEnd, ram.out, at);
    }

    void renew(APDU apdu) {
        rights.requireLifecycle(Proto.LIFE_ENROLLED);
        io.receive(apdu, RENEW_LENGTH, RENEW_LENGTH);
        rights.requireToken(ram.in, (short) 0);
        io.reply(apdu, signSession(Texts.RENEW, ram.in, Proto.LEN_TOKEN, (short) 0));
    }

    void putHead(APDU apdu) {
        rights.requireLifecycle(Proto.LIFE_ENROLLED);
        io.receive(apdu, PUT_LENGTH, PUT_LENGTH);
        rights.requireToken(ram.in, (short) 0);
        boolean restored = ram.takeRestored();
        // The head first: a slot left unsettled by a cut is asked for again, a head that was never stored is not.
        head.put(ram.in, Proto.LEN_TOKEN, restored, ram.session, Ram.TERMINAL, Ram.N);
        sessions.settle(Util.getShort(ram.in, BITMAP));
    }

    void sign(APDU apdu, boolean direct) {
        rights.requireLifecycle(Proto.LIFE_ENROLLED);
        byte p1 = apdu.getBuffer()[ISO7816.OFFSET_P1];
        io.receive(apdu, Proto.LEN_HASH, Proto.LEN_HASH);
        rights.requireDirectPin(direct);
        byte[] domain = p1 == SIGN_KEYOBJECT ? Texts.KEYOBJECT : p1 == SIGN_ERASE ? Texts.ERASE : Texts.RESTORE;
        short textEnd = texts.begin(domain);
        textEnd = texts.field(textEnd, ram.in, (short) 0, Proto.LEN_HASH);
        short end = keys.sign(textEnd, ram.out, (short) 0);
        if (domain == Texts.RESTORE) {
            ram.setRestored();
        }
        io.reply(apdu, end);
    }
}
