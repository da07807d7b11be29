package org.simsync.card;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;
import javacard.security.MessageDigest;
import javacard.security.RandomData;

/**
 * Installation and dispatch. Checks come in the order class, instruction, P1 P2, lifecycle, length, right, content;
 * this class does the first three, each command's method the rest.
 */
public class SimsyncApplet extends Applet {
    /** P1 values of LIST are slots, those of SIGN domains. */
    private static final short SIGN_DOMAINS = 3;

    private static final short RECORD_PROFILE = 0;
    private static final short RECORD_SESSIONS = 1;
    private static final short RECORD_HEAD = 2;
    private static final short RECORD_TERMINALS = 3;
    private static final short RECORDS = (short) (RECORD_TERMINALS + Proto.SLOTS);

    private final Ram ram;
    private final Io io;
    private final Profile profile;
    private final Secrets secrets;
    private final Keys keys;
    private final Terminals terminals;
    private final Sessions sessions;
    private final Head head;
    private final Rights rights;
    private final Provisioning provisioning;
    private final Pins pins;
    private final Info info;
    private final Pairing pairing;
    private final Work work;

    /** Allocates all that the applet will ever use. The parameter is the transport secret, 16 bytes. */
    protected SimsyncApplet(Nv nv, byte[] parameter, short offset, byte length) {
        if (length != (byte) Proto.LEN_TRANSPORT) {
            ISOException.throwIt(Proto.SW_BAD_DATA);
        }
        MessageDigest sha = MessageDigest.getInstance(MessageDigest.ALG_SHA_256, false);
        RandomData random = RandomData.getInstance(RandomData.ALG_SECURE_RANDOM);
        ram = new Ram(RECORDS);
        io = new Io(ram);
        profile = new Profile(nv, ram, sha, RECORD_PROFILE);
        secrets = new Secrets(nv, ram, profile, parameter, offset);
        keys = new Keys(nv, ram);
        terminals = new Terminals(nv, ram, sha, RECORD_TERMINALS);
        sessions = new Sessions(nv, ram, sha, RECORD_SESSIONS);
        head = new Head(nv, ram, sha, RECORD_HEAD);
        rights = new Rights(ram, profile, secrets);
        Texts texts = new Texts(ram, profile);
        provisioning = new Provisioning(ram, io, profile, secrets, rights, keys, texts, random);
        pins = new Pins(ram, io, profile, secrets, rights);
        info = new Info(ram, io, profile, secrets, rights, provisioning, sha, random);
        pairing = new Pairing(ram, io, rights, keys, texts, terminals, sessions, sha);
        work = new Work(ram, io, rights, keys, texts, terminals, sessions, pairing, head, random);
    }

    /** LV instance AID, LV privileges, LV parameter (C9): the transport secret. 6A80 unless these are in the data. */
    public static void install(byte[] array, short offset, byte length) {
        short parameter = parameterAt(array, offset, length);
        new SimsyncApplet(new Nv(), array, (short) (parameter + 1), array[parameter])
                .register(array, (short) (offset + 1), array[offset]);
    }

    /** Where the LV parameter stands in the installation data, whole; what the array holds behind the data is not ours. */
    protected static short parameterAt(byte[] array, short offset, byte length) {
        short end = (short) (offset + Bytes.unsigned(length));
        short privileges = fieldEnd(array, offset, end);
        short parameter = fieldEnd(array, privileges, end);
        fieldEnd(array, parameter, end);
        return parameter;
    }

    private static short fieldEnd(byte[] array, short at, short end) {
        if (at >= end) {
            ISOException.throwIt(Proto.SW_BAD_DATA);
        }
        short fieldEnd = (short) ((short) (at + 1) + Bytes.unsigned(array[at]));
        if (fieldEnd > end) {
            ISOException.throwIt(Proto.SW_BAD_DATA);
        }
        return fieldEnd;
    }

    public boolean select() {
        ram.wipeSession();
        return true;
    }

    public void deselect() {
        ram.wipeSession();
        ram.wipeBuffers();
    }

    public void process(APDU apdu) {
        try {
            boolean direct = ram.takeDirect();
            if (profile.lifecycle() == Proto.LIFE_TERMINATED && !profile.has(Profile.WIPED)) {
                // The power went while the card was being wiped.
                wipe();
            }
            if (Io.isContactless() && !profile.has(Profile.CONTACTLESS)) {
                ISOException.throwIt(Proto.SW_NOT_NOW);
            }
            if (selectingApplet()) {
                info.select(apdu);
                return;
            }
            dispatch(apdu, direct);
        } catch (ISOException e) {
            throw e;
        } catch (RuntimeException e) {
            // No command should get here; a host must still see a status word and not a dead card.
            ISOException.throwIt(Proto.SW_DEFECT);
        } finally {
            ram.wipeBuffers();
        }
    }

    private void dispatch(APDU apdu, boolean direct) {
        byte[] header = apdu.getBuffer();
        byte cla = header[ISO7816.OFFSET_CLA];
        byte instruction = header[ISO7816.OFFSET_INS];
        switch (Channels.basicClass(cla)) {
            case Proto.CLA_ISO:
                dispatchIso(apdu, instruction);
                break;
            case Proto.CLA_OWN:
                dispatchOwn(apdu, instruction, direct);
                break;
            default:
                ISOException.throwIt(Channels.refusal(cla));
        }
    }

