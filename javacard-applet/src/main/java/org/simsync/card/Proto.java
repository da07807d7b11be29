package org.simsync.card;

/** The numbers of docs/card.md: instructions, lengths, lifecycles, status words. */
final class Proto {
    static final byte VERSION_MAJOR = 1;
    static final byte VERSION_MINOR = 1;

    static final byte CLA_ISO = (byte) 0x00;
    static final byte CLA_OWN = (byte) 0x80;

    static final byte INS_SELECT = (byte) 0xA4;
    static final byte INS_VERIFY = (byte) 0x20;
    static final byte INS_CHANGE = (byte) 0x24;
    static final byte INS_UNBLOCK = (byte) 0x2C;

    static final byte INS_GET_CHALLENGE = (byte) 0x84;
    static final byte INS_PERSONALISE = (byte) 0x10;
    static final byte INS_GENERATE_KEYS = (byte) 0x12;
    static final byte INS_ENROLLED = (byte) 0x14;
    static final byte INS_READ_INFO = (byte) 0x20;
    static final byte INS_READ_KEYS = (byte) 0x22;
    static final byte INS_SET_SERVER = (byte) 0x24;
    static final byte INS_ADD_TERMINAL = (byte) 0x30;
    static final byte INS_LIST = (byte) 0x32;
    static final byte INS_READ_SESSIONS = (byte) 0x34;
    static final byte INS_REMOVE_TERMINAL = (byte) 0x36;
    static final byte INS_OPEN_SESSION = (byte) 0x40;
    static final byte INS_RENEW = (byte) 0x42;
    static final byte INS_PUT_HEAD = (byte) 0x44;
    static final byte INS_SIGN = (byte) 0x46;
    static final byte INS_TERMINATE = (byte) 0x50;

    /** P1 P2 of SELECT by name: the first or only occurrence, the next one. */
    static final short P1P2_SELECT_FIRST = (short) 0x0400;
    static final short P1P2_SELECT_NEXT = (short) 0x0402;
    /** P1 P2 of the PIN commands: the application's own PIN, number 1. */
    static final short P1P2_PIN = (short) 0x0081;

    static final byte LIFE_INSTALLED = (byte) 0x01;
    static final byte LIFE_PERSONALISED = (byte) 0x03;
    static final byte LIFE_ENROLLED = (byte) 0x07;
    static final byte LIFE_TERMINATED = (byte) 0x7F;

    static final short LEN_PIN = 8;
    static final short LEN_PIN_MIN = 4;
    static final short LEN_TRANSPORT = 16;
    static final short LEN_CHALLENGE = 16;
    static final short LEN_TOKEN = 16;
    static final short LEN_CARD_ID = 16;
    static final short LEN_PSEUDONYM = 16;
    static final short LEN_SUBSCRIBER_MAX = 32;
    static final short LEN_LABEL_MAX = 32;
    static final short LEN_SERVER_MAX = 64;
    static final short LEN_TERMINAL_LABEL_MAX = 24;
    static final short LEN_HASH = 32;
    static final short LEN_POINT = 65;
    static final short LEN_N = 4;
    /** So much of a terminal's ID tells it from the card's others. */
    static final short LEN_SHORT_ID = 8;
    static final short LEN_SIGNATURE_MIN = 8;
    static final short LEN_SIGNATURE_MAX = 72;
    static final short SLOTS = 16;

    /** OPEN SESSION's answer: beside bit 0, the record is set. */
    static final byte HEAD_HAS_WRITER = 2;

    /** The one bit of a head's flags. */
    static final byte FLAG_CLOSED = 1;

    static final byte OPTION_CONTACTLESS = 1;
    static final byte OPTION_CHANGE_PIN = 2;

    static final byte PIN_IS_SET = 1;
    static final byte PIN_IS_DUE = 2;

    static final short SW_TRIES_LEFT = (short) 0x63C0;
    static final short SW_MEMORY_DAMAGED = (short) 0x6581;
    static final short SW_WRONG_LENGTH = (short) 0x6700;
    static final short SW_NO_SECURE_MESSAGING = (short) 0x6882;
    static final short SW_NO_CHAINING = (short) 0x6884;
    static final short SW_RIGHT_MISSING = (short) 0x6982;
    static final short SW_BLOCKED = (short) 0x6983;
    static final short SW_CHANGE_PIN_FIRST = (short) 0x6984;
    static final short SW_NOT_NOW = (short) 0x6985;
    static final short SW_BAD_DATA = (short) 0x6A80;
    static final short SW_CANNOT = (short) 0x6A81;
    static final short SW_NOT_FOUND = (short) 0x6A82;
    static final short SW_FULL = (short) 0x6A84;
    static final short SW_BAD_P1P2 = (short) 0x6A86;
    static final short SW_BAD_INS = (short) 0x6D00;
    static final short SW_BAD_CLA = (short) 0x6E00;
    static final short SW_DEFECT = (short) 0x6F00;

    private Proto() {
    }
}
