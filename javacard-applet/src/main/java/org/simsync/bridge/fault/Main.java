package org.simsync.bridge.fault;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/**
 * One card after another, on standard input and output, for tests that need very many of them.
 *
 * <p>A request is a letter, 2 bytes of length and that many of data; each is answered by 2 bytes of length and data.
 * {@code N}: a new card, data: 0 or 1 for T=0 or T=1, and its install parameter. {@code R}: power off and on. {@code C}:
 * the next command is cut, data: which write (2 bytes, 0 is the first), how many tenths of it are done (1). {@code A}: a
 * command APDU; nothing is answered to one that was cut. Ends with its input.
 */
public final class Main {
    private Main() {
    }

    /** Takes no arguments. */
    public static void main(String[] args) throws IOException {
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in));
        // The simulator prints; its words must not get in between.
        System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.err), true, StandardCharsets.UTF_8));
        DataOutputStream out = new DataOutputStream(
                new BufferedOutputStream(new FileOutputStream(FileDescriptor.out)));
        FaultyCard card = null;
        for (int letter = in.read(); letter >= 0; letter = in.read()) {
            byte[] data = in.readNBytes(in.readUnsignedShort());
            byte[] answer = {};
            if (letter == 'N') {
                byte[] parameter = java.util.Arrays.copyOfRange(data, 1, data.length);
                card = new FaultyCard("T=" + data[0], parameter);
            } else if (card == null) {
                throw new IOException("there is no card yet; make one with N");
            } else {
                answer = asked(card, letter, data);
            }
            out.writeShort(answer.length);
            out.write(answer);
            out.flush();
        }
    }

    private static byte[] asked(FaultyCard card, int letter, byte[] data) throws IOException {
        switch (letter) {
            case 'R' -> card.powerCycle();
            case 'C' -> card.nv().cutAt((data[0] & 0xFF) << 8 | data[1] & 0xFF, data[2]);
            case 'A' -> {
                byte[] answer = card.transmit(data);
                if (card.nv().wasCut()) {
                    return new byte[0];
                }
                card.nv().never();
                return answer;
            }
            default -> throw new IOException("there is no request " + letter);
        }
        return new byte[0];
    }
}
