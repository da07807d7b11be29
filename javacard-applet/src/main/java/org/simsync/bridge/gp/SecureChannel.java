package org.simsync.bridge.gp;

/** The card's side of one secure channel session, from INITIALIZE UPDATE to its end. */
interface SecureChannel {
    /** Bits of a security level (GPCS 10.6; Amendment D, table 7-5). */
    int C_MAC = 0x01;
    int C_DECRYPTION = 0x02;
    int R_MAC = 0x10;
    int R_ENCRYPTION = 0x20;

    /** What INITIALIZE UPDATE answers after key version and protocol. */
    byte[] opening();

    /** Whether EXTERNAL AUTHENTICATE may ask for this level. */
    boolean supports(int level);

    /** EXTERNAL AUTHENTICATE, 16 bytes of data: 6300 for a wrong host cryptogram, 6982 for a wrong MAC. */
    void authenticate(Command command) throws Refusal;

    /** The level that was agreed. */
    int level();

    /** Takes the protection off a command: 6982 if it is wrong, after which the session is over. */
    Command unwrap(Command command) throws Refusal;

    /** Puts the agreed protection onto an answer's data. */
    byte[] wrap(byte[] data, int status);

    /** Decrypts whole blocks that hold a key. */
    byte[] decryptKey(byte[] encrypted);
}
