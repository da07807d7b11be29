package org.simsync.card;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/** Takes command data in and sends answers, whatever the protocol and the size of the APDU buffer (133 bytes at least). */
final class Io {
    private static final byte PROTOCOL_MASK = (byte) 0x0F;
    private static final byte MEDIA_MASK = (byte) 0xF0;
    private static final byte MEDIA_CONTACTS = (byte) 0x00;
    private static final byte MEDIA_USB = (byte) 0xA0;

    private final Ram ram;

    Io(Ram ram) {
        this.ram = ram;
    }

    /** Gathers the command data at the start of {@link Ram#in}; answers its length. For commands that may have data. */
    short receive(APDU apdu) {
        short got = apdu.setIncomingAndReceive();
        short total = apdu.getIncomingLength();
        if (total > (short) ram.in.length) {
            ISOException.throwIt(Proto.SW_WRONG_LENGTH);
        }
        short at = apdu.getOffsetCdata();
        short done = 0;
        while (got > 0) {
            done = Util.arrayCopyNonAtomic(apdu.getBuffer(), at, ram.in, done, got);
            if (done >= total) {
                break;
            }
            at = ISO7816.OFFSET_CDATA;
            got = apdu.receiveBytes(at);
        }
        if (done != total) {
            ISOException.throwIt(Proto.SW_WRONG_LENGTH);
        }
        return total;
    }

    /** The same, and 6700 unless the length is in the given range. */
    short receive(APDU apdu, short atLeast, short atMost) {
        short length = receive(apdu);
        if (length < atLeast || length > atMost) {
            ISOException.throwIt(Proto.SW_WRONG_LENGTH);
        }
        return length;
    }

    /** 6700 if a command that takes no data has some; T=0 cannot tell: there the length byte is the answer's. */
    void receiveNothing(APDU apdu) {
        if ((byte) (APDU.getProtocol() & PROTOCOL_MASK) == APDU.PROTOCOL_T1) {
            receive(apdu, (short) 0, (short) 0);
        }
    }

    /** Sends the first bytes of {@link Ram#out}. */
    void reply(APDU apdu, short length) {
        apdu.setOutgoing();
        apdu.setOutgoingLength(length);
        apdu.sendBytesLong(ram.out, (short) 0, length);
    }

    /** Whether the command came without contacts: anything but contacts and USB, new media included. */
    static boolean isContactless() {
        byte media = (byte) (APDU.getProtocol() & MEDIA_MASK);
        return media != MEDIA_CONTACTS && media != MEDIA_USB;
    }
}
