package org.simsync.bridge.gp;

import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** A load file: the components of a CAP file in the order in which they are loaded (JCVM 3.0.4, chapter 6). */
final class CapFile {
    static final int HEADER = 1;
    static final int DIRECTORY = 2;
    static final int APPLET = 3;
    static final int IMPORT = 4;
    static final int CONSTANT_POOL = 5;
    static final int CLASS = 6;
    static final int METHOD = 7;
    static final int STATIC_FIELD = 8;
    static final int REFERENCE_LOCATION = 9;
    static final int EXPORT = 10;
    static final int DESCRIPTOR = 11;
    /** The order of loading (GPCS C.1.2; JCVM 6.2). */
    static final List<Integer> ORDER = List.of(HEADER, DIRECTORY, IMPORT, APPLET, CLASS, METHOD, STATIC_FIELD, EXPORT,
            CONSTANT_POOL, REFERENCE_LOCATION, DESCRIPTOR);
    static final int MAGIC = 0xDECAFFED;
    static final int FORMAT_MAJOR = 2;
    static final int ACC_EXPORT = 2;
    static final int ACC_APPLET = 4;

    /** Bytes of Directory after the sizes: three of static fields with 2 bytes, three counts with 1. */
    private static final int COUNTS = 9;

    private static final List<Integer> REQUIRED = List.of(HEADER, DIRECTORY, IMPORT, APPLET, CLASS, METHOD, STATIC_FIELD,
            CONSTANT_POOL, REFERENCE_LOCATION);

    /** A package that is used: its AID, and the version that it must have at least. */
    record Import(Aid aid, int major, int minor) {
    }

    private final Map<Integer, byte[]> components = new TreeMap<>();
    private Aid packageAid;
    private int major;
    private int minor;
    private Import[] imports;
    private Aid applet;

    private CapFile() {
    }

    /** Reads joined components; 6A80 for whatever does not fit together. */
    static CapFile parse(byte[] loaded) throws Refusal {
        CapFile cap = new CapFile();
        try {
            cap.split(ByteBuffer.wrap(loaded));
            cap.readHeader(cap.component(HEADER));
            cap.readImport(cap.component(IMPORT));
            cap.readDirectory(cap.component(DIRECTORY));
            cap.readApplet(cap.component(APPLET));
        } catch (BufferUnderflowException e) {
            throw new Refusal(Sw.WRONG_DATA);
        }
        return cap;
    }

    private static void require(boolean right) throws Refusal {
        if (!right) {
            throw new Refusal(Sw.WRONG_DATA);
        }
    }

    private void split(ByteBuffer in) throws Refusal {
        int rank = -1;
        while (in.hasRemaining()) {
            int tag = in.get() & 0xFF;
            byte[] component = take(in, in.getShort() & 0xFFFF);
            require(ORDER.indexOf(tag) > rank);
            rank = ORDER.indexOf(tag);
            components.put(tag, component);
        }
        require(components.keySet().containsAll(REQUIRED));
    }

    private static byte[] take(ByteBuffer in, int length) {
        if (length > in.remaining()) {
            throw new BufferUnderflowException();
        }
        byte[] bytes = new byte[length];
        in.get(bytes);
        return bytes;
    }

    private ByteBuffer component(int tag) {
        return ByteBuffer.wrap(components.get(tag));
    }

    private void readHeader(ByteBuffer in) throws Refusal {
        require(in.getInt() == MAGIC);
        int formatMinor = in.get();
        require(in.get() == FORMAT_MAJOR && (formatMinor == 1 || formatMinor == 2));
        int flags = in.get();
        require(flags == ACC_APPLET || flags == (ACC_APPLET | ACC_EXPORT));
        minor = in.get() & 0xFF;
        major = in.get() & 0xFF;
        packageAid = Aid.checked(take(in, in.get() & 0xFF));
        if (formatMinor == 2) {
            take(in, in.get() & 0xFF);
        }
        require(!in.hasRemaining());
    }

    private void readDirectory(ByteBuffer in) throws Refusal {
        for (int tag = HEADER; tag <= DESCRIPTOR; tag++) {
            byte[] component = components.get(tag);
            int size = in.getShort() & 0xFFFF;
            // Descriptor need not be loaded.
            require(component == null ? size == 0 || tag == DESCRIPTOR : size == component.length);
        }
        // Since format 2.2 also the size of Debug, which is never loaded.
        in.position(in.position() + (in.remaining() > COUNTS ? Short.BYTES : 0));
        ByteBuffer fields = component(STATIC_FIELD);
        require(in.getShort() == fields.getShort());
        fields.getShort();
        require(in.getShort() == fields.getShort());
        in.getShort();
        require(in.get() == imports.length && in.get() == 1 && in.get() == 0 && !in.hasRemaining());
    }

    private void readImport(ByteBuffer in) throws Refusal {
        imports = new Import[in.get() & 0xFF];
        for (int i = 0; i < imports.length; i++) {
            int minorWanted = in.get() & 0xFF;
            int majorWanted = in.get() & 0xFF;
            imports[i] = new Import(Aid.checked(take(in, in.get() & 0xFF)), majorWanted, minorWanted);
        }
        require(!in.hasRemaining());
    }

    private void readApplet(ByteBuffer in) throws Refusal {
        require(in.get() == 1);
        applet = Aid.checked(take(in, in.get() & 0xFF));
        int install = in.getShort() & 0xFFFF;
        require(!in.hasRemaining() && install < components.get(METHOD).length);
    }

    Aid packageAid() {
        return packageAid;
    }

    int major() {
        return major;
    }

    int minor() {
        return minor;
    }

    Import[] imports() {
        return imports.clone();
    }

    Aid applet() {
        return applet;
    }

    /** Whether the Method component is this. */
    boolean hasMethod(byte[] expected) {
        return Arrays.equals(components.get(METHOD), expected);
    }
}
