package org.simsync.bridge.fault;

/** The card's power is gone. An Error, so that nothing in the applet catches it. */
public final class PowerCut extends Error {
    private static final long serialVersionUID = 1L;

    PowerCut() {
        super("the power was cut here", null, false, false);
    }
}
