package org.simsync.bridge;

import java.io.File;
import java.io.IOException;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.Collectors;

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
                    + "; there are blank, insert, eject, yank, yank-before, cards, stats, stats-reset, wait-idle, "
                    + "log, quit");
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
        byte[] secret = transportSecret(words[2]);
        synchronized (cards) {
            Card old = cards.get(words[1]);
            if (old != null && old.isInserted()) {
                throw new BridgeException("card " + words[1] + " is in a reader; eject it before it is replaced");
            }
            cards.put(words[1], new Card(words[1], newSimulation(secret), log));
        }
        return "";
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
                throw new BridgeException("there is no card " + oneLine(name) + "; make it with blank");
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
    private static Function<byte[], byte[]> newSimulation(byte[] transportSecret) {
        ClassLoader own = new URLClassLoader(classPath(), ClassLoader.getPlatformClassLoader());
        try {
            Object simulation = own.loadClass(Simulation.class.getName())
                    .getConstructor(byte[].class).newInstance(transportSecret);
            @SuppressWarnings("unchecked")
            Function<byte[], byte[]> function = (Function<byte[], byte[]>) simulation;
            return function;
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException("the simulated card could not be made: " + e.getCause(), e);
        }
    }

    private static URL[] classPath() {
        String[] entries = System.getProperty("java.class.path").split(File.pathSeparator);
        URL[] urls = new URL[entries.length];
        for (int i = 0; i < entries.length; i++) {
            try {
                urls[i] = new File(entries[i]).toURI().toURL();
            } catch (MalformedURLException e) {
                throw new IllegalStateException("the class path has an entry that is no file: " + entries[i], e);
            }
        }
        return urls;
    }
}
