package org.simsync.bridge;

import com.licel.jcardsim.base.LoadFile;
import com.licel.jcardsim.base.Simulator;
import com.licel.jcardsim.base.SimulatorRuntime;
import java.io.ByteArrayOutputStream;
import java.util.Arrays;
import javacard.framework.AID;
import javacard.framework.Applet;
import javacard.framework.ISOException;
import javacard.framework.SystemException;

/** The Java Card runtime of one card: packages, instances of their applets, and APDUs to the one that is selected. */
public final class Chip {
    private static final int SHORTEST_APDU = 4;
    /** Header, Lc and 255 bytes. */
    private static final int BUFFER = 260;
    private static final int OK = 0x9000;
    private static final int NOT_ENOUGH_MEMORY = 0x6A84;
    private static final int NO_PRECISE_DIAGNOSIS = 0x6F00;
    private static final byte[] WRONG_LENGTH = {0x67, 0x00};

    private final Runtime runtime = new Runtime();
    private final Simulator simulator = new Simulator(runtime);

    /** The simulator can forget packages and instances, but lets only its heirs do so. */
    private static final class Runtime extends SimulatorRuntime {
        void unload(AID loadFile) {
            loadFiles.remove(loadFile);
        }

        void delete(AID instance) {
            deleteApplet(instance);
        }
    }

    /** A chip with nothing on it, at T=1. */
    public Chip() {
        simulator.changeProtocol("T=1");
    }

    /** Takes a package of one applet. */
    public void load(byte[] loadFile, byte[] module, Class<? extends Applet> applet) {
        runtime.loadLoadFile(new LoadFile(aid(loadFile), aid(module), applet));
    }

    /** Forgets a package that has no instances. */
    public void unload(byte[] loadFile) {
        runtime.unload(aid(loadFile));
    }

    /**
     * Calls the applet's install method with LV instance AID, LV privileges, LV parameter. Answers 9000, or the status
     * word that the applet threw; nothing is left of an instance whose installation failed.
     */
    public int install(byte[] loadFile, byte[] module, byte[] instance, byte[] privileges, byte[] parameter) {
        ByteArrayOutputStream data = new ByteArrayOutputStream();
        putLv(data, instance);
        putLv(data, privileges);
        putLv(data, parameter);
        int status;
        try {
            runtime.installApplet(aid(loadFile), aid(module), aid(instance), data.toByteArray(), (short) 0,
                    (byte) data.size());
            return OK;
        } catch (ISOException refused) {
            status = refused.getReason() & 0xFFFF;
        } catch (SystemException failed) {
            status = failed.getReason() == SystemException.NO_RESOURCE ? NOT_ENOUGH_MEMORY : NO_PRECISE_DIAGNOSIS;
        }
        if (runtime.lookupApplet(aid(instance)) != null) {
            runtime.delete(aid(instance));
        }
        return status;
    }

    /** Deletes an instance with all that it holds. */
    public void delete(byte[] instance) {
        runtime.delete(aid(instance));
    }

    private static AID aid(byte[] bytes) {
        return new AID(bytes, (short) 0, (byte) bytes.length);
    }

    private static void putLv(ByteArrayOutputStream to, byte[] value) {
        to.write(value.length);
        to.writeBytes(value);
    }

    /** Answers a command; 6700 to one whose lengths contradict each other. */
    public byte[] transmit(byte[] command) {
        if (command.length < SHORTEST_APDU) {
            return WRONG_LENGTH.clone();
        }
        try {
            return simulator.transmitCommand(fitting(command));
        } catch (IllegalArgumentException malformed) {
            return WRONG_LENGTH.clone();
        }
    }

    /**
     * The command as the simulator's buffer of 260 bytes can take it: without the Le that follows 255 bytes of data. Without
     * Le an answer comes whole.
     */
    public static byte[] fitting(byte[] command) {
        return command.length == BUFFER + 1 ? Arrays.copyOf(command, BUFFER) : command;
    }

    /** Nothing is selected afterwards, and what was transient is gone. */
    public void reset() {
        simulator.reset();
    }
}
