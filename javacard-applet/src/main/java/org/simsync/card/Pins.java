package org.simsync.card;

import javacard.framework.APDU;
import javacard.framework.ISOException;
import javacard.framework.Util;

/** VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER. */
final class Pins {
    private static final short NEW_PIN = Proto.LEN_PIN;
    private static final short NEW_PUK = (short) (NEW_PIN + Proto.LEN_PIN);
    private static final short CHANGE_LENGTH = NEW_PUK;
    private static final short CHANGE_DUE_LENGTH = (short) (NEW_PUK + Proto.LEN_PIN);

    private final Ram ram;
    private final Io io;
    private final Profile profile;
    private final Secrets secrets;
    private final Rights rights;

    Pins(Ram ram, Io io, Profile profile, Secrets secrets, Rights rights) {
        this.ram = ram;
        this.io = io;
        this.profile = profile;
        this.secrets = secrets;
        this.rights = rights;
    }

    void verify(APDU apdu) {
        rights.requireLifecycle(Proto.LIFE_ENROLLED);
        short length = io.receive(apdu);
        if (length == 0) {
            secrets.throwPinState();
            return;
        }
        if (length != Proto.LEN_PIN) {
            ISOException.throwIt(Proto.SW_WRONG_LENGTH);
        }
        Secrets.requirePinForm(ram.in, (short) 0);
        secrets.requirePin(ram.in, (short) 0);
        ram.setDirect();
    }

    void change(APDU apdu) {
        rights.requireLifecycle(Proto.LIFE_ENROLLED);
        boolean due = profile.has(Profile.PIN_DUE);
        short expected = due ? CHANGE_DUE_LENGTH : CHANGE_LENGTH;
        io.receive(apdu, expected, expected);
        byte[] in = ram.in;
        Secrets.requirePinForm(in, (short) 0);
        Secrets.requirePinForm(in, NEW_PIN);
        if (due) {
            Secrets.requirePukForm(in, NEW_PUK);
            // Who knew the first PIN would go on knowing it.
            if (Util.arrayCompare(in, (short) 0, in, NEW_PIN, Proto.LEN_PIN) == 0) {
                ISOException.throwIt(Proto.SW_BAD_DATA);
            }
        }
        secrets.requirePin(in, (short) 0);
        ram.setVerified(false);

        secrets.prepareNewPin(in, NEW_PIN);
        if (due) {
            secrets.prepareNewPuk(in, NEW_PUK);
        }
        byte[] image = profile.edit();
        secrets.noteNewPin(image);
        if (due) {
            secrets.noteNewPuk(image);
            Profile.setFlag(image, Profile.PIN_DUE, false);
        }
        profile.commit();
        // The platform notes a verified PIN per object; the new one has to see its value once.
        secrets.requirePin(in, NEW_PIN);
    }

    void unblock(APDU apdu) {
        rights.requireLifecycle(Proto.LIFE_ENROLLED);
        io.receive(apdu, CHANGE_LENGTH, CHANGE_LENGTH);
        byte[] in = ram.in;
        Secrets.requirePukForm(in, (short) 0);
        Secrets.requirePinForm(in, NEW_PIN);
        secrets.requirePuk(in, (short) 0);
        ram.setVerified(false);
        secrets.prepareNewPin(in, NEW_PIN);
        byte[] image = profile.edit();
        secrets.noteNewPin(image);
        profile.commit();
    }
}
