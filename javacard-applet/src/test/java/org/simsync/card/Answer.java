package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.ByteBuffer;
import java.util.Arrays;

/** What the card answered: data and status word. */
record Answer(byte[] data, int sw) {
    static Answer of(byte[] bytes) {
        int sw = (bytes[bytes.length - 2] & 0xFF) << 8 | bytes[bytes.length - 1] & 0xFF;
        return new Answer(Arrays.copyOf(bytes, bytes.length - 2), sw);
    }

    Answer expect(int expected) {
        assertEquals(String.format("%04X", expected), String.format("%04X", sw), "status word");
        return this;
    }

    /** The data of a command that must have succeeded, with exactly so many bytes. */
    byte[] ok(int length) {
        expect(0x9000);
        assertEquals(length, data.length, "length of the answer");
        return data;
    }

    void ok() {
        ok(0);
    }

    /** The data of a command that must have succeeded, to be read field by field. */
    ByteBuffer fields() {
        expect(0x9000);
        return ByteBuffer.wrap(data);
    }
}
