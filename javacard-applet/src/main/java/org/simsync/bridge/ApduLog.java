package org.simsync.bridge;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Locale;

/** One line an APDU: milliseconds since the epoch, card, CLA INS P1 P2 Lc, SW, microseconds taken. Never data. */
final class ApduLog {
    private PrintStream file;

    synchronized void on(String path) throws IOException {
        off();
        file = new PrintStream(path, StandardCharsets.UTF_8);
    }

    synchronized void off() {
        if (file != null) {
            file.close();
            file = null;
        }
    }

    synchronized void write(String card, byte[] command, byte[] answer, long nanos) {
        if (file == null) {
            return;
        }
        int statusAt = Math.max(0, answer.length - 2);
        file.println(System.currentTimeMillis() + " " + card + " " + hex(command, 0, 4) + " "
                + (command.length > 5 ? command[4] & 0xFF : 0) + " " + hex(answer, statusAt, answer.length) + " "
                + nanos / 1_000 + "us");
        file.flush();
    }

    private static String hex(byte[] bytes, int from, int to) {
        StringBuilder text = new StringBuilder();
        for (int i = from; i < Math.min(to, bytes.length); i++) {
            text.append(String.format(Locale.ROOT, "%02X", bytes[i]));
        }
        return text.toString();
    }
}
