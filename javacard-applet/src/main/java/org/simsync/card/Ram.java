package org.simsync.card;

import javacard.framework.JCSystem;
import javacard.framework.Util;

/**
 * All transient memory, behind names. It is gone with the card's power; all of it but the record index is gone with
 * another SELECT too.
 */
final class Ram {
    /** Command data, gathered: the APDU buffer may be smaller than a short APDU. */
    final byte[] in;
    /** The answer. */
    final byte[] out;
    /** A signed text, or the image of a record about to be written; never both at once. */
    final byte[] work;
    /** The digest of a record being read or written; {@link Twin} alone uses it, at any time. */
    final byte[] hash;
    /** Which copy of each record counts; see {@link Twin}. Survives SELECT, dies with the power. */
    final byte[] newest;

    private static final short SIZE_APDU = 255;
    private static final short SIZE_WORK = 208;

    private static final short STATE = 0;
    /** The 16 bytes of the newest challenge. */
    static final short CHALLENGE = 1;
    /** The session token. */
    static final short TOKEN = 17;
    /** The session's number. */
    static final short N = 33;
    /** The ID of the session's terminal. */
    static final short TERMINAL = 37;
    private static final short SIZE_SESSION = 69;

    private static final byte VERIFIED = 1;
    private static final byte DIRECT = 2;
    private static final byte CHALLENGED = 4;
    private static final byte OPEN = 8;
    private static final byte RESTORED = 16;

    /** What a session opened; read with the offsets above. */
    final byte[] session;

    Ram(short records) {
        in = JCSystem.makeTransientByteArray(SIZE_APDU, JCSystem.CLEAR_ON_DESELECT);
        out = JCSystem.makeTransientByteArray(SIZE_APDU, JCSystem.CLEAR_ON_DESELECT);
        work = JCSystem.makeTransientByteArray(SIZE_WORK, JCSystem.CLEAR_ON_DESELECT);
        hash = JCSystem.makeTransientByteArray(Proto.LEN_HASH, JCSystem.CLEAR_ON_DESELECT);
        session = JCSystem.makeTransientByteArray(SIZE_SESSION, JCSystem.CLEAR_ON_DESELECT);
        newest = JCSystem.makeTransientByteArray(records, JCSystem.CLEAR_ON_RESET);
    }

    /** Forgets PINs, secrets and texts of the command just done. */
    void wipeBuffers() {
        Util.arrayFillNonAtomic(in, (short) 0, SIZE_APDU, (byte) 0);
        Util.arrayFillNonAtomic(out, (short) 0, SIZE_APDU, (byte) 0);
        Util.arrayFillNonAtomic(work, (short) 0, SIZE_WORK, (byte) 0);
    }

    /** Forgets everything since the last SELECT. */
    void wipeSession() {
        Util.arrayFillNonAtomic(session, (short) 0, SIZE_SESSION, (byte) 0);
    }

    boolean isVerified() {
        return has(VERIFIED);
    }

    void setVerified(boolean on) {
        set(VERIFIED, on);
    }

    void setDirect() {
        set(DIRECT, true);
    }

    /** Whether the command before this one was a successful VERIFY; the answer is given once. */
    boolean takeDirect() {
        boolean direct = has(DIRECT);
        set(DIRECT, false);
        return direct;
    }

    void setChallenged() {
        set(CHALLENGED, true);
    }

    /** Whether there is a challenge; it is used up by asking. */
    boolean takeChallenge() {
        boolean challenged = has(CHALLENGED);
        set(CHALLENGED, false);
        return challenged;
    }

    boolean isOpen() {
        return has(OPEN);
    }

    void setOpen(boolean on) {
        set(OPEN, on);
    }

    void setRestored() {
        set(RESTORED, true);
    }

    /** Whether "restore" was signed for the session; the answer is given once. */
    boolean takeRestored() {
        boolean restored = has(RESTORED);
        set(RESTORED, false);
        return restored;
    }

    private boolean has(byte bit) {
        return (byte) (session[STATE] & bit) != (byte) 0;
    }

    private void set(byte bit, boolean on) {
        if (on) {
            session[STATE] = (byte) (session[STATE] | bit);
        } else {
            session[STATE] = (byte) (session[STATE] & (byte) ~bit);
        }
    }
}
