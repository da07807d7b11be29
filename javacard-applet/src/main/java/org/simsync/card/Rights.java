package org.simsync.card;

import javacard.framework.ISOException;

/** The rights of docs/card.md, each as one check that throws. */
final class Rights {
    private final Ram ram;
    private final Profile profile;
    private final Secrets secrets;

    Rights(Ram ram, Profile profile, Secrets secrets) {
        this.ram = ram;
        this.profile = profile;
        this.secrets = secrets;
    }

    void requireLifecycle(byte lifecycle) {
        if (profile.lifecycle() != lifecycle) {
            ISOException.throwIt(Proto.SW_NOT_NOW);
        }
    }

    void requirePin() {
        if (!secrets.isVerified()) {
            ISOException.throwIt(Proto.SW_RIGHT_MISSING);
        }
        if (profile.has(Profile.PIN_DUE)) {
            ISOException.throwIt(Proto.SW_CHANGE_PIN_FIRST);
        }
    }

    /** direct: whether the command before this one was a successful VERIFY. */
    void requireDirectPin(boolean direct) {
        requirePin();
        if (!direct) {
            ISOException.throwIt(Proto.SW_RIGHT_MISSING);
        }
    }

    void requireToken(byte[] from, short offset) {
        if (!ram.isOpen() || !Bytes.equal(from, offset, ram.session, Ram.TOKEN, Proto.LEN_TOKEN)) {
            ISOException.throwIt(Proto.SW_RIGHT_MISSING);
        }
    }
}
