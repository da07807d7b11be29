package org.simsync.card;

import com.licel.jcardsim.base.Simulator;
import com.licel.jcardsim.base.SimulatorRuntime;
import java.io.ByteArrayOutputStream;
import javacard.framework.AID;

/** A simulated card with the applet, spoken to in bytes. {@link Host} speaks to it in commands. */
final class TestCard {
    static final byte[] AID_BYTES = {(byte) 0xF0, 'S', 'I', 'M', 'S', 'Y', 'N', 'C', 1};
    static final byte[] TRANSPORT = Host.filled(16, 0x5A);

    final CuttingNv nv = new CuttingNv();
    final TestApplet applet;
    private final Simulator simulator;

    TestCard() {
        this("T=1");
    }

    TestCard(String protocol) {
        this(protocol, TRANSPORT);
    }

    TestCard(String protocol, byte[] parameter) {
        simulator = new Simulator(new SimulatorRuntime());
        simulator.changeProtocol(protocol);
        TestApplet.NV.set(nv);
        AID aid = new AID(AID_BYTES, (short) 0, (byte) AID_BYTES.length);
        simulator.loadApplet(aid, TestApplet.class);
        byte[] data = installData(parameter);
        simulator.createApplet(aid, data, (short) 0, (byte) data.length);
        applet = TestApplet.LAST.get();
        nv.never();
        simulator.reset();
    }

    private static byte[] installData(byte[] parameter) {
        ByteArrayOutputStream data = new ByteArrayOutputStream();
        data.write(AID_BYTES.length);
        data.writeBytes(AID_BYTES);
        data.write(1);
        data.write(0);
        data.write(parameter.length);
        data.writeBytes(parameter);
        return data.toByteArray();
    }

    Answer raw(byte... command) {
        return Answer.of(simulator.transmitCommand(command));
    }

    /** A command with data and the wish for any answer. */
    Answer send(int cla, int ins, int p1, int p2, byte... data) {
        ByteArrayOutputStream command = new ByteArrayOutputStream();
        command.write(cla);
        command.write(ins);
        command.write(p1);
        command.write(p2);
        if (data.length > 0) {
            command.write(data.length);
            command.writeBytes(data);
        }
        command.write(0);
        return raw(command.toByteArray());
    }

    void powerCycle() {
        nv.never();
        simulator.reset();
    }

    void changeProtocol(String protocol) {
        simulator.changeProtocol(protocol);
    }
}
