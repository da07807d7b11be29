package org.simsync.bridge.gp;

import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.simsync.bridge.BridgeException;

/** What makes a card of GlobalPlatform different from another: the words key=value of blank-gp. */
public final class Settings {
    static final int DIVERSIFICATION = 10;

    private static final List<String> NAMES =
            List.of("scp", "i", "kvn", "enc", "mac", "dek", "kdd", "memory", "state", "tries", "api");
    /** GlobalPlatform's well known test key. */
    private static final String TEST_KEY = "404142434445464748494A4B4C4D4E4F";
    private static final int DEFAULT_MEMORY = 100_000;
    private static final int MOST_MEMORY = 10_000_000;
    private static final int DEFAULT_TRIES = 10;
    private static final int MOST_TRIES = 255;
    private static final Map<String, Integer> STATES = Map.of("OP_READY", Registry.OP_READY, "INITIALIZED",
            Registry.INITIALIZED, "SECURED", Registry.SECURED, "CARD_LOCKED", Registry.CARD_LOCKED, "TERMINATED",
            Registry.TERMINATED);
    private static final Map<Integer, List<Integer>> VARIANTS =
            Map.of(2, List.of(0x15, 0x55), 3, List.of(0x70, 0x60, 0x30, 0x20, 0x10, 0x00));

    private final Map<String, String> words = new HashMap<>();
    private final int scp;
    private final int i;
    private final int version;
    private final byte[] enc;
    private final byte[] mac;
    private final byte[] dek;
    private final byte[] diversification;
    private final int memory;
    private final int state;
    private final int tries;
    private final JavaCardVersion api;

    private Settings(String[] pairs) throws BridgeException {
        for (String pair : pairs) {
            put(pair);
        }
        scp = number("scp", 3, 16, 2, 3);
        List<Integer> variants = VARIANTS.get(scp);
        i = number("i", variants.get(0), 16, 0, 0xFF);
        if (!variants.contains(i)) {
            throw new BridgeException("SCP0" + scp + " is simulated with i=" + String.join(", i=",
                    variants.stream().map(v -> String.format("%02X", v)).toList()));
        }
        version = number("kvn", Keys.FACTORY, 16, 1, 0xFF);
        enc = key("enc");
        mac = key("mac");
        dek = key("dek");
        if (enc.length != mac.length || enc.length != dek.length) {
            throw new BridgeException("enc, mac and dek must be of one length; give all three");
        }
        diversification = words.containsKey("kdd") ? bytes("kdd", "") : null;
        if (diversification != null && diversification.length != DIVERSIFICATION) {
            throw new BridgeException("kdd is " + DIVERSIFICATION + " bytes in hex");
        }
        memory = number("memory", DEFAULT_MEMORY, 10, 0, MOST_MEMORY);
        tries = number("tries", DEFAULT_TRIES, 10, 1, MOST_TRIES);
        String life = words.getOrDefault("state", "OP_READY");
        if (!STATES.containsKey(life)) {
            throw new BridgeException("state is OP_READY, INITIALIZED, SECURED, CARD_LOCKED or TERMINATED");
        }
        state = STATES.get(life);
        api = JavaCardVersion.of(words.getOrDefault("api", "3.0.4"));
        if (api == null) {
            throw new BridgeException("api is 2.1.1, 2.2.1, 2.2.2, 3.0.1, 3.0.4, 3.0.5 or 3.1.0");
        }
    }

    /** Reads them; a sentence for the first that cannot be. */
    public static Settings parse(String... pairs) throws BridgeException {
        return new Settings(pairs);
    }

    private void put(String pair) throws BridgeException {
        int equals = pair.indexOf('=');
        String name = equals < 0 ? pair : pair.substring(0, equals);
        if (equals < 0 || !NAMES.contains(name)) {
            throw new BridgeException(pair + " is no setting; there are " + String.join("=, ", NAMES) + "=");
        }
        if (words.put(name, pair.substring(equals + 1)) != null) {
            throw new BridgeException(name + " is given twice");
        }
    }

    private int number(String name, int otherwise, int radix, int atLeast, int atMost) throws BridgeException {
        String word = words.get(name);
        if (word == null) {
            return otherwise;
        }
        try {
            int value = Integer.parseInt(word, radix);
            if (value >= atLeast && value <= atMost) {
                return value;
            }
        } catch (NumberFormatException e) {
            // Said below.
        }
        String from = Integer.toString(atLeast, radix).toUpperCase(Locale.ROOT);
        String to = Integer.toString(atMost, radix).toUpperCase(Locale.ROOT);
        String kind = radix == 16 ? "hexadecimal number" : "number";
        throw new BridgeException(name + " is a " + kind + " from " + from + " to " + to);
    }

    private byte[] bytes(String name, String otherwise) throws BridgeException {
        try {
            return HexFormat.of().parseHex(words.getOrDefault(name, otherwise));
        } catch (IllegalArgumentException e) {
            throw new BridgeException(name + " is bytes in hex");
        }
    }

    private byte[] key(String name) throws BridgeException {
        byte[] key = bytes(name, TEST_KEY);
        boolean fits = scp == 2 ? key.length == 16 : key.length == 16 || key.length == 24 || key.length == 32;
        if (!fits) {
            throw new BridgeException(name + " is a key of " + (scp == 2 ? "16 bytes" : "16, 24 or 32 bytes") + " in hex");
        }
        return key;
    }

    int scp() {
        return scp;
    }

    int i() {
        return i;
    }

    int keyType() {
        return scp == 2 ? KeySet.TYPE_DES : KeySet.TYPE_AES;
    }

    KeySet keys() {
        return new KeySet(version, keyType(), enc, mac, dek);
    }

    /** A sequence counter as the protocol has it: 2 or 3 bytes. */
    byte[] sequence(int counter) {
        return scp == 2 ? Scp02.sequence(counter) : Scp03.sequence(counter);
    }

    /** Null to be drawn. */
    byte[] diversification() {
        return diversification == null ? null : Arrays.copyOf(diversification, DIVERSIFICATION);
    }

    int memory() {
        return memory;
    }

    int state() {
        return state;
    }

    int tries() {
        return tries;
    }

    JavaCardVersion api() {
        return api;
    }
}
