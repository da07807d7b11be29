package org.simsync.bridge.gp;

import java.security.SecureRandom;

/**
 * The issuer security domain (GPCS 7.2): commands by class and instruction, secure channel sessions, and what the card's
 * life cycle allows.
 */
final class Isd {
    private static final int GET_DATA = 0xCA;
    private static final int DELETE = 0xE4;
    private static final int INSTALL = 0xE6;
    private static final int LOAD = 0xE8;
    private static final int SET_STATUS = 0xF0;
    private static final int GET_STATUS = 0xF2;
    private static final int PUT_KEY = 0xD8;
    private static final int SELECT = 0xA4;
    private static final int INITIALIZE_UPDATE = 0x50;
    private static final int EXTERNAL_AUTHENTICATE = 0x82;

    private static final int CLA_ISO = 0x00;
    private static final int CLA_GP = 0x80;
    private static final int CLA_SECURED = 0x84;
    private static final int SECURE_MESSAGING = 0x04;
    private static final int HOST_CHALLENGE = 8;
    private static final int AUTHENTICATION_DATA = 16;
    /** PUT KEY's P2: more than one key, the first is number 1. */
    private static final int ALL_KEYS = 0x81;
    private static final byte[] NOTHING = {};

    private final Registry registry;
    private final Settings settings;
    private final Keys keys;
    private final Content content;
    private final CardData cardData;
    private final StatusReport report;
    private final byte[] diversification;
    private final SecureRandom random;

    /** Begun by INITIALIZE UPDATE; set while EXTERNAL AUTHENTICATE is awaited. */
    private SecureChannel begun;
    private KeySet begunWith;
    /** Opened by EXTERNAL AUTHENTICATE. */
    private SecureChannel open;

    Isd(Registry registry, Settings settings, Content content, SecureRandom random) {
        this.registry = registry;
        this.settings = settings;
        this.content = content;
        this.random = random;
        keys = new Keys(settings.keys(), settings.tries());
        byte[] told = settings.diversification();
        diversification = told == null ? drawn(Settings.DIVERSIFICATION) : told;
        cardData = new CardData(registry, keys, settings, diversification);
        report = new StatusReport(registry);
    }

    private byte[] drawn(int length) {
        byte[] bytes = new byte[length];
        random.nextBytes(bytes);
        return bytes;
    }

    /** Power, reset, SELECT, or a wrong MAC ended it. */
    void endSession() {
        begun = null;
        begunWith = null;
        open = null;
        content.abortLoad();
        report.forget();
    }

    /** SELECT of this domain. */
    byte[] select() {
        endSession();
        return Sw.answer(CardData.selected(), registry.isLocked() ? Sw.CARD_IS_LOCKED : Sw.OK);
    }

    /** Answers a command APDU. */
    byte[] process(byte[] apdu) {
        try {
            return process(Command.parse(apdu));
        } catch (Refusal e) {
            return Sw.answer(NOTHING, e.status());
        }
    }

    private byte[] process(Command command) throws Refusal {
        checkClass(command);
        if (registry.isTerminated() && command.ins() != GET_DATA) {
            throw new Refusal(Sw.CONDITIONS);
        }
        SecureChannel awaiting = begun;
        begun = null;
        if (command.ins() != LOAD) {
            content.abortLoad();
        }
        if (command.ins() != GET_STATUS) {
            report.forget();
        }
        if (command.ins() == EXTERNAL_AUTHENTICATE) {
            externalAuthenticate(command, awaiting);
            return Sw.answer(NOTHING, Sw.OK);
        }
        if (command.isSecured()) {
            return inSession(command);
        }
        if (command.ins() == INITIALIZE_UPDATE) {
            return Sw.answer(initializeUpdate(command), Sw.OK);
        }
        if (open != null && open.level() != 0 && command.ins() != GET_DATA) {
            // Whoever holds the session protects what is sent (GPCS 10.2.3).
            endSession();
            throw new Refusal(Sw.SECURITY_STATUS);
        }
        byte[] data = dispatch(command);
        return Sw.answer(data, report.hasMore() ? Sw.MORE_DATA : Sw.OK);
    }

    /** The basic channel is the only one; every instruction has its classes. */
    private static void checkClass(Command command) throws Refusal {
        int cla = command.cla();
        boolean otherChannel = (cla & 0x70) == 0 && (cla & 0x03) != 0 || (cla & 0x40) != 0 && cla != 0xFF;
        if (otherChannel) {
            throw new Refusal(Sw.NO_SUCH_CHANNEL);
        }
        if (command.ins() == SELECT && cla == (CLA_ISO | SECURE_MESSAGING)) {
            throw new Refusal(Sw.NO_SECURE_MESSAGING);
        }
        boolean iso = cla == CLA_ISO;
        boolean gp = cla == CLA_GP;
        boolean secured = cla == CLA_SECURED;
        boolean known = switch (command.ins()) {
            case EXTERNAL_AUTHENTICATE -> secured;
            case INITIALIZE_UPDATE -> gp;
            case SELECT -> iso;
            case INSTALL, LOAD, DELETE, SET_STATUS, GET_STATUS, PUT_KEY -> gp || secured;
            default -> iso || gp || secured;
        };
        if (!known) {
            throw new Refusal(Sw.NO_SUCH_CLASS);
        }
    }

