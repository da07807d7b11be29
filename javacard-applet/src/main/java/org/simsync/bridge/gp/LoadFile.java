package org.simsync.bridge.gp;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/**
 * Writes the simulator's load file: a CAP file of the applet's package (JCVM 3.0.4, chapter 6; format 2.1) that is right
 * in all that names sizes, AIDs and versions, and whose one method holds no code but a proof that it stands for the
 * applet's class files. Cards cannot run it; the simulated card takes nothing else. Equal classes give equal bytes.
 */
public final class LoadFile {
    private static final int USAGE = 2;
    private static final int FORMAT_MINOR = 1;
    private static final int PACKAGE_MAJOR = 1;
    private static final int PACKAGE_MINOR = 1;
    /** What the applet uses, in the versions of Java Card 3.0.4. */
    private static final CapFile.Import[] IMPORTS = {
        new CapFile.Import(JavaCardVersion.FRAMEWORK, 1, 5),
        new CapFile.Import(JavaCardVersion.SECURITY, 1, 5),
        new CapFile.Import(JavaCardVersion.LANG, 1, 0)};
    /** The class Applet, token 3 of the first imported package, as an external class reference. */
    private static final int APPLET_CLASS = 0x8003;
    /** Offset of install in Method: after the number of handlers. */
    private static final int INSTALL_AT = 1;
    private static final int OPCODE_RETURN = 0x7A;
    /** No-operations in front of the proof, so that loading takes about as long as it does for the applet. */
    private static final int FILLER = 11_500;
    private static final int ACC_PUBLIC = 0x01;
    private static final int ACC_STATIC = 0x08;
    private static final String FOLDER = "org/simsync/card/javacard/";
    private static final Map<Integer, String> NAMES = Map.of(CapFile.HEADER, "Header", CapFile.DIRECTORY, "Directory",
            CapFile.IMPORT, "Import", CapFile.APPLET, "Applet", CapFile.CLASS, "Class", CapFile.METHOD, "Method",
            CapFile.STATIC_FIELD, "StaticField", CapFile.CONSTANT_POOL, "ConstantPool", CapFile.REFERENCE_LOCATION,
            "RefLocation", CapFile.DESCRIPTOR, "Descriptor");

    private LoadFile() {
    }

