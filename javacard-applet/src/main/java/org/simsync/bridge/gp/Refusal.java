package org.simsync.bridge.gp;

/** A command that is not done; the status word says why. */
final class Refusal extends Exception {
    private static final long serialVersionUID = 1L;

    private final int status;

    Refusal(int status) {
        super(String.format("%04X", status), null, false, false);
        this.status = status;
    }

    int status() {
        return status;
    }
}
