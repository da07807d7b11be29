package org.simsync.bridge;

import java.util.Arrays;
import java.util.function.Function;
import org.simsync.card.SimsyncApplet;

/**
 * A simulated card with the applet on it. Every card loads this class, the simulator and the applet anew, in a class
 * loader of its own, so that not even static fields are shared; the bridge sees it through JDK types alone.
 *
 * <p>It is a function from a command APDU to an answer; null is a reset of the card.
 */
public final class Simulation implements Function<byte[], byte[]> {
    private static final byte[] PACKAGE_AID = {(byte) 0xF0, 'S', 'I', 'M', 'S', 'Y', 'N', 'C'};
    private static final byte[] APPLET_AID = {(byte) 0xF0, 'S', 'I', 'M', 'S', 'Y', 'N', 'C', 1};
    private static final byte[] NO_PRIVILEGES = {0};
    private static final int OK = 0x9000;
    private static final byte[] NO_APPLET = {0x69, (byte) 0x99};
    private static final byte[] NOT_FOUND = {0x6A, (byte) 0x82};

    private final Chip chip = new Chip();

    /** Installs the applet with its install parameter, and the neighbour applet. */
    public Simulation(byte[] transportSecret) {
        install(PACKAGE_AID, APPLET_AID, SimsyncApplet.class, transportSecret);
        install(Neighbour.PACKAGE_AID, Neighbour.AID, Neighbour.class, new byte[0]);
        chip.reset();
    }

    private void install(byte[] loadFile, byte[] aid, Class<? extends javacard.framework.Applet> applet,
            byte[] parameter) {
        chip.load(loadFile, aid, applet);
        int status = chip.install(loadFile, aid, aid, NO_PRIVILEGES, parameter);
        if (status != OK) {
            throw new IllegalStateException("the applet refuses to be installed: " + Integer.toHexString(status));
        }
    }

    @Override
    public byte[] apply(byte[] command) {
        if (command == null) {
            chip.reset();
            return new byte[0];
        }
        return asCardsSay(chip.transmit(command));
    }

    /** With no applet selected the simulator has its own word for an AID that is not there; cards answer 6A82. */
    private static byte[] asCardsSay(byte[] answer) {
        return Arrays.equals(answer, NO_APPLET) ? NOT_FOUND.clone() : answer;
    }
}
