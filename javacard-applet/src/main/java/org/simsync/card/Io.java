package org.simsync.card;

import javacard.framework.APDU;
import javacard.framework.APDUException;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * Takes command data in and sends answers, whatever the protocol and the size of the APDU buffer (133 bytes at least).
 * Commands that take no data never ask for any.
 */
final class Io {
    private static final byte PROTOCOL_MASK = (byte) 0x0F;
    private static final byte MEDIA_MASK = (byte) 0xF0;
    private static final byte MEDIA_CONTACTS = (byte) 0x00;
    private static final byte MEDIA_USB = (byte) 0xA0;

    private final Ram ram;

    Io(Ram ram) {
        this.ram = ram;
    }

    /**
     * Gathers the command data at the start of {@link Ram#in}; answers its length, 0 if none came. For commands that may
     * have data: platforms that are asked for data where none came throw, or make some up.
     *
     * <p>Byte 4 is Lc, or Le of a case 2 command (ISO 7816-4), or 0. Only this byte and the numbers of bytes that arrive are
     * trusted: what {@code getIncomingLength} and {@code getOffsetCdata} tell is wrong on some cards.
     *
     * <p>Nothing of a PIN, a secret or a token stays in the platform's buffer, which all applets share.
     */
    short receive(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        short announced = Bytes.unsigned(buffer[ISO7816.OFFSET_LC]);
        if (announced == 0) {
            return 0;
        }
        short got = begin(apdu);
        short done = 0;
        while (got > 0) {
            short rest = (short) (announced - done);
            // Le may have been counted too.
            short taken = got < rest ? got : rest;
            done = Util.arrayCopyNonAtomic(buffer, ISO7816.OFFSET_CDATA, ram.in, done, taken);
            Util.arrayFillNonAtomic(buffer, ISO7816.OFFSET_CDATA, got, (byte) 0);
            if (done == announced) {
                return done;
            }
            got = apdu.receiveBytes(ISO7816.OFFSET_CDATA);
        }
        if (done != 0) {
            ISOException.throwIt(Proto.SW_WRONG_LENGTH);
        }
        return 0;
    }

    /** The first piece; 0 if the platform says that there is none, with an exception or without: byte 4 was Le. */
    private static short begin(APDU apdu) {
        try {
            return apdu.setIncomingAndReceive();
        } catch (APDUException e) {
            return 0;
        }
    }

    /** The same, and 6700 unless the length is in the given range. */
    short receive(APDU apdu, short atLeast, short atMost) {
        short length = receive(apdu);
        if (length < atLeast || length > atMost) {
            ISOException.throwIt(Proto.SW_WRONG_LENGTH);
        }
        return length;
    }

    /**
     * Sends the first bytes of {@link Ram#out}: at most as many as Le asks for (ISO 7816-4, 5.1). With T=0 all of them: there
     * the runtime announces with 61XX what Le has no room for (JCRE 9.4.1). A Le that is missing is told as 256 or as 0.
     */
    void reply(APDU apdu, short length) {
        short expected = apdu.setOutgoing();
        boolean isCut = (byte) (APDU.getProtocol() & PROTOCOL_MASK) != APDU.PROTOCOL_T0 && expected > 0 && expected < length;
        short sent = isCut ? expected : length;
        apdu.setOutgoingLength(sent);
        apdu.sendBytesLong(ram.out, (short) 0, sent);
    }

    /** Whether the command came without contacts: anything but contacts and USB, new media included. */
    static boolean isContactless() {
        byte media = (byte) (APDU.getProtocol() & MEDIA_MASK);
        return media != MEDIA_CONTACTS && media != MEDIA_USB;
    }
}
