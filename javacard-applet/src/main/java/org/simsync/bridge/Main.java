package org.simsync.bridge;

import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.channels.ClosedChannelException;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicBoolean;

/** Runs simulated cards and puts them into virtual readers; see README.md for the control protocol. */
public final class Main {
    private static final int USAGE = 2;

    private Main() {
    }

    /** Takes --control PATH and, to live no longer than the standard input is open, --stdin-lifetime. */
    public static void main(String[] arguments) throws IOException {
        String control = null;
        boolean stdinLifetime = false;
        for (int i = 0; i < arguments.length; i++) {
            if (arguments[i].equals("--control") && i + 1 < arguments.length) {
                control = arguments[++i];
            } else if (arguments[i].equals("--stdin-lifetime")) {
                stdinLifetime = true;
            } else {
                control = null;
                break;
            }
        }
        if (control == null) {
            System.err.println("usage: simsync-bridge --control PATH [--stdin-lifetime]");
            System.exit(USAGE);
        }
        // Else every simulated card draws the same challenges and tokens.
        System.setProperty("com.licel.jcardsim.randomdata.secure", "1");
        // The simulator prints on the standard output whenever it makes a key.
        System.setOut(new PrintStream(OutputStream.nullOutputStream()));
        serve(Path.of(control), stdinLifetime);
    }

    private static void serve(Path control, boolean stdinLifetime) throws IOException {
        AtomicBoolean done = new AtomicBoolean();
        try (ControlServer server = new ControlServer(control)) {
            Runnable quit = () -> {
                done.set(true);
                closeQuietly(server);
            };
            if (stdinLifetime) {
                watchStdin(quit);
            }
            server.run(new Bridge(quit));
        } catch (ClosedChannelException e) {
            if (!done.get()) {
                throw e;
            }
        }
    }

    private static void watchStdin(Runnable quit) {
        Thread watcher = new Thread(() -> {
            try {
                System.in.transferTo(OutputStream.nullOutputStream());
            } catch (IOException e) {
                // Not readable any more is closed.
            }
            quit.run();
        }, "stdin");
        watcher.setDaemon(true);
        watcher.start();
    }

    private static void closeQuietly(ControlServer server) {
        try {
            server.close();
        } catch (IOException e) {
            // The process ends either way.
        }
    }
}
