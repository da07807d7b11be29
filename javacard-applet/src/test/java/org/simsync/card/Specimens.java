package org.simsync.card;

import javacard.framework.AID;
import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.JCSystem;
import javacard.framework.OwnerPIN;
import javacard.framework.Shareable;
import javacard.security.KeyBuilder;
import javacard.security.MessageDigest;
import javacard.security.RandomData;

/** Classes that a card cannot take, one fault each, and one that it can. Never run: {@link SubsetTest} looks at them. */
final class Specimens {
    private Specimens() {
    }

    static class Good {
        static final short MOST = 300;
        final byte[] bytes = new byte[MOST];

        short sum(short a, short b) {
            short sum = (short) (a + b);
            bytes[0] = (byte) (sum >> 8);
            return sum;
        }
    }

    static class IntSum {
        boolean sum(short a, short b) {
            return a + b > MANY;
        }

        static final short MANY = 1000;
    }

    static class Increment {
        void count(short times) {
            for (int i = 0; i < times; i++) {
                continue;
            }
        }
    }

    static class IntResult {
        int value(short a) {
            return a;
        }
    }

    static class IntArray {
        void numbers() {
            int[] numbers = new int[2];
            numbers[0] = 1;
        }
    }

    static class LongSum {
        boolean sum(short a, short b) {
            return (long) a - b > 0;
        }
    }

    static class BigConstant {
        boolean constant(short a) {
            return a == 100_000;
        }
    }

    static class Text {
        Object text() {
            return "text";
        }
    }

    static class TextField {
        String text;
    }

    static class TextCall {
        boolean call(Object object) {
            return object.hashCode() == 0;
        }
    }

    static class MultiArray {
        final Object field;

        MultiArray() {
            field = new byte[2][3];
        }
    }

    static class ArrayOfArrays {
        final Object field;

        ArrayOfArrays() {
            field = new byte[2][];
        }
    }

    static class MultiField {
        byte[][] field;
    }

    static class Lambda {
        Object lambda() {
            Shareable shareable = null;
            Runnable runnable = () -> { };
            return shareable == null ? runnable : shareable;
        }
    }

    static class Lock {
        void locked() {
            synchronized (this) {
                return;
            }
        }
    }

    static class Synchronised {
        synchronized void locked() {
        }
    }

    static class Inherits extends Thread {
    }

    abstract static class Implements implements Runnable {
    }

    static class Static {
        static short kept;

        static void keep(short value) {
            kept = value;
        }
    }

    static class LateObject {
        Object late() {
            return new Object();
        }
    }

    static class LateArray {
        Object late() {
            return new byte[2];
        }
    }

    static class LateDigest {
        Object late() {
            return MessageDigest.getInstance(MessageDigest.ALG_SHA_256, false);
        }
    }

    static class OtherInstall {
        static Object made(Object object) {
            return object;
        }

        static void install(byte[] array, short offset, byte length) {
            made(new byte[2]);
        }
    }

    static class Loop {
        static final byte[] BYTES = new byte[2];

        static {
            for (short i = 0; i < BYTES.length; i = (short) (i + 1)) {
                BYTES[i] = 1;
            }
        }
    }

    static class LateField {
        short field;

        void set(short value) {
            field = value;
        }
    }

    static class Newer {
        void draw(RandomData random, byte[] out) {
            random.nextBytes(out, (short) 0, (short) 1);
        }
    }

    static class OtherDescriptor {
        final Object key;

        OtherDescriptor() {
            key = KeyBuilder.buildKey((byte) 1, JCSystem.MEMORY_TYPE_PERSISTENT, (short) 256, false);
        }
    }

    abstract static class InheritedCall extends Applet {
        Object share(AID client) {
            return getShareableInterfaceObject(client, (byte) 0);
        }

        @Override
        public void process(APDU apdu) {
        }
    }

    static class Writer {
        void write(OwnerPIN pin, byte[] value) {
            pin.update(value, (short) 0, (byte) 8);
        }
    }

    static class Transaction {
        void begin() {
            JCSystem.beginTransaction();
        }
    }
}