    /** Takes the name of the file to write; an old one is replaced. */
    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 1) {
            System.err.println("usage: org.simsync.bridge.gp.LoadFile OUT.cap");
            System.exit(USAGE);
        }
        Path file = Path.of(arguments[0]);
        if (file.getParent() != null) {
            Files.createDirectories(file.getParent());
        }
        try (OutputStream out = Files.newOutputStream(file)) {
            writeZip(out, components(AppletClasses.proof()));
        }
    }

    /** Components by tag, each with tag and size in front, in the order of loading. */
    static Map<Integer, byte[]> components(byte[] proof) {
        Map<Integer, byte[]> contents = new LinkedHashMap<>();
        contents.put(CapFile.HEADER, header());
        contents.put(CapFile.DIRECTORY, new byte[0]);
        contents.put(CapFile.IMPORT, imports());
        contents.put(CapFile.APPLET, applet());
        contents.put(CapFile.CLASS, classes());
        contents.put(CapFile.METHOD, method(proof));
        contents.put(CapFile.STATIC_FIELD, words(0, 0, 0, 0, 0));
        contents.put(CapFile.CONSTANT_POOL, constantPool());
        contents.put(CapFile.REFERENCE_LOCATION, words(0, 0));
        contents.put(CapFile.DESCRIPTOR, descriptor(1 + FILLER + proof.length));
        contents.put(CapFile.DIRECTORY, directory(contents));
        Map<Integer, byte[]> components = new LinkedHashMap<>();
        contents.forEach((tag, content) -> components.put(tag,
                Tlv.join(bytes(tag), words(content.length), content)));
        return components;
    }

    /** What is loaded: all but Descriptor. */
    static byte[] loaded(Map<Integer, byte[]> components) {
        return components.entrySet().stream().filter(c -> c.getKey() != CapFile.DESCRIPTOR).map(Map.Entry::getValue)
                .reduce(new byte[0], (a, b) -> Tlv.join(a, b));
    }

    private static byte[] bytes(int... values) {
        byte[] bytes = new byte[values.length];
        for (int i = 0; i < values.length; i++) {
            bytes[i] = (byte) values[i];
        }
        return bytes;
    }

    private static byte[] words(int... values) {
        ByteBuffer words = ByteBuffer.allocate(2 * values.length);
        for (int value : values) {
            words.putShort((short) value);
        }
        return words.array();
    }

    private static byte[] aid(Aid aid) {
        return Tlv.join(bytes(aid.bytes().length), aid.bytes());
    }

    /** 6.4. */
    private static byte[] header() {
        return Tlv.join(words(CapFile.MAGIC >>> 16, CapFile.MAGIC),
                bytes(FORMAT_MINOR, CapFile.FORMAT_MAJOR, CapFile.ACC_APPLET, PACKAGE_MINOR, PACKAGE_MAJOR),
                aid(AppletClasses.PACKAGE));
    }

    /** 6.5: sizes by tag; no static fields; numbers of imports, applets and custom components. */
    private static byte[] directory(Map<Integer, byte[]> contents) {
        int[] sizes = new int[CapFile.DESCRIPTOR];
        contents.forEach((tag, content) -> sizes[tag - 1] = content.length);
        byte[] rest = Tlv.join(words(0, 0, 0), bytes(IMPORTS.length, 1, 0));
        sizes[CapFile.DIRECTORY - 1] = 2 * sizes.length + rest.length;
        return Tlv.join(words(sizes), rest);
    }

    /** 6.6. */
    private static byte[] imports() {
        byte[] all = bytes(IMPORTS.length);
        for (CapFile.Import used : IMPORTS) {
            all = Tlv.join(all, bytes(used.minor(), used.major()), aid(used.aid()));
        }
        return all;
    }

    /** 6.7. */
    private static byte[] applet() {
        return Tlv.join(bytes(1), aid(AppletClasses.APPLET), words(INSTALL_AT));
    }

    /** 6.8: one class that extends Applet, without fields, references and methods of its own. */
    private static byte[] classes() {
        return Tlv.join(bytes(0), words(APPLET_CLASS), bytes(0, 0xFF, 0, 0, 0, 0, 0));
    }

    /** 6.9: no handlers; a method with a stack of 1 and 3 arguments, whose code returns before it comes to the proof. */
    static byte[] method(byte[] proof) {
        return Tlv.join(bytes(0, 0x01, 0x30, OPCODE_RETURN), new byte[FILLER], proof);
    }

    /** 6.7.1: the class that is extended. */
    private static byte[] constantPool() {
        return Tlv.join(words(1), bytes(1), words(APPLET_CLASS), bytes(0));
    }

    /** 6.13: the class with its install method, and that method's type: (byte array, short, byte), no result. */
    private static byte[] descriptor(int codeLength) {
        byte[] install = Tlv.join(bytes(0, ACC_PUBLIC | ACC_STATIC), words(INSTALL_AT, 4, codeLength, 0, 0));
        byte[] appletClass = Tlv.join(bytes(0, ACC_PUBLIC), words(0), bytes(0), words(0, 1), install);
        byte[] types = Tlv.join(words(1, 0xFFFF), bytes(4, 0xB4, 0x31));
        return Tlv.join(bytes(1), appletClass, types);
    }

    /** Stored, with fixed times. */
    static void writeZip(OutputStream out, Map<Integer, byte[]> components) throws IOException {
        try (ZipOutputStream zip = new ZipOutputStream(out)) {
            for (Map.Entry<Integer, byte[]> component : components.entrySet()) {
                byte[] bytes = component.getValue();
                CRC32 crc = new CRC32();
                crc.update(bytes);
                ZipEntry entry = new ZipEntry(FOLDER + NAMES.get(component.getKey()) + ".cap");
                entry.setMethod(ZipEntry.STORED);
                entry.setSize(bytes.length);
                entry.setCrc(crc.getValue());
                entry.setTimeLocal(LocalDateTime.of(1980, 1, 2, 0, 0));
                zip.putNextEntry(entry);
                zip.write(bytes);
            }
        }
    }
}
