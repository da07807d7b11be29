package org.simsync.bridge.fault;

import org.simsync.card.SimsyncApplet;

/** The applet on a memory whose power can be cut. */
public final class FaultyApplet extends SimsyncApplet {
    private static final ThreadLocal<FaultyApplet> LAST = new ThreadLocal<>();

    private final FaultyNv nv;

    private FaultyApplet(FaultyNv nv, byte[] array, short parameter) {
        super(nv, array, (short) (parameter + 1), array[parameter]);
        this.nv = nv;
    }

    /** As the platform calls it; the applet just installed is {@link #last} for the same thread. */
    public static void install(byte[] array, short offset, byte length) {
        FaultyApplet applet = new FaultyApplet(new FaultyNv(), array, parameterAt(array, offset, length));
        applet.register(array, (short) (offset + 1), array[offset]);
        LAST.set(applet);
    }

    static FaultyApplet last() {
        return LAST.get();
    }

    /** The memory. */
    public FaultyNv nv() {
        return nv;
    }
}
