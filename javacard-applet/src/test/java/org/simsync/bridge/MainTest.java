package org.simsync.bridge;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The bridge as a process of its own. */
@Timeout(60)
class MainTest {
    private static final long DEADLINE_SECONDS = 30;

    @TempDir
    Path folder;
    private Process process;

    @AfterEach
    void end() throws InterruptedException {
        if (process != null) {
            process.destroyForcibly().waitFor();
        }
    }

    private void start(String... arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1", "-cp", System.getProperty("java.class.path"), Main.class.getName()));
        command.addAll(List.of(arguments));
        process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
    }

    private SocketChannel connect(Path socket) throws IOException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(DEADLINE_SECONDS);
        while (true) {
            try {
                SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
                channel.connect(UnixDomainSocketAddress.of(socket));
                return channel;
            } catch (IOException e) {
                if (System.nanoTime() > deadline) {
                    throw e;
                }
                Thread.onSpinWait();
            }
        }
    }

    @Test
    void servesRequestsAndQuits() throws IOException, InterruptedException {
        Path socket = folder.resolve("control");
        start("--control", socket.toString());
        try (SocketChannel channel = connect(socket)) {
            PrintWriter out = new PrintWriter(Channels.newWriter(channel, StandardCharsets.UTF_8), true);
            BufferedReader in = new BufferedReader(Channels.newReader(channel, StandardCharsets.UTF_8));
            out.println("blank a " + "00".repeat(16));
            assertEquals("ok", in.readLine());
            out.println("cards");
            assertEquals("ok a:-:0", in.readLine());
            out.println("what");
            assertTrue(in.readLine().startsWith("error "));
            out.println("quit");
            assertEquals("ok", in.readLine());
        }
        assertTrue(process.waitFor(DEADLINE_SECONDS, TimeUnit.SECONDS));
        assertEquals(0, process.exitValue());
        assertFalse(Files.exists(socket));
    }

    @Test
    void endsWithItsStandardInput() throws IOException, InterruptedException {
        Path socket = folder.resolve("control");
        start("--stdin-lifetime", "--control", socket.toString());
        connect(socket).close();
        process.getOutputStream().close();
        assertTrue(process.waitFor(DEADLINE_SECONDS, TimeUnit.SECONDS));
        assertEquals(0, process.exitValue());
    }

    @Test
    void refusesOtherArguments() throws IOException, InterruptedException {
        for (String[] arguments : new String[][] {{}, {"--control"}, {"--sideways"}, {"--control", "x", "more"}}) {
            start(arguments);
            assertTrue(process.waitFor(DEADLINE_SECONDS, TimeUnit.SECONDS));
            assertEquals(2, process.exitValue());
        }
    }
}
