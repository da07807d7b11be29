package org.simsync.bridge;

import java.io.DataInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;

/** The reader's side of the virtual reader's protocol. */
final class FakeReader implements AutoCloseable {
    private static final int DEADLINE_MILLIS = 10_000;

    private final ServerSocket server;
    private Socket card;

    FakeReader() throws IOException {
        server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
        server.setSoTimeout(DEADLINE_MILLIS);
    }

    int port() {
        return server.getLocalPort();
    }

    void accept() throws IOException {
        card = server.accept();
        card.setSoTimeout(DEADLINE_MILLIS);
        card.setTcpNoDelay(true);
    }

    void send(int... message) throws IOException {
        byte[] framed = new byte[message.length + 2];
        framed[0] = (byte) (message.length >> 8);
        framed[1] = (byte) message.length;
        for (int i = 0; i < message.length; i++) {
            framed[i + 2] = (byte) message[i];
        }
        card.getOutputStream().write(framed);
    }

    byte[] receive() throws IOException {
        DataInputStream in = new DataInputStream(card.getInputStream());
        byte[] message = new byte[in.readUnsignedShort()];
        in.readFully(message);
        return message;
    }

    byte[] exchange(int... message) throws IOException {
        send(message);
        return receive();
    }

    /** Whether the card has closed the connection; waits for it. */
    boolean isGone() throws IOException {
        return card.getInputStream().read() < 0;
    }

    void closeCard() throws IOException {
        card.close();
    }

    @Override
    public void close() throws IOException {
        if (card != null) {
            card.close();
        }
        server.close();
    }
}
