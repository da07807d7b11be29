package org.simsync.bridge;

import com.licel.jcardsim.base.Simulator;
import com.licel.jcardsim.base.SimulatorRuntime;
import java.io.ByteArrayOutputStream;
import java.util.Arrays;
import java.util.function.Function;
import javacard.framework.AID;
import org.simsync.card.SimsyncApplet;

/**
 * A simulated card with the applet on it. Every card loads this class, the simulator and the applet anew, in a class
 * loader of its own, so that not even static fields are shared; the bridge sees it through JDK types alone.
 *
 * <p>It is a function from a command APDU to an answer; null is a reset of the card.
 */
public final class Simulation implements Function<byte[], byte[]> {
    private static final byte[] APPLET_AID = {(byte) 0xF0, 'S', 'I', 'M', 'S', 'Y', 'N', 'C', 1};
    private static final int SHORTEST_APDU = 4;
    private static final byte[] WRONG_LENGTH = {0x67, 0x00};
    private static final byte[] NO_APPLET = {0x69, (byte) 0x99};
    private static final byte[] NOT_FOUND = {0x6A, (byte) 0x82};

    private final Simulator simulator;

    /** Installs the applet with its install parameter, and the neighbour applet. */
    public Simulation(byte[] transportSecret) {
        simulator = new Simulator(new SimulatorRuntime());
        simulator.changeProtocol("T=1");
        install(APPLET_AID, SimsyncApplet.class, transportSecret);
        install(Neighbour.AID, Neighbour.class, new byte[0]);
        simulator.reset();
    }

    private void install(byte[] aid, Class<? extends javacard.framework.Applet> applet, byte[] parameter) {
        ByteArrayOutputStream data = new ByteArrayOutputStream();
        putLv(data, aid);
        putLv(data, new byte[] {0});
        putLv(data, parameter);
        AID id = new AID(aid, (short) 0, (byte) aid.length);
        simulator.loadApplet(id, applet);
        simulator.createApplet(id, data.toByteArray(), (short) 0, (byte) data.size());
    }

    private static void putLv(ByteArrayOutputStream to, byte[] value) {
        to.write(value.length);
        to.writeBytes(value);
    }

    @Override
    public byte[] apply(byte[] command) {
        if (command == null) {
            simulator.reset();
            return new byte[0];
        }
        try {
            return command.length < SHORTEST_APDU
                    ? WRONG_LENGTH.clone() : asCardsSay(simulator.transmitCommand(command));
        } catch (IllegalArgumentException malformed) {
            // The simulator's word for lengths that contradict each other.
            return WRONG_LENGTH.clone();
        }
    }

    /** With no applet selected the simulator has its own word for an AID that is not there; cards answer 6A82. */
    private static byte[] asCardsSay(byte[] answer) {
        return Arrays.equals(answer, NO_APPLET) ? NOT_FOUND.clone() : answer;
    }
}
