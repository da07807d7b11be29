package org.simsync.bridge.gp;

import java.io.ByteArrayOutputStream;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/** BER-TLV objects with tags of 1 or 2 bytes (ISO 7816-4, 5.2.2), and LV fields as INSTALL has them. */
record Tlv(int tag, byte[] value) {
    private static final int LONG_TAG = 0x1F;

    /** All objects in a string of them; 6A80 if they do not add up. */
    static List<Tlv> parse(byte[] bytes) throws Refusal {
        List<Tlv> objects = new ArrayList<>();
        ByteBuffer in = ByteBuffer.wrap(bytes);
        while (in.hasRemaining()) {
            try {
                int tag = in.get() & 0xFF;
                if ((tag & LONG_TAG) == LONG_TAG) {
                    tag = tag << 8 | in.get() & 0xFF;
                }
                objects.add(new Tlv(tag, take(in, length(in))));
            } catch (BufferUnderflowException e) {
                throw new Refusal(Sw.WRONG_DATA);
            }
        }
        return objects;
    }

    /** The value of the first object of this tag, or null. */
    static byte[] find(List<Tlv> objects, int tag) {
        return objects.stream().filter(o -> o.tag == tag).map(Tlv::value).findFirst().orElse(null);
    }

    /** The next field of LV coded ones; 6A80 if it is not whole. */
    static byte[] field(ByteBuffer in) throws Refusal {
        try {
            return take(in, length(in));
        } catch (BufferUnderflowException e) {
            throw new Refusal(Sw.WRONG_DATA);
        }
    }

    /** A BER length of up to 3 bytes. */
    static int length(ByteBuffer in) throws Refusal {
        int first = in.get() & 0xFF;
        return switch (first) {
            case 0x81 -> in.get() & 0xFF;
            case 0x82 -> in.getShort() & 0xFFFF;
            default -> {
                if (first > 0x7F) {
                    throw new Refusal(Sw.WRONG_DATA);
                }
                yield first;
            }
        };
    }

    private static byte[] take(ByteBuffer in, int length) {
        if (length > in.remaining()) {
            throw new BufferUnderflowException();
        }
        byte[] value = new byte[length];
        in.get(value);
        return value;
    }

    /** An object, coded. */
    static byte[] of(int tag, byte[]... values) {
        byte[] value = join(values);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        if (tag > 0xFF) {
            out.write(tag >> 8);
        }
        out.write(tag);
        if (value.length > 0xFF) {
            out.write(0x82);
            out.write(value.length >> 8);
        } else if (value.length > 0x7F) {
            out.write(0x81);
        }
        out.write(value.length);
        out.writeBytes(value);
        return out.toByteArray();
    }

    static byte[] join(byte[]... parts) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            out.writeBytes(part);
        }
        return out.toByteArray();
    }
}
