package org.simsync.bridge.gp;

import java.util.Arrays;
import java.util.HexFormat;

/** An application identifier: 5 to 16 bytes (ISO 7816-5). */
final class Aid {
    static final int SHORTEST = 5;
    static final int LONGEST = 16;

    private final byte[] bytes;

    private Aid(byte[] bytes) {
        this.bytes = bytes;
    }

    /** One that the front itself names. */
    static Aid of(String hex) {
        return new Aid(HexFormat.of().parseHex(hex));
    }

    static Aid of(byte[] bytes) {
        return new Aid(bytes.clone());
    }

    /** One from a command: 6A80 if its length is none. */
    static Aid checked(byte[] bytes) throws Refusal {
        if (bytes.length < SHORTEST || bytes.length > LONGEST) {
            throw new Refusal(Sw.WRONG_DATA);
        }
        return new Aid(bytes);
    }

    byte[] bytes() {
        return bytes.clone();
    }

    boolean startsWith(byte[] prefix) {
        return prefix.length <= bytes.length && Arrays.equals(prefix, 0, prefix.length, bytes, 0, prefix.length);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Aid aid && Arrays.equals(bytes, aid.bytes);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(bytes);
    }

    @Override
    public String toString() {
        return HexFormat.of().withUpperCase().formatHex(bytes);
    }
}
