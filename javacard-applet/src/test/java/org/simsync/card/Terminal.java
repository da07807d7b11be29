package org.simsync.card;

import java.security.KeyPair;
import java.security.interfaces.ECPublicKey;

/** A terminal with its key, as the other side of the card. */
final class Terminal {
    final KeyPair keys = Crypto.newKeyPair();
    final byte[] point = Crypto.encode((ECPublicKey) keys.getPublic());
    final byte[] id = Crypto.sha256(point);

    byte[] sign(byte[] text) {
        return Crypto.sign(keys.getPrivate(), text);
    }
}
