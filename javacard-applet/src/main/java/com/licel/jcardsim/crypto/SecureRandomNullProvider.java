package com.licel.jcardsim.crypto;

import java.security.SecureRandom;

/**
 * Takes the place of jCardSim's class of this name, whose fixed seed gives every simulated card the same keys and makes
 * the nonce of a signature equal to the private key. It must come before the simulator's jar on the class path.
 */
class SecureRandomNullProvider extends SecureRandom {
    private static final long serialVersionUID = 1L;

    SecureRandomNullProvider() {
        super();
    }
}
