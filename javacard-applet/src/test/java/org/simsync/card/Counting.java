package org.simsync.card;

import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Modifier;
import java.lang.reflect.Proxy;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.Set;
import javacard.security.ECPublicKey;
import javacard.security.Key;
import javacard.security.KeyAgreement;
import javacard.security.MessageDigest;
import javacard.security.PrivateKey;
import javacard.security.Signature;

/** Counts a card's operations with public and private keys, and its checksums. */
final class Counting {
    private static final int BLOCK = 64;
    /** A bit and a length of 8 bytes follow what is hashed. */
    private static final int PADDING = 9;

    int signed;
    int verified;
    int agreed;
    /** Points that were set, and read. */
    int set;
    int read;
    /** SHA-256, other than within signatures: times, and blocks of 64 bytes. */
    int digests;
    int blocks;
    /** Length of the newest signature. */
    int signature;
    private final Map<Object, Key> behind = new IdentityHashMap<>();

    /** Puts itself between the applet and the platform. */
    static Counting on(TestCard card) throws ReflectiveOperationException {
        Counting counting = new Counting();
        Object keys = Records.field(card, "keys");
        replace(keys, "ecdsa", counting.new Signing((Signature) Records.get(keys, "ecdsa")));
        replace(keys, "ecdh", counting.new Agreeing((KeyAgreement) Records.get(keys, "ecdh")));
        for (String key : new String[] {"sigPublic", "kemPublic", "terminal"}) {
            replace(keys, key, counting.watched((ECPublicKey) Records.get(keys, key)));
        }
        counting.replaceDigests(card.applet, Collections.newSetFromMap(new IdentityHashMap<>()));
        return counting;
    }

    /** The key, with its points counted. */
    private ECPublicKey watched(ECPublicKey key) {
        Object proxy = Proxy.newProxyInstance(Counting.class.getClassLoader(), new Class<?>[] {ECPublicKey.class},
                (self, method, arguments) -> {
                    set += method.getName().equals("setW") ? 1 : 0;
                    read += method.getName().equals("getW") ? 1 : 0;
                    try {
                        return method.invoke(key, arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
        behind.put(proxy, key);
        return (ECPublicKey) proxy;
    }

    /** What the simulator knows: its own class of keys. */
    private Key known(Key key) {
        return behind.getOrDefault(key, key);
    }

    /** In all objects of ours. */
    private void replaceDigests(Object in, Set<Object> seen) throws ReflectiveOperationException {
        if (in instanceof Object[] objects) {
            for (Object object : objects) {
                replaceDigests(object, seen);
            }
        }
        if (in == null || !seen.add(in)) {
            return;
        }
        for (Class<?> type = in.getClass(); isOurs(type); type = type.getSuperclass()) {
            for (Field field : type.getDeclaredFields()) {
                if (field.getType().isPrimitive() || Modifier.isStatic(field.getModifiers())) {
                    continue;
                }
                field.setAccessible(true);
                if (field.get(in) instanceof MessageDigest digest) {
                    field.set(in, new Digesting(digest));
                } else {
                    replaceDigests(field.get(in), seen);
                }
            }
        }
    }

    private static boolean isOurs(Class<?> type) {
        return type != null && type.getPackageName().startsWith("org.simsync");
    }

    private static void replace(Object in, String name, Object by) throws ReflectiveOperationException {
        Field field = in.getClass().getDeclaredField(name);
        field.setAccessible(true);
        field.set(in, by);
    }

    void reset() {
        signed = 0;
        verified = 0;
        agreed = 0;
        set = 0;
        read = 0;
        digests = 0;
        blocks = 0;
        signature = 0;
    }

    private final class Digesting extends MessageDigest {
        private final MessageDigest inner;

        Digesting(MessageDigest inner) {
            this.inner = inner;
        }

        @Override
        public byte getAlgorithm() {
            return inner.getAlgorithm();
        }

        @Override
        public byte getLength() {
            return inner.getLength();
        }

        @Override
        public short doFinal(byte[] from, short offset, short length, byte[] to, short at) {
            digests++;
            blocks += (length + PADDING + BLOCK - 1) / BLOCK;
            return inner.doFinal(from, offset, length, to, at);
        }

        @Override
        public void update(byte[] from, short offset, short length) {
            throw new UnsupportedOperationException();
        }

        @Override
        public void reset() {
            throw new UnsupportedOperationException();
        }
    }

    private final class Agreeing extends KeyAgreement {
        private final KeyAgreement inner;

        Agreeing(KeyAgreement inner) {
            this.inner = inner;
        }

        @Override
        public void init(PrivateKey key) {
            inner.init(key);
        }

        @Override
        public byte getAlgorithm() {
            return inner.getAlgorithm();
        }

        @Override
        public short generateSecret(byte[] from, short offset, short length, byte[] to, short at) {
            agreed++;
            return inner.generateSecret(from, offset, length, to, at);
        }
    }

    private final class Signing extends Signature {
        private final Signature inner;

        Signing(Signature inner) {
            this.inner = inner;
        }

        @Override
        public void init(Key key, byte mode) {
            inner.init(known(key), mode);
        }

        @Override
        public short sign(byte[] from, short offset, short length, byte[] to, short at) {
            signed++;
            signature = inner.sign(from, offset, length, to, at);
            return (short) signature;
        }

        @Override
        public boolean verify(byte[] from, short offset, short length, byte[] sig, short at, short sigLength) {
            verified++;
            return inner.verify(from, offset, length, sig, at, sigLength);
        }

        @Override
        public byte getAlgorithm() {
            return inner.getAlgorithm();
        }

        @Override
        public byte getMessageDigestAlgorithm() {
            return inner.getMessageDigestAlgorithm();
        }

        @Override
        public byte getCipherAlgorithm() {
            return inner.getCipherAlgorithm();
        }

        @Override
        public byte getPaddingAlgorithm() {
            return inner.getPaddingAlgorithm();
        }

        @Override
        public short getLength() {
            return inner.getLength();
        }

        // The applet calls none of these; SubsetTest knows what it calls.

        @Override
        public void init(Key key, byte mode, byte[] from, short offset, short length) {
            throw new UnsupportedOperationException();
        }

        @Override
        public void setInitialDigest(byte[] state, short offset, short length, byte[] done, short at, short doneLength) {
            throw new UnsupportedOperationException();
        }

        @Override
        public void update(byte[] from, short offset, short length) {
            throw new UnsupportedOperationException();
        }

        @Override
        public short signPreComputedHash(byte[] from, short offset, short length, byte[] to, short at) {
            throw new UnsupportedOperationException();
        }

        @Override
        public boolean verifyPreComputedHash(byte[] from, short offset, short length, byte[] sig, short at,
                short sigLength) {
            throw new UnsupportedOperationException();
        }
    }
}