    private byte[] inSession(Command command) throws Refusal {
        SecureChannel session = open;
        if (session == null) {
            throw new Refusal(Sw.SECURITY_STATUS);
        }
        if (session.level() == 0) {
            throw new Refusal(Sw.NO_SECURE_MESSAGING);
        }
        Command plain;
        try {
            plain = session.unwrap(command);
        } catch (Refusal e) {
            endSession();
            throw e;
        }
        byte[] data = dispatch(plain);
        int status = report.hasMore() ? Sw.MORE_DATA : Sw.OK;
        return Sw.answer(session.wrap(data, status), status);
    }

    private byte[] dispatch(Command command) throws Refusal {
        switch (command.ins()) {
            case GET_DATA -> {
                return cardData.get(command.p1p2(), command.cla() != CLA_ISO);
            }
            case SELECT -> throw new Refusal(Sw.WRONG_P1P2);
            case GET_STATUS, SET_STATUS -> {
                // Also on a locked card: how else could it be opened?
            }
            case INSTALL, LOAD, DELETE, PUT_KEY -> {
                if (registry.isLocked()) {
                    throw new Refusal(Sw.CONDITIONS);
                }
            }
            default -> throw new Refusal(Sw.NO_SUCH_INSTRUCTION);
        }
        if (open == null) {
            throw new Refusal(Sw.SECURITY_STATUS);
        }
        return switch (command.ins()) {
            case GET_STATUS -> report.answer(command);
            case INSTALL -> content.install(command);
            case LOAD -> content.load(command);
            case DELETE -> content.delete(command);
            case PUT_KEY -> putKey(command);
            default -> {
                content.setStatus(command);
                yield NOTHING;
            }
        };
    }

    /** GPCS E.5.1, Amendment D 7.1.1: a session that is open ends, whatever comes of it. */
    private byte[] initializeUpdate(Command command) throws Refusal {
        endSession();
        if (command.p2() != 0) {
            throw new Refusal(Sw.WRONG_P1P2);
        }
        if (command.data().length != HOST_CHALLENGE) {
            throw new Refusal(Sw.WRONG_LENGTH);
        }
        if (keys.isBlocked()) {
            throw new Refusal(Sw.BLOCKED);
        }
        KeySet set = keys.set(command.p1());
        begun = settings.scp() == 2 ? beginScp02(set, command.data()) : beginScp03(set, command.data());
        begunWith = set;
        byte[] keyInformation = {(byte) set.version(), (byte) settings.scp()};
        return Tlv.join(diversification, keyInformation, begun.opening());
    }

    /** The counter is counted here, so that no two challenges of a key set are the same. */
    private SecureChannel beginScp03(KeySet set, byte[] hostChallenge) {
        boolean pseudoRandom = (settings.i() & Scp03.I_PSEUDO_RANDOM) != 0;
        if (pseudoRandom) {
            set.count();
        }
        byte[] sequence = settings.sequence(set.counter());
        byte[] challenge = pseudoRandom
                ? Scp03.pseudoRandomChallenge(set, sequence, Registry.DOMAIN) : drawn(Scp03.CHALLENGE);
        return new Scp03(set, settings.i(), hostChallenge, challenge, sequence);
    }

    private SecureChannel beginScp02(KeySet set, byte[] hostChallenge) {
        byte[] sequence = settings.sequence(set.counter());
        byte[] challenge = (settings.i() & Scp02.I_PSEUDO_RANDOM) != 0
                ? Scp02.pseudoRandomChallenge(set, sequence, Registry.DOMAIN) : drawn(Scp02.CHALLENGE);
        return new Scp02(set, hostChallenge, challenge, sequence);
    }

    /** GPCS E.5.2, Amendment D 7.1.2. */
    private void externalAuthenticate(Command command, SecureChannel awaiting) throws Refusal {
        KeySet set = begunWith;
        endSession();
        if (keys.isBlocked()) {
            throw new Refusal(Sw.BLOCKED);
        }
        if (awaiting == null) {
            throw new Refusal(Sw.CONDITIONS);
        }
        if (command.p2() != 0 || !awaiting.supports(command.p1())) {
            throw new Refusal(Sw.WRONG_P1P2);
        }
        if (command.data().length != AUTHENTICATION_DATA) {
            throw new Refusal(Sw.WRONG_LENGTH);
        }
        keys.spendTry();
        awaiting.authenticate(command);
        keys.restoreTries();
        if (settings.scp() == 2) {
            set.count();
        }
        open = awaiting;
    }

    private byte[] putKey(Command command) throws Refusal {
        if (command.p2() != ALL_KEYS) {
            throw new Refusal(Sw.WRONG_P1P2);
        }
        return keys.put(command.p1(), command.data(), settings.keyType(), open);
    }
}
