package org.simsync.bridge;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;

/**
 * Somebody else's applet on the same card, for tests of what happens when another program selects it in mid-session: it
 * counts down tries at every VERIFY and answers 6D00 to all else. SELECT F0 4E 45 49 47 48 42 4F 55 52.
 */
public final class Neighbour extends Applet {
    /** Of its package, and of the only applet in that. */
    public static final byte[] PACKAGE_AID = {(byte) 0xF0, 'N', 'E', 'I', 'G', 'H', 'B', 'O', 'U'};
    public static final byte[] AID = {(byte) 0xF0, 'N', 'E', 'I', 'G', 'H', 'B', 'O', 'U', 'R'};

    private static final byte INS_VERIFY = 0x20;
    private byte tries = 3;

    public static void install(byte[] array, short offset, byte length) {
        new Neighbour().register(array, (short) (offset + 1), array[offset]);
    }

    @Override
    public void process(APDU apdu) {
        if (selectingApplet()) {
            return;
        }
        if (apdu.getBuffer()[ISO7816.OFFSET_INS] != INS_VERIFY) {
            ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }
        if (tries > 0) {
            tries--;
        }
        ISOException.throwIt((short) (0x63C0 | tries));
    }
}
