package org.simsync.card;

import javacard.framework.APDU;
import javacard.framework.ISOException;
import javacard.framework.Util;
import javacard.security.RandomData;

/** PERSONALISE, GENERATE KEYS, ENROLLED: what the operator does, under the transport secret, until enrolled. */
final class Provisioning {
    private static final short REST_OF_PERSONALISE =
            (short) (Proto.LEN_HASH + Proto.LEN_PIN + Proto.LEN_PIN + 1);
    private static final short PERSONALISE_MIN =
            (short) (Proto.LEN_TRANSPORT + 2 + 1 + 2 + REST_OF_PERSONALISE);
    private static final short PERSONALISE_MAX = (short) (Proto.LEN_TRANSPORT + 1 + Proto.LEN_SUBSCRIBER_MAX
            + 1 + Proto.LEN_LABEL_MAX + 1 + Proto.LEN_SERVER_MAX + REST_OF_PERSONALISE);
    private static final short OPTIONS_UNKNOWN = (short) 0xFC;

    private final Ram ram;
    private final Io io;
    private final Profile profile;
    private final Secrets secrets;
    private final Rights rights;
    private final Keys keys;
    private final Texts texts;
    private final RandomData random;

    Provisioning(Ram ram, Io io, Profile profile, Secrets secrets, Rights rights, Keys keys, Texts texts,
            RandomData random) {
        this.ram = ram;
        this.io = io;
        this.profile = profile;
        this.secrets = secrets;
        this.rights = rights;
        this.keys = keys;
        this.texts = texts;
        this.random = random;
    }

    void personalise(APDU apdu) {
        boolean again = profile.lifecycle() == Proto.LIFE_PERSONALISED;
        if (!again) {
            rights.requireLifecycle(Proto.LIFE_INSTALLED);
        }
        short length = io.receive(apdu, PERSONALISE_MIN, PERSONALISE_MAX);
        byte[] in = ram.in;
        secrets.requireTransport(in, (short) 0);

        short subscriber = Proto.LEN_TRANSPORT;
        short label = requireField(subscriber, (short) 1, Proto.LEN_SUBSCRIBER_MAX, length);
        short server = requireField(label, (short) 0, Proto.LEN_LABEL_MAX, length);
        short caPin = requireField(server, (short) 1, Proto.LEN_SERVER_MAX, length);
        if ((short) (caPin + REST_OF_PERSONALISE) != length) {
            ISOException.throwIt(Proto.SW_BAD_DATA);
        }
        short pin = (short) (caPin + Proto.LEN_HASH);
        short puk = (short) (pin + Proto.LEN_PIN);
        byte options = in[(short) (puk + Proto.LEN_PIN)];
        Secrets.requirePinForm(in, pin);
        Secrets.requirePukForm(in, puk);
        if ((short) (options & OPTIONS_UNKNOWN) != 0) {
            ISOException.throwIt(Proto.SW_BAD_DATA);
        }

        // There are no terminals to remove: none can be added before ENROLLED.
        secrets.prepareNewPin(in, pin);
        secrets.prepareNewPuk(in, puk);
        byte[] image = profile.edit();
        secrets.noteNewPin(image);
        secrets.noteNewPuk(image);
        if (!again) {
            random.generateData(image, Profile.CARD_ID, Proto.LEN_CARD_ID);
        }
        Profile.setField(image, Profile.SUBSCRIBER, Proto.LEN_SUBSCRIBER_MAX, in, subscriber);
        Profile.setField(image, Profile.LABEL, Proto.LEN_LABEL_MAX, in, label);
        Profile.setField(image, Profile.SERVER, Proto.LEN_SERVER_MAX, in, server);
        Util.arrayCopyNonAtomic(in, caPin, image, Profile.CA_PIN, Proto.LEN_HASH);
        Profile.setFlag(image, Profile.CONTACTLESS, (byte) (options & Proto.OPTION_CONTACTLESS) != 0);
        Profile.setFlag(image, Profile.PIN_DUE, (byte) (options & Proto.OPTION_CHANGE_PIN) != 0);
        Profile.setLifecycle(image, Proto.LIFE_PERSONALISED);
        profile.commit();

        Util.arrayCopyNonAtomic(profile.array(), Profile.CARD_ID, ram.out, (short) 0, Proto.LEN_CARD_ID);
        io.reply(apdu, Proto.LEN_CARD_ID);
    }

    /** 6A80 unless an LV field of the input has an allowed length and ends within the data; answers where it ends. */
    private short requireField(short at, short atLeast, short atMost, short length) {
        if (at >= length) {
            ISOException.throwIt(Proto.SW_BAD_DATA);
        }
        short valueLength = Bytes.unsigned(ram.in[at]);
        short end = (short) ((short) (at + 1) + valueLength);
        if (valueLength < atLeast || valueLength > atMost || end > length) {
            ISOException.throwIt(Proto.SW_BAD_DATA);
        }
        return end;
    }

    void generateKeys(APDU apdu) {
        rights.requireLifecycle(Proto.LIFE_PERSONALISED);
        short expected = (short) (Proto.LEN_TRANSPORT + Proto.LEN_HASH);
        io.receive(apdu, expected, expected);
        secrets.requireTransport(ram.in, (short) 0);
        if (!profile.has(Profile.KEYS_MADE)) {
            keys.generate();
            byte[] image = profile.edit();
            Profile.setFlag(image, Profile.KEYS_MADE, true);
            profile.commit();
        }
        io.reply(apdu, putKeys(Texts.ENROL, ram.in, Proto.LEN_TRANSPORT));
    }

    /** Writes both points, and LV of a signature over them and 32 bytes of the caller's, to the answer; gives its length. */
    short putKeys(byte[] domain, byte[] callers, short offset) {
        byte[] out = ram.out;
        short kemAt = keys.copySigPoint(out, (short) 0);
        short end = keys.copyKemPoint(out, kemAt);
        short textEnd = texts.begin(domain);
        textEnd = texts.field(textEnd, out, (short) 0, Proto.LEN_POINT);
        textEnd = texts.field(textEnd, out, kemAt, Proto.LEN_POINT);
        textEnd = texts.field(textEnd, callers, offset, Proto.LEN_HASH);
        return keys.sign(textEnd, out, end);
    }

    void enrolled(APDU apdu) {
        rights.requireLifecycle(Proto.LIFE_PERSONALISED);
        io.receive(apdu, Proto.LEN_TRANSPORT, Proto.LEN_TRANSPORT);
        secrets.requireTransport(ram.in, (short) 0);
        if (!profile.has(Profile.KEYS_MADE)) {
            ISOException.throwIt(Proto.SW_NOT_NOW);
        }
        byte[] image = profile.edit();
        Profile.setLifecycle(image, Proto.LIFE_ENROLLED);
        profile.commit();
        // After a cut here the secret is left, but no command takes it any more in this lifecycle.
        Util.arrayFillNonAtomic(ram.work, (short) 0, Proto.LEN_TRANSPORT, (byte) 0);
        secrets.wipeTransport(ram.work, (short) 0);
    }
}
