package org.simsync.card;

/** The applet on a memory that tests can cut. */
public final class TestApplet extends SimsyncApplet {
    /** The card just installed hands these over to the test of the same thread. */
    static final ThreadLocal<CuttingNv> NV = new ThreadLocal<>();
    static final ThreadLocal<TestApplet> LAST = new ThreadLocal<>();

    private TestApplet(Nv nv, byte[] array, short parameter) {
        super(nv, array, (short) (parameter + 1), array[parameter]);
    }

    public static void install(byte[] array, short offset, byte length) {
        TestApplet applet = new TestApplet(NV.get(), array, parameterAt(array, offset));
        applet.register(array, (short) (offset + 1), array[offset]);
        LAST.set(applet);
    }
}