    private void dispatchIso(APDU apdu, byte instruction) {
        switch (instruction) {
            case Proto.INS_SELECT:
                // Only a SELECT that chose no applet comes here as a command: none of this name, or no further one.
                if (Util.getShort(apdu.getBuffer(), ISO7816.OFFSET_P1) != Proto.P1P2_SELECT_NEXT) {
                    requireParameters(apdu, Proto.P1P2_SELECT_FIRST);
                }
                ISOException.throwIt(Proto.SW_NOT_FOUND);
                break;
            case Proto.INS_VERIFY:
                requireParameters(apdu, Proto.P1P2_PIN);
                pins.verify(apdu);
                break;
            case Proto.INS_CHANGE:
                requireParameters(apdu, Proto.P1P2_PIN);
                pins.change(apdu);
                break;
            case Proto.INS_UNBLOCK:
                requireParameters(apdu, Proto.P1P2_PIN);
                pins.unblock(apdu);
                break;
            default:
                ISOException.throwIt(Proto.SW_BAD_INS);
        }
    }

    private void dispatchOwn(APDU apdu, byte instruction, boolean direct) {
        switch (instruction) {
            case Proto.INS_GET_CHALLENGE:
                requireParameters(apdu, (short) 0);
                info.challenge(apdu);
                break;
            case Proto.INS_PERSONALISE:
                requireParameters(apdu, (short) 0);
                provisioning.personalise(apdu);
                break;
            case Proto.INS_GENERATE_KEYS:
                requireParameters(apdu, (short) 0);
                provisioning.generateKeys(apdu);
                break;
            case Proto.INS_ENROLLED:
                requireParameters(apdu, (short) 0);
                provisioning.enrolled(apdu);
                break;
            case Proto.INS_READ_INFO:
                requireParameters(apdu, (short) 0);
                info.readInfo(apdu);
                break;
            case Proto.INS_READ_KEYS:
                requireParameters(apdu, (short) 0);
                info.readKeys(apdu);
                break;
            case Proto.INS_SET_SERVER:
                requireParameters(apdu, (short) 0);
                info.setServer(apdu, direct);
                break;
            case Proto.INS_ADD_TERMINAL:
                requireParameters(apdu, (short) 0);
                pairing.add(apdu, direct);
                break;
            case Proto.INS_LIST:
                requireP1Within(apdu, (short) 0, (short) (Proto.SLOTS - 1));
                pairing.list(apdu);
                break;
            case Proto.INS_READ_SESSIONS:
                requireParameters(apdu, (short) 0);
                pairing.readSessions(apdu);
                break;
            case Proto.INS_REMOVE_TERMINAL:
                requireParameters(apdu, (short) 0);
                pairing.remove(apdu, direct);
                break;
            case Proto.INS_OPEN_SESSION:
                requireParameters(apdu, (short) 0);
                work.open(apdu);
                break;
            case Proto.INS_RENEW:
                requireParameters(apdu, (short) 0);
                work.renew(apdu);
                break;
            case Proto.INS_PUT_HEAD:
                requireParameters(apdu, (short) 0);
                work.putHead(apdu);
                break;
            case Proto.INS_SIGN:
                requireP1Within(apdu, (short) 1, SIGN_DOMAINS);
                work.sign(apdu, direct);
                break;
            case Proto.INS_TERMINATE:
                requireParameters(apdu, (short) 0);
                terminate(apdu);
                break;
            default:
                ISOException.throwIt(Proto.SW_BAD_INS);
        }
    }

    private static void requireParameters(APDU apdu, short expected) {
        if (Util.getShort(apdu.getBuffer(), ISO7816.OFFSET_P1) != expected) {
            ISOException.throwIt(Proto.SW_BAD_P1P2);
        }
    }

    private static void requireP1Within(APDU apdu, short atLeast, short atMost) {
        byte[] header = apdu.getBuffer();
        short p1 = Bytes.unsigned(header[ISO7816.OFFSET_P1]);
        if (p1 < atLeast || p1 > atMost || header[ISO7816.OFFSET_P2] != 0) {
            ISOException.throwIt(Proto.SW_BAD_P1P2);
        }
    }

    private void terminate(APDU apdu) {
        rights.requireLifecycle(Proto.LIFE_ENROLLED);
        short length = io.receive(apdu);
        if (length != 0 && length != Proto.LEN_PIN) {
            ISOException.throwIt(Proto.SW_WRONG_LENGTH);
        }
        if (length == Proto.LEN_PIN) {
            Secrets.requirePukForm(ram.in, (short) 0);
            secrets.requirePuk(ram.in, (short) 0);
        } else if (!secrets.isPukBlocked()) {
            ISOException.throwIt(Proto.SW_RIGHT_MISSING);
        }
        ram.wipeSession();
        // From the first write on the card is dead, and a wipe cut short goes on when it next has power.
        profile.terminate();
        wipe();
    }

    private void wipe() {
        keys.wipe();
        Util.arrayFillNonAtomic(ram.in, (short) 0, Proto.LEN_TRANSPORT, (byte) 0);
        secrets.wipe(ram.in, (short) 0);
        terminals.wipe();
        sessions.wipe();
        head.wipe();
        profile.setWiped();
    }
}
