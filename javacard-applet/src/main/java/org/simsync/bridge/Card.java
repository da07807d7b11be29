package org.simsync.bridge;

import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.StandardSocketOptions;
import java.util.function.Function;
import jdk.net.ExtendedSocketOptions;

/**
 * One card: the simulation, whose state lives as long as the bridge, and the connection to the reader it is in, if any.
 *
 * <p>The reader speaks first: 2 bytes of length, then 00 power off, 01 power on, 02 reset, 04 "your ATR?", or an APDU.
 */
final class Card {
    private static final int CONNECT_TIMEOUT_MILLIS = 5_000;
    private static final byte POWER_OFF = 0;
    private static final byte POWER_ON = 1;
    private static final byte RESET = 2;
    private static final byte ATR_WANTED = 4;

    /** T=1 only, the historical bytes "SIMSYNC"; the last byte is the check byte. */
    static final byte[] ATR = withCheckByte(new byte[] {
        0x3B, (byte) 0x87, (byte) 0x81, 0x31, (byte) 0xFE, 0x45, 'S', 'I', 'M', 'S', 'Y', 'N', 'C', 0});

    /** What a cut does to the APDU that it hits. */
    enum Cut { BEFORE_THE_CARD_SEES_IT, BEFORE_THE_ANSWER }

    private final String name;
    private final Function<byte[], byte[]> simulation;
    private final byte[] atr;
    private final ApduLog log;

    // Guarded by this.
    private Socket socket;
    private Thread reader;
    private int port;
    private long apdus;
    private long bytesIn;
    private long bytesOut;
    private long lastApduNanos = System.nanoTime();
    private Cut cut;
    private int cutCountdown;

    Card(String name, Function<byte[], byte[]> simulation, byte[] atr, ApduLog log) {
        this.name = name;
        this.simulation = simulation;
        this.atr = atr;
        this.log = log;
    }

    private static byte[] withCheckByte(byte[] atr) {
        byte check = 0;
        for (int i = 1; i < atr.length - 1; i++) {
            check ^= atr[i];
        }
        atr[atr.length - 1] = check;
        return atr;
    }

    /** Puts the card into the reader that listens there. */
    synchronized void insert(String host, int readerPort) throws IOException, BridgeException {
        if (socket != null) {
            throw new BridgeException("card " + name + " is in the reader at port " + port + "; eject it first");
        }
        Socket fresh = new Socket();
        try {
            fresh.connect(new InetSocketAddress(host, readerPort), CONNECT_TIMEOUT_MILLIS);
            fresh.setOption(StandardSocketOptions.TCP_NODELAY, true);
        } catch (IOException e) {
            fresh.close();
            throw e;
        }
        simulation.apply(null);
        cut = null;
        socket = fresh;
        port = readerPort;
        reader = new Thread(() -> serve(fresh), "card-" + name);
        reader.setDaemon(true);
        reader.start();
    }

    /** Takes the card out at once; returns when the reader has lost it. */
    void eject() throws BridgeException, InterruptedException {
        Thread running;
        synchronized (this) {
            if (socket == null) {
                throw new BridgeException("card " + name + " is in no reader");
            }
            closeQuietly(socket);
            running = reader;
        }
        running.join();
    }

    /** Cuts the connection at the n-th APDU from now. */
    synchronized void cutAt(int n, Cut kind) throws BridgeException {
        if (socket == null) {
            throw new BridgeException("card " + name + " is in no reader");
        }
        cut = kind;
        cutCountdown = n;
    }

    synchronized boolean isInserted() {
        return socket != null;
    }

    synchronized String line() {
        return name + ":" + (socket == null ? "-" : Integer.toString(port)) + ":" + apdus;
    }

    synchronized String stats() {
        return "apdus=" + apdus + " bytes=" + (bytesIn + bytesOut) + " in=" + bytesIn + " out=" + bytesOut;
    }

    synchronized void resetStats() {
        apdus = 0;
        bytesIn = 0;
        bytesOut = 0;
    }

