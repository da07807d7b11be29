package org.simsync.bridge;

import java.io.IOException;
import java.net.URLClassLoader;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.simsync.bridge.gp.GpCard;
import org.simsync.bridge.gp.Settings;
import org.simsync.bridge.uicc.Uicc;

/** The cards of this process and what can be asked of them: a request line in, a reply line out. */
final class Bridge {
    private static final int TRANSPORT_SECRET_LENGTH = 16;
    private static final long WAIT_IDLE_DEADLINE_MILLIS = 60_000;
    private static final String DEFAULT_HOST = "127.0.0.1";

    private final Map<String, Card> cards = new TreeMap<>();
    private final ApduLog log = new ApduLog();
    private final Runnable quit;

    /** quit is run by the request of that name, after it was answered. */
    Bridge(Runnable quit) {
        this.quit = quit;
    }

    /** Whether this request ends the process once it is answered. */
    static boolean isQuit(String request) {
        return request.strip().equals("quit");
    }

    void quit() {
        quit.run();
    }

    /** Answers one line, "ok …" or "error …"; never throws. */
    String answer(String request) {
        try {
            String reply = handle(request.strip().split("\\s+"));
            return reply.isEmpty() ? "ok" : "ok " + reply;
        } catch (BridgeException e) {
            return "error " + e.getMessage();
        } catch (IOException e) {
            return "error " + oneLine("input or output failed: " + e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return "error the bridge is shutting down";
        } catch (RuntimeException e) {
            return "error " + oneLine("a defect in the bridge: " + e);
        }
    }

    private static String oneLine(String text) {
        return text.replaceAll("\\s+", " ");
    }

    private String handle(String[] words) throws BridgeException, IOException, InterruptedException {
        return switch (words[0]) {
            case "blank" -> blank(arguments(words, 2, 2, "blank NAME TRANSPORT-SECRET-HEX"));
            case "blank-gp" ->
                blankGp(arguments(words, 1, Integer.MAX_VALUE, "blank-gp NAME [SETTING=VALUE …]"));
            case "sim" -> sim(arguments(words, 4, 5, "sim NAME sim|usim ICCID IMSI [PIN]"));
            case "insert" -> insert(arguments(words, 2, 3, "insert NAME PORT [HOST]"));
            case "eject" -> {
                card(arguments(words, 1, 1, "eject NAME")[1]).eject();
                yield "";
            }
            case "yank" -> cut(arguments(words, 2, 2, "yank NAME N"), Card.Cut.BEFORE_THE_ANSWER);
            case "yank-before" ->
                cut(arguments(words, 2, 2, "yank-before NAME N"), Card.Cut.BEFORE_THE_CARD_SEES_IT);
            case "cards" -> {
                arguments(words, 0, 0, "cards");
                yield list();
            }
            case "stats" -> card(arguments(words, 1, 1, "stats NAME")[1]).stats();
            case "stats-reset" -> {
                card(arguments(words, 1, 1, "stats-reset NAME")[1]).resetStats();
                yield "";
            }
            case "wait-idle" -> waitIdle(arguments(words, 2, 2, "wait-idle NAME MILLISECONDS"));
            case "log" -> log(arguments(words, 1, 2, "log on FILE, or log off"));
            case "quit" -> "";
            case "" -> throw new BridgeException("an empty line is no request");
            default -> throw new BridgeException("there is no request " + oneLine(words[0])
                    + "; there are blank, blank-gp, sim, insert, eject, yank, yank-before, cards, stats, stats-reset, "
                    + "wait-idle, log, quit");
        };
    }

    /** The words themselves, if their number fits. */
    private static String[] arguments(String[] words, int atLeast, int atMost, String usage) throws BridgeException {
        int count = words.length - 1;
        if (count < atLeast || count > atMost) {
            throw new BridgeException("usage: " + usage);
        }
        return words;
    }

    private String blank(String[] words) throws BridgeException {
        put(words[1], newCard(Simulation.class, transportSecret(words[2])), Card.ATR);
        return "";
    }

    private String blankGp(String[] words) throws BridgeException {
        String[] settings = Arrays.copyOfRange(words, 2, words.length);
        // Here for the sentence; the card reads them with classes of its own.
        Settings.parse(settings);
        put(words[1], newCard(GpCard.class, settings), Card.ATR);
        return "";
    }

    private String sim(String[] words) throws BridgeException {
        String pin = words.length > 5 ? words[5] : "";
        boolean isUicc = words[2].equals("usim");
        if (!isUicc && !words[2].equals("sim")) {
            throw new BridgeException("a SIM is sim or usim, not " + oneLine(words[2]));
        }
        if (!words[3].matches("\\d{18,20}") || !words[4].matches("\\d{6,15}") || !pin.matches("|\\d{4,8}")) {
            throw new BridgeException("an ICCID has 18 to 20 digits, an IMSI 6 to 15, a PIN 4 to 8");
        }
        put(words[1], new Uicc(new Uicc.Make(isUicc, words[3], words[4], pin)), Uicc.ATR);
        return "";
    }

    private void put(String name, Function<byte[], byte[]> simulation, byte[] atr) throws BridgeException {
        synchronized (cards) {
            Card old = cards.get(name);
            if (old != null && old.isInserted()) {
                throw new BridgeException("card " + name + " is in a reader; eject it before it is replaced");
            }
            cards.put(name, new Card(name, simulation, atr, log));
        }
    }

    private static byte[] transportSecret(String hex) throws BridgeException {
        byte[] secret = parseHex(hex);
        if (secret == null || secret.length != TRANSPORT_SECRET_LENGTH) {
            throw new BridgeException("the transport secret is " + TRANSPORT_SECRET_LENGTH + " bytes in hex");
        }
        return secret;
    }

    private static byte[] parseHex(String hex) {
        if (hex.length() % 2 != 0) {
            return null;
        }
        byte[] bytes = new byte[hex.length() / 2];
        for (int i = 0; i < bytes.length; i++) {
            int high = Character.digit(hex.charAt(2 * i), 16);
            int low = Character.digit(hex.charAt(2 * i + 1), 16);
            if (high < 0 || low < 0) {
                return null;
            }
            bytes[i] = (byte) (high << 4 | low);
        }
        return bytes;
    }

    private String insert(String[] words) throws BridgeException, IOException {
        int port = positive(words[2], 65_535, "a port");
        card(words[1]).insert(words.length > 3 ? words[3] : DEFAULT_HOST, port);
        return "";
    }

    private String cut(String[] words, Card.Cut kind) throws BridgeException {
        card(words[1]).cutAt(positive(words[2], Integer.MAX_VALUE, "the number of an APDU"), kind);
        return "";
    }

    private String list() {
        synchronized (cards) {
            return cards.values().stream().map(Card::line).collect(Collectors.joining(" "));
        }
    }

    private String waitIdle(String[] words) throws BridgeException, InterruptedException {
        int idle = positive(words[2], (int) WAIT_IDLE_DEADLINE_MILLIS, "a time in milliseconds");
        if (!card(words[1]).waitIdle(idle, WAIT_IDLE_DEADLINE_MILLIS)) {
            throw new BridgeException("card " + words[1] + " did not fall idle in a minute");
        }
        return "";
    }

    private String log(String[] words) throws BridgeException, IOException {
        if (words[1].equals("on") && words.length == 3) {
            log.on(words[2]);
        } else if (words[1].equals("off") && words.length == 2) {
            log.off();
        } else {
            throw new BridgeException("usage: log on FILE, or log off");
        }
        return "";
    }

    private Card card(String name) throws BridgeException {
        synchronized (cards) {
            Card card = cards.get(name);
            if (card == null) {
                throw new BridgeException("there is no card " + oneLine(name) + "; make it with blank or blank-gp");
            }
            return card;
        }
    }

    private static int positive(String word, int atMost, String what) throws BridgeException {
        try {
            int number = Integer.parseInt(word);
            if (number >= 1 && number <= atMost) {
                return number;
            }
        } catch (NumberFormatException e) {
            // Said below.
        }
        throw new BridgeException(oneLine(word) + " is not " + what + " (1 to " + atMost + ")");
    }

    /** A card with classes of its own, so that cards share no static state. */
    private static Function<byte[], byte[]> newCard(Class<?> kind, Object argument) {
        ClassLoader own = new URLClassLoader(ClassPath.urls(), ClassLoader.getPlatformClassLoader());
        try {
            Object card = own.loadClass(kind.getName()).getConstructor(argument.getClass()).newInstance(argument);
            @SuppressWarnings("unchecked")
            Function<byte[], byte[]> function = (Function<byte[], byte[]>) card;
            return function;
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException("the simulated card could not be made: " + e.getCause(), e);
        }
    }
}
