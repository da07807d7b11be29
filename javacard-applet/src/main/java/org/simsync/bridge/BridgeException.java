package org.simsync.bridge;

/** A request that cannot be done; the message is the sentence that the caller sees. */
public final class BridgeException extends Exception {
    private static final long serialVersionUID = 1L;

    public BridgeException(String message) {
        super(message);
    }
}
