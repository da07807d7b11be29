package org.simsync.card;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;
import javacard.security.MessageDigest;

/** ADD TERMINAL, LIST, READ SESSIONS, REMOVE TERMINAL. */
final class Pairing {
    private static final short LABEL = Proto.LEN_POINT;
    private static final short ADD_MIN = (short) (Proto.LEN_POINT + 1 + Proto.LEN_HASH);
    private static final short ADD_MAX = (short) (ADD_MIN + Proto.LEN_TERMINAL_LABEL_MAX);

    private final Ram ram;
    private final Io io;
    private final Rights rights;
    private final Keys keys;
    private final Texts texts;
    private final Terminals terminals;
    private final Sessions sessions;
    private final MessageDigest sha;

    Pairing(Ram ram, Io io, Rights rights, Keys keys, Texts texts, Terminals terminals, Sessions sessions,
            MessageDigest sha) {
        this.ram = ram;
        this.io = io;
        this.rights = rights;
        this.keys = keys;
        this.texts = texts;
        this.terminals = terminals;
        this.sessions = sessions;
        this.sha = sha;
    }

    void add(APDU apdu, boolean direct) {
        rights.requireLifecycle(Proto.LIFE_ENROLLED);
        short length = io.receive(apdu, ADD_MIN, ADD_MAX);
        rights.requireDirectPin(direct);
        byte[] in = ram.in;
        byte[] out = ram.out;
        short binding = (short) ((short) (LABEL + 1) + Bytes.unsigned(in[LABEL]));
        if ((short) (binding + Proto.LEN_HASH) != length) {
            ISOException.throwIt(Proto.SW_BAD_DATA);
        }
        keys.requirePoint(in, (short) 0);
        sha.doFinal(in, (short) 0, Proto.LEN_POINT, out, (short) 0);
        short slot = terminals.find(out, (short) 0);
        if (slot == Terminals.NOT_FOUND) {
            slot = terminals.findFree();
            if (slot == Terminals.NOT_FOUND) {
                ISOException.throwIt(Proto.SW_FULL);
            }
            // A removal that was cut short may have left a session of the terminal before.
            sessions.settle(Sessions.bit(slot));
            terminals.put(slot, out, (short) 0, in, (short) 0, in, LABEL);
        } else if (!terminals.hasLabel(slot, in, LABEL)) {
            terminals.put(slot, out, (short) 0, in, (short) 0, in, LABEL);
        }

        short textEnd = texts.begin(Texts.PAIR);
        textEnd = texts.field(textEnd, out, (short) 0, Proto.LEN_HASH);
        textEnd = texts.field(textEnd, in, binding, Proto.LEN_HASH);
        out[0] = (byte) slot;
        io.reply(apdu, keys.sign(textEnd, out, (short) 1));
    }

    void list(APDU apdu) {
        short slot = Bytes.unsigned(apdu.getBuffer()[ISO7816.OFFSET_P1]);
        rights.requireLifecycle(Proto.LIFE_ENROLLED);
        rights.requirePin();
        if (!terminals.isTaken(slot)) {
            ISOException.throwIt(Proto.SW_NOT_FOUND);
        }
        byte[] out = ram.out;
        short end = Util.arrayCopyNonAtomic(terminals.array(slot), Terminals.idAt(), out, (short) 0, Proto.LEN_HASH);
        end = terminals.copyLabel(slot, out, end);
        io.reply(apdu, sessions.copyUnsettled(slot, out, end));
    }

    void readSessions(APDU apdu) {
        rights.requireLifecycle(Proto.LIFE_ENROLLED);
        rights.requirePin();
        byte[] out = ram.out;
        short end = 0;
        for (short slot = 0; slot < Proto.SLOTS; slot++) {
            if (isUnsettled(slot)) {
                out[end] = (byte) slot;
                end = Util.arrayCopyNonAtomic(terminals.array(slot), Terminals.idAt(), out, (short) (end + 1),
                        Proto.LEN_SHORT_ID);
                end = sessions.copyUnsettled(slot, out, end);
            }
        }
        io.reply(apdu, end);
    }

    /** Whether the slot's terminal has a session to settle. The number alone may be a leftover of a cut removal. */
    boolean isUnsettled(short slot) {
        return sessions.isUnsettled(slot) && terminals.isTaken(slot);
    }

    void remove(APDU apdu, boolean direct) {
        rights.requireLifecycle(Proto.LIFE_ENROLLED);
        io.receive(apdu, Proto.LEN_HASH, Proto.LEN_HASH);
        rights.requireDirectPin(direct);
        byte[] in = ram.in;
        short slot = terminals.find(in, (short) 0);
        if (slot == Terminals.NOT_FOUND) {
            ISOException.throwIt(Proto.SW_NOT_FOUND);
        }
        terminals.free(slot);
        sessions.settle(Sessions.bit(slot));
        if (ram.isOpen() && Util.arrayCompare(in, (short) 0, ram.session, Ram.TERMINAL, Proto.LEN_HASH) == 0) {
            // A terminal that is no longer paired must not go on renewing its session.
            ram.setOpen(false);
        }
    }
}
