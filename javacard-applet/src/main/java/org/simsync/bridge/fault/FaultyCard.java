package org.simsync.bridge.fault;

import com.licel.jcardsim.base.Simulator;
import com.licel.jcardsim.base.SimulatorRuntime;
import java.io.ByteArrayOutputStream;
import org.simsync.bridge.Chip;

/** A simulated card with the applet on a memory that can be cut. */
public final class FaultyCard {
    /** The applet's AID. */
    public static final byte[] AID = {(byte) 0xF0, 'S', 'I', 'M', 'S', 'Y', 'N', 'C', 1};

    private final Simulator simulator = new Simulator(new SimulatorRuntime());
    private final FaultyApplet applet;

    /** Installs the applet with its install parameter; the protocol is "T=0" or "T=1". */
    public FaultyCard(String protocol, byte[] parameter) {
        simulator.changeProtocol(protocol);
        javacard.framework.AID aid = new javacard.framework.AID(AID, (short) 0, (byte) AID.length);
        simulator.loadApplet(aid, FaultyApplet.class);
        byte[] data = installData(parameter);
        simulator.createApplet(aid, data, (short) 0, (byte) data.length);
        applet = FaultyApplet.last();
        applet.nv().never();
        simulator.reset();
    }

    private static byte[] installData(byte[] parameter) {
        ByteArrayOutputStream data = new ByteArrayOutputStream();
        data.write(AID.length);
        data.writeBytes(AID);
        data.write(1);
        data.write(0);
        data.write(parameter.length);
        data.writeBytes(parameter);
        return data.toByteArray();
    }

    /** The applet itself. */
    public FaultyApplet applet() {
        return applet;
    }

    /** Its memory. */
    public FaultyNv nv() {
        return applet.nv();
    }

    /** What the card answers; after a cut it says nothing that counts, until {@link #powerCycle}. */
    public byte[] transmit(byte[] command) {
        return simulator.transmitCommand(Chip.fitting(command));
    }

    /** Takes the power away and gives it back; nothing is cut any more. */
    public void powerCycle() {
        nv().never();
        simulator.reset();
    }

    /** "T=0" or "T=1" from now on. */
    public void changeProtocol(String protocol) {
        simulator.changeProtocol(protocol);
    }
}
