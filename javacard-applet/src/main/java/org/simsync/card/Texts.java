package org.simsync.card;

import javacard.framework.Util;

/**
 * Builds the texts that are signed: fields, each preceded by its length in 2 bytes; the first is "simsync/1/" and the
 * domain, the second the card ID. The card builds every text itself, so no signature passes for another.
 *
 * <p>Methods take and give the position in the text, since a field of this class would be persistent memory.
 */
final class Texts {
    static final byte[] ENROL = {'e', 'n', 'r', 'o', 'l'};
    static final byte[] KEYS = {'k', 'e', 'y', 's'};
    static final byte[] PAIR = {'p', 'a', 'i', 'r'};
    static final byte[] SESSION = {'s', 'e', 's', 's', 'i', 'o', 'n'};
    static final byte[] RENEW = {'r', 'e', 'n', 'e', 'w'};
    static final byte[] KEYOBJECT = {'k', 'e', 'y', 'o', 'b', 'j', 'e', 'c', 't'};
    static final byte[] ERASE = {'e', 'r', 'a', 's', 'e'};
    static final byte[] RESTORE = {'r', 'e', 's', 't', 'o', 'r', 'e'};
    static final byte[] TERMINAL = {'t', 'e', 'r', 'm', 'i', 'n', 'a', 'l'};

    private static final byte[] PREFIX = {'s', 'i', 'm', 's', 'y', 'n', 'c', '/', '1', '/'};

    private final Ram ram;
    private final Profile profile;

    Texts(Ram ram, Profile profile) {
        this.ram = ram;
        this.profile = profile;
    }

    /** Writes the first two fields to the work buffer; answers where the next one goes. */
    short begin(byte[] domain) {
        byte[] text = ram.work;
        short end = Util.setShort(text, (short) 0, (short) (PREFIX.length + domain.length));
        end = Util.arrayCopyNonAtomic(PREFIX, (short) 0, text, end, (short) PREFIX.length);
        end = Util.arrayCopyNonAtomic(domain, (short) 0, text, end, (short) domain.length);
        return field(end, profile.array(), Profile.CARD_ID, Proto.LEN_CARD_ID);
    }

    short field(short end, byte[] from, short offset, short length) {
        short at = Util.setShort(ram.work, end, length);
        return Util.arrayCopyNonAtomic(from, offset, ram.work, at, length);
    }
}
