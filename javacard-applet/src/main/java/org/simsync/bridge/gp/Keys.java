package org.simsync.bridge.gp;

import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The issuer security domain's key sets, and the tries that are left to prove that one knows them. */
final class Keys {
    /** The version of factory keys on many cards; the first set that is put takes their place. */
    static final int FACTORY = 0xFF;
    private static final int KEYS = 3;
    private static final int CHECK_VALUE = 3;
    private static final int MOST_SETS = 3;
    private static final int LAST_VERSION = 0x7F;

    private final List<KeySet> sets = new ArrayList<>();
    private final int tries;
    private int triesLeft;

    Keys(KeySet first, int tries) {
        sets.add(first);
        this.tries = tries;
        triesLeft = tries;
    }

    List<KeySet> sets() {
        return sets;
    }

    /** The set of this version; 0 is the first; 6A88 if there is none. */
    KeySet set(int version) throws Refusal {
        if (version == 0) {
            return sets.get(0);
        }
        for (KeySet set : sets) {
            if (set.version() == version) {
                return set;
            }
        }
        throw new Refusal(Sw.NO_REFERENCED_DATA);
    }

    boolean isBlocked() {
        return triesLeft == 0;
    }

    /** Spent before anything is compared: power that fails in between gives none back. */
    void spendTry() {
        triesLeft--;
    }

    void restoreTries() {
        triesLeft = tries;
    }

    /**
     * PUT KEY of three keys (GPCS 11.8; Amendment D 7.2): new version, then for each type, encrypted key, check value.
     * Version 0 adds a set, another replaces that one, by keys of its length. Answers the new version and the check values.
     * 6A80 for keys that it cannot take, of another type too; 6982 for a check value that is not the key's.
     */
    byte[] put(int replaced, byte[] data, int type, SecureChannel channel) throws Refusal {
        KeySet old = replaced == 0 ? null : set(replaced);
        ByteBuffer in = ByteBuffer.wrap(data);
        byte[][] keys = new byte[KEYS][];
        byte[] answer;
        int version;
        try {
            version = in.get() & 0xFF;
            answer = new byte[] {(byte) version};
            for (int i = 0; i < KEYS; i++) {
                keys[i] = readKey(in, type, channel);
                byte[] check = KeySet.checkValue(type, keys[i]);
                if (!Arrays.equals(Tlv.field(in), check)) {
                    throw new Refusal(Sw.SECURITY_STATUS);
                }
                answer = Tlv.join(answer, check);
            }
        } catch (BufferUnderflowException e) {
            throw new Refusal(Sw.WRONG_DATA);
        }
        boolean equalLengths = keys[0].length == keys[1].length && keys[0].length == keys[2].length;
        if (in.hasRemaining() || !equalLengths || version == 0 || version > LAST_VERSION) {
            throw new Refusal(Sw.WRONG_DATA);
        }
        store(old, new KeySet(version, type, keys[0], keys[1], keys[2]));
        return answer;
    }

    private static byte[] readKey(ByteBuffer in, int type, SecureChannel channel) throws Refusal {
        if ((in.get() & 0xFF) != type) {
            throw new Refusal(Sw.WRONG_DATA);
        }
        byte[] block = Tlv.field(in);
        if (type == KeySet.TYPE_DES) {
            if (block.length != 2 * Ciphers.DES_BLOCK) {
                throw new Refusal(Sw.WRONG_DATA);
            }
            return channel.decryptKey(block);
        }
        // The key's own length stands before the encrypted blocks.
        int length = block.length == 0 ? 0 : block[0];
        int padded = (length + Ciphers.AES_BLOCK - 1) / Ciphers.AES_BLOCK * Ciphers.AES_BLOCK;
        if (length != 16 && length != 24 && length != 32 || block.length != 1 + padded) {
            throw new Refusal(Sw.WRONG_DATA);
        }
        return Arrays.copyOf(channel.decryptKey(Arrays.copyOfRange(block, 1, block.length)), length);
    }

    private void store(KeySet old, KeySet fresh) throws Refusal {
        if (old != null && old.enc().length != fresh.enc().length) {
            throw new Refusal(Sw.WRONG_DATA);
        }
        boolean taken = sets.stream().anyMatch(s -> s != old && s.version() == fresh.version());
        if (taken) {
            throw new Refusal(Sw.WRONG_DATA);
        }
        KeySet gone = old == null && sets.get(0).version() == FACTORY ? sets.get(0) : old;
        if (gone != null) {
            sets.set(sets.indexOf(gone), fresh);
        } else if (sets.size() < MOST_SETS) {
            sets.add(fresh);
        } else {
            throw new Refusal(Sw.NO_MEMORY);
        }
    }
}
