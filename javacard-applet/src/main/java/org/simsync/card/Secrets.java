package org.simsync.card;

import javacard.framework.ISOException;
import javacard.framework.OwnerPIN;

/**
 * PIN, PUK and transport secret.
 *
 * <p>PIN and PUK have two objects each, and {@link Profile} notes which one counts. A new value goes into the object
 * that does not count and takes effect with the profile's one write, so a change of PIN, PUK and the due flag is whole
 * or not at all, and a cut never gives the object that counts its tries back.
 */
final class Secrets {
    private static final byte PIN_TRIES = 3;
    private static final byte PUK_TRIES = 10;
    private static final byte TRANSPORT_TRIES = 10;
    private static final byte PAD = (byte) 0xFF;

    private final Nv nv;
    private final Ram ram;
    private final Profile profile;
    private final OwnerPIN firstPin;
    private final OwnerPIN secondPin;
    private final OwnerPIN firstPuk;
    private final OwnerPIN secondPuk;
    private final OwnerPIN transport;

    /** With the transport secret, 16 bytes, of the install parameter. */
    Secrets(Nv nv, Ram ram, Profile profile, byte[] parameter, short offset) {
        this.nv = nv;
        this.ram = ram;
        this.profile = profile;
        firstPin = new OwnerPIN(PIN_TRIES, (byte) Proto.LEN_PIN);
        secondPin = new OwnerPIN(PIN_TRIES, (byte) Proto.LEN_PIN);
        firstPuk = new OwnerPIN(PUK_TRIES, (byte) Proto.LEN_PIN);
        secondPuk = new OwnerPIN(PUK_TRIES, (byte) Proto.LEN_PIN);
        transport = new OwnerPIN(TRANSPORT_TRIES, (byte) Proto.LEN_TRANSPORT);
        nv.setPin(transport, parameter, offset, (byte) Proto.LEN_TRANSPORT);
    }

    /** 6A80 unless there are 4 to 8 ASCII digits or letters, padded with FF to 8. Costs no try. */
    static void requirePinForm(byte[] from, short offset) {
        requireForm(from, offset, Proto.LEN_PIN_MIN);
    }

    /** 6A80 unless there are 8 ASCII digits or letters. Costs no try. */
    static void requirePukForm(byte[] from, short offset) {
        requireForm(from, offset, Proto.LEN_PIN);
    }

    private static void requireForm(byte[] from, short offset, short atLeast) {
        short characters = 0;
        while (characters < Proto.LEN_PIN && isCharacter(from[(short) (offset + characters)])) {
            characters++;
        }
        if (characters < atLeast) {
            ISOException.throwIt(Proto.SW_BAD_DATA);
        }
        for (short i = characters; i < Proto.LEN_PIN; i++) {
            if (from[(short) (offset + i)] != PAD) {
                ISOException.throwIt(Proto.SW_BAD_DATA);
            }
        }
    }

    private static boolean isCharacter(byte c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    }

    byte pinTries() {
        return pin().getTriesRemaining();
    }

    byte pukTries() {
        return puk().getTriesRemaining();
    }

    /** Wrong: 63CX; blocked: 6983. Right: the PIN is verified until SELECT or power-off. */
    void requirePin(byte[] from, short offset) {
        ram.setVerified(false);
        require(pin(), from, offset, Proto.LEN_PIN);
        ram.setVerified(true);
    }

    void requirePuk(byte[] from, short offset) {
        require(puk(), from, offset, Proto.LEN_PIN);
    }

    void requireTransport(byte[] from, short offset) {
        require(transport, from, offset, Proto.LEN_TRANSPORT);
    }

    boolean isVerified() {
        return ram.isVerified() && pin().isValidated();
    }

    boolean isPukBlocked() {
        return puk().getTriesRemaining() == 0;
    }

    /** Throws the state of the PIN that VERIFY without data asks for; returns when it is verified. */
    void throwPinState() {
        if (!isVerified()) {
            throwTries(pin());
        }
    }

    /** Prepares a new PIN; it counts once the profile, with {@link #noteNewPin}, is written. */
    void prepareNewPin(byte[] from, short offset) {
        nv.setPin(other(profile.has(Profile.SECOND_PIN), firstPin, secondPin), from, offset, (byte) Proto.LEN_PIN);
    }

    void prepareNewPuk(byte[] from, short offset) {
        nv.setPin(other(profile.has(Profile.SECOND_PUK), firstPuk, secondPuk), from, offset, (byte) Proto.LEN_PIN);
    }

    void noteNewPin(byte[] image) {
        Profile.setFlag(image, Profile.SECOND_PIN, !profile.has(Profile.SECOND_PIN));
    }

    void noteNewPuk(byte[] image) {
        Profile.setFlag(image, Profile.SECOND_PUK, !profile.has(Profile.SECOND_PUK));
    }

    /** Destroys the transport secret; zeros takes a 16-byte zero value. */
    void wipeTransport(byte[] zeros, short offset) {
        nv.setPin(transport, zeros, offset, (byte) Proto.LEN_TRANSPORT);
    }

    /** Destroys all values. */
    void wipe(byte[] zeros, short offset) {
        nv.setPin(firstPin, zeros, offset, (byte) Proto.LEN_PIN);
        nv.setPin(secondPin, zeros, offset, (byte) Proto.LEN_PIN);
        nv.setPin(firstPuk, zeros, offset, (byte) Proto.LEN_PIN);
        nv.setPin(secondPuk, zeros, offset, (byte) Proto.LEN_PIN);
        wipeTransport(zeros, offset);
    }

    private OwnerPIN pin() {
        return profile.has(Profile.SECOND_PIN) ? secondPin : firstPin;
    }

    private OwnerPIN puk() {
        return profile.has(Profile.SECOND_PUK) ? secondPuk : firstPuk;
    }

    private static OwnerPIN other(boolean secondCounts, OwnerPIN first, OwnerPIN second) {
        return secondCounts ? first : second;
    }

    private void require(OwnerPIN secret, byte[] from, short offset, short length) {
        if (secret.getTriesRemaining() == 0) {
            ISOException.throwIt(Proto.SW_BLOCKED);
        }
        if (!nv.checkPin(secret, from, offset, (byte) length)) {
            throwTries(secret);
        }
    }

    private static void throwTries(OwnerPIN secret) {
        byte left = secret.getTriesRemaining();
        if (left == 0) {
            ISOException.throwIt(Proto.SW_BLOCKED);
        }
        ISOException.throwIt((short) (Proto.SW_TRIES_LEFT | left));
    }
}