    /** Waits until no APDU came for so long; false when that did not happen before the deadline. */
    synchronized boolean waitIdle(long idleMillis, long deadlineMillis) throws InterruptedException {
        long deadline = System.nanoTime() + deadlineMillis * 1_000_000;
        while (true) {
            long now = System.nanoTime();
            long rest = lastApduNanos + idleMillis * 1_000_000 - now;
            if (rest <= 0) {
                return true;
            }
            if (now - deadline >= 0) {
                return false;
            }
            wait(Math.min(rest, deadline - now) / 1_000_000 + 1);
        }
    }

    private void serve(Socket connection) {
        try {
            DataInputStream in = new DataInputStream(new QuickAckStream(connection));
            OutputStream out = connection.getOutputStream();
            while (true) {
                byte[] message = new byte[in.readUnsignedShort()];
                in.readFully(message);
                if (message.length == 1) {
                    control(message[0], out);
                } else if (message.length > 1 && !exchange(message, out)) {
                    return;
                }
            }
        } catch (EOFException readerWentAway) {
            // The port closed or the card was ejected: either way it is out now.
        } catch (IOException closed) {
            // The same, noticed by a read or write under way.
        } finally {
            out();
        }
    }

    /** The card has no power any more: what is transient is gone. */
    private synchronized void out() {
        Socket connection = socket;
        simulation.apply(null);
        cut = null;
        socket = null;
        reader = null;
        // Last: whoever sees the reader empty may insert the card again.
        closeQuietly(connection);
    }

    private void control(byte code, OutputStream out) throws IOException {
        switch (code) {
            case POWER_OFF, POWER_ON, RESET -> simulation.apply(null);
            case ATR_WANTED -> send(out, atr);
            default -> {
                // A later version of the reader's protocol; nothing that a card could answer.
            }
        }
    }

    /** Answers an APDU; false when the connection is cut instead. */
    private boolean exchange(byte[] command, OutputStream out) throws IOException {
        Cut now = countDown(command.length);
        if (now == Cut.BEFORE_THE_CARD_SEES_IT) {
            return false;
        }
        long start = System.nanoTime();
        byte[] answer = simulation.apply(command);
        log.write(name, command, answer, System.nanoTime() - start);
        if (now == Cut.BEFORE_THE_ANSWER) {
            return false;
        }
        synchronized (this) {
            bytesOut += answer.length;
        }
        send(out, answer);
        return true;
    }

    private synchronized Cut countDown(int commandLength) {
        apdus++;
        bytesIn += commandLength;
        lastApduNanos = System.nanoTime();
        if (cut == null) {
            return null;
        }
        cutCountdown--;
        return cutCountdown == 0 ? cut : null;
    }

    private static void send(OutputStream out, byte[] message) throws IOException {
        // One write: two would wait for each other's acknowledgement.
        byte[] framed = new byte[2 + message.length];
        framed[0] = (byte) (message.length >> 8);
        framed[1] = (byte) message.length;
        System.arraycopy(message, 0, framed, 2, message.length);
        out.write(framed);
        out.flush();
    }

    private static void closeQuietly(Socket socket) {
        try {
            socket.close();
        } catch (IOException e) {
            // Closing is all that was wanted of it.
        }
    }

    /** Asks for quick acknowledgements before each read: the kernel forgets, and an APDU would take 45 ms. */
    private static final class QuickAckStream extends java.io.FilterInputStream {
        private final Socket socket;

        QuickAckStream(Socket socket) throws IOException {
            super(socket.getInputStream());
            this.socket = socket;
        }

        @Override
        public int read() throws IOException {
            quick();
            return super.read();
        }

        @Override
        public int read(byte[] to, int offset, int length) throws IOException {
            quick();
            return super.read(to, offset, length);
        }

        private void quick() throws IOException {
            if (socket.supportedOptions().contains(ExtendedSocketOptions.TCP_QUICKACK)) {
                socket.setOption(ExtendedSocketOptions.TCP_QUICKACK, true);
            }
        }
    }
}
