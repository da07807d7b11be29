package org.simsync.bridge;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Listens on the control socket: one request a line, one reply a line, any number of connections. */
final class ControlServer implements AutoCloseable {
    private final Path path;
    private final ServerSocketChannel server;

    /** From here on requests are accepted; a socket left by an earlier process is replaced. */
    ControlServer(Path path) throws IOException {
        this.path = path;
        Files.deleteIfExists(path);
        server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        server.bind(UnixDomainSocketAddress.of(path));
    }

    /** Serves until the server is closed. */
    void run(Bridge bridge) throws IOException {
        while (true) {
            SocketChannel connection = server.accept();
            Thread thread = new Thread(() -> serve(connection, bridge), "control");
            thread.setDaemon(true);
            thread.start();
        }
    }

    private static void serve(SocketChannel connection, Bridge bridge) {
        try (connection) {
            BufferedReader requests = new BufferedReader(Channels.newReader(connection, StandardCharsets.UTF_8));
            String request;
            while ((request = requests.readLine()) != null) {
                send(connection, bridge.answer(request));
                if (Bridge.isQuit(request)) {
                    bridge.quit();
                    return;
                }
            }
        } catch (IOException | UncheckedIOException e) {
            // The one who asked went away; the cards stay as they are.
        }
    }

    private static void send(SocketChannel connection, String reply) throws IOException {
        ByteBuffer bytes = StandardCharsets.UTF_8.encode(reply + "\n");
        while (bytes.hasRemaining()) {
            connection.write(bytes);
        }
    }

    @Override
    public void close() throws IOException {
        server.close();
        Files.deleteIfExists(path);
    }
}
