package org.simsync.card;

import javacard.framework.APDU;
import javacard.framework.ISOException;
import javacard.framework.Util;
import javacard.security.MessageDigest;
import javacard.security.RandomData;

/** SELECT's answer, GET CHALLENGE, READ INFO, READ KEYS, SET SERVER. */
final class Info {
    private static final short SET_SERVER_MIN = (short) (2 + Proto.LEN_HASH);
    private static final short SET_SERVER_MAX = (short) (1 + Proto.LEN_SERVER_MAX + Proto.LEN_HASH);

    private final Ram ram;
    private final Io io;
    private final Profile profile;
    private final Secrets secrets;
    private final Rights rights;
    private final Provisioning provisioning;
    private final MessageDigest sha;
    private final RandomData random;

    Info(Ram ram, Io io, Profile profile, Secrets secrets, Rights rights, Provisioning provisioning,
            MessageDigest sha, RandomData random) {
        this.ram = ram;
        this.io = io;
        this.profile = profile;
        this.secrets = secrets;
        this.rights = rights;
        this.provisioning = provisioning;
        this.sha = sha;
        this.random = random;
    }

    void select(APDU apdu) {
        drawChallenge();
        byte[] out = ram.out;
        byte lifecycle = profile.lifecycle();
        boolean hasOwner = lifecycle == Proto.LIFE_PERSONALISED || lifecycle == Proto.LIFE_ENROLLED;
        out[0] = Proto.VERSION_MAJOR;
        out[1] = Proto.VERSION_MINOR;
        out[2] = lifecycle;
        out[3] = hasOwner ? secrets.pinTries() : (byte) 0;
        out[4] = hasOwner ? secrets.pukTries() : (byte) 0;
        out[5] = hasOwner ? pinState() : (byte) 0;
        short end = Util.arrayCopyNonAtomic(ram.session, Ram.CHALLENGE, out, (short) 6, Proto.LEN_CHALLENGE);
        if (hasOwner) {
            end = putPseudonym(end);
        } else {
            end = Util.arrayFillNonAtomic(out, end, Proto.LEN_PSEUDONYM, (byte) 0);
        }
        io.reply(apdu, end);
    }

    private byte pinState() {
        return profile.has(Profile.PIN_DUE) ? (byte) (Proto.PIN_IS_SET | Proto.PIN_IS_DUE) : Proto.PIN_IS_SET;
    }

    /** A pseudonym that only who knows card and subscriber can recognise; the challenge makes it new each time. */
    private short putPseudonym(short at) {
        byte[] work = ram.work;
        byte[] body = profile.array();
        short subscriberLength = Bytes.unsigned(body[Profile.SUBSCRIBER]);
        short end = Util.setShort(work, (short) 0, Proto.LEN_CARD_ID);
        end = Util.arrayCopyNonAtomic(body, Profile.CARD_ID, work, end, Proto.LEN_CARD_ID);
        end = Util.setShort(work, end, subscriberLength);
        end = Util.arrayCopyNonAtomic(body, (short) (Profile.SUBSCRIBER + 1), work, end, subscriberLength);
        end = Util.setShort(work, end, Proto.LEN_CHALLENGE);
        end = Util.arrayCopyNonAtomic(ram.session, Ram.CHALLENGE, work, end, Proto.LEN_CHALLENGE);
        sha.doFinal(work, (short) 0, end, ram.in, (short) 0);
        return Util.arrayCopyNonAtomic(ram.in, (short) 0, ram.out, at, Proto.LEN_PSEUDONYM);
    }

    void challenge(APDU apdu) {
        drawChallenge();
        Util.arrayCopyNonAtomic(ram.session, Ram.CHALLENGE, ram.out, (short) 0, Proto.LEN_CHALLENGE);
        io.reply(apdu, Proto.LEN_CHALLENGE);
    }

    private void drawChallenge() {
        random.generateData(ram.session, Ram.CHALLENGE, Proto.LEN_CHALLENGE);
        ram.setChallenged();
    }

    void readInfo(APDU apdu) {
        rights.requireLifecycle(Proto.LIFE_ENROLLED);
        rights.requirePin();
        byte[] out = ram.out;
        short end = Util.arrayCopyNonAtomic(profile.array(), Profile.CARD_ID, out, (short) 0, Proto.LEN_CARD_ID);
        end = profile.copyField(Profile.SUBSCRIBER, out, end);
        end = profile.copyField(Profile.LABEL, out, end);
        end = profile.copyField(Profile.SERVER, out, end);
        end = Util.arrayCopyNonAtomic(profile.array(), Profile.CA_PIN, out, end, Proto.LEN_HASH);
        io.reply(apdu, end);
    }

    void readKeys(APDU apdu) {
        rights.requireLifecycle(Proto.LIFE_ENROLLED);
        io.receive(apdu, Proto.LEN_HASH, Proto.LEN_HASH);
        rights.requirePin();
        io.reply(apdu, provisioning.putKeys(Texts.KEYS, ram.in, (short) 0));
    }

    void setServer(APDU apdu, boolean direct) {
        rights.requireLifecycle(Proto.LIFE_ENROLLED);
        short length = io.receive(apdu, SET_SERVER_MIN, SET_SERVER_MAX);
        rights.requireDirectPin(direct);
        byte[] in = ram.in;
        short addressLength = Bytes.unsigned(in[0]);
        short caPin = (short) (1 + addressLength);
        if (addressLength == 0 || (short) (caPin + Proto.LEN_HASH) != length) {
            ISOException.throwIt(Proto.SW_BAD_DATA);
        }
        byte[] image = profile.edit();
        Profile.setField(image, Profile.SERVER, Proto.LEN_SERVER_MAX, in, (short) 0);
        Util.arrayCopyNonAtomic(in, caPin, image, Profile.CA_PIN, Proto.LEN_HASH);
        profile.commit();
    }
}
