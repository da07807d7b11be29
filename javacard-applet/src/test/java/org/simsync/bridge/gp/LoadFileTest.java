package org.simsync.bridge.gp;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TimeZone;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import javacard.framework.Applet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.simsync.bridge.BridgeException;
import org.simsync.card.SimsyncApplet;

/** The simulator's load file, and what the card thinks of it and of others. */
class LoadFileTest {
    @TempDir
    Path folder;

    @Test
    void equalBytesEveryTimeAndEverywhere() throws IOException {
        Path one = folder.resolve("deep/one.cap");
        Path other = folder.resolve("other.cap");
        LoadFile.main(new String[] {one.toString()});
        TimeZone here = TimeZone.getDefault();
        try {
            TimeZone.setDefault(TimeZone.getTimeZone("GMT+11"));
            LoadFile.main(new String[] {other.toString()});
        } finally {
            TimeZone.setDefault(here);
        }
        assertArrayEquals(Files.readAllBytes(one), Files.readAllBytes(other));
    }

    @Test
    void theFileHoldsTheComponentsByName() throws IOException {
        Path file = folder.resolve("a.cap");
        LoadFile.main(new String[] {file.toString()});
        List<String> names = new ArrayList<>();
        List<byte[]> contents = new ArrayList<>();
        try (ZipFile zip = new ZipFile(file.toFile())) {
            for (ZipEntry entry : zip.stream().toList()) {
                names.add(entry.getName());
                contents.add(zip.getInputStream(entry).readAllBytes());
            }
        }
        assertEquals(Stream.of("Header", "Directory", "Import", "Applet", "Class", "Method", "StaticField", "ConstantPool",
                "RefLocation", "Descriptor").map(n -> "org/simsync/card/javacard/" + n + ".cap").toList(), names);
        List<byte[]> expected = List.copyOf(Host.components().values());
        for (int i = 0; i < expected.size(); i++) {
            assertArrayEquals(expected.get(i), contents.get(i), names.get(i));
        }
    }

    /** JCVM 3.0.4: 6.4 Header, 6.5 Directory, 6.6 Import, 6.7 Applet. */
    @Test
    void theComponentsSayWhatTheyMust() {
        Map<Integer, byte[]> components = Host.components();
        assertEquals("010012DECAFFED010204010108F053494D53594E43", Host.text(components.get(CapFile.HEADER)));
        assertEquals("04001F03050107A0000000620101050107A0000000620102000107A0000000620001",
                Host.text(components.get(CapFile.IMPORT)));
        assertEquals("03000D0109F053494D53594E43010001", Host.text(components.get(CapFile.APPLET)));
        String sizes = "";
        for (int tag = 1; tag <= 11; tag++) {
            byte[] component = components.get(tag);
            if (component != null) {
                assertEquals(tag, component[0]);
                assertEquals(component.length - 3, (component[1] & 0xFF) << 8 | component[2] & 0xFF);
            }
            sizes += String.format("%04X", component == null ? 0 : component.length - 3);
        }
        assertEquals("02001F" + sizes + "000000000000" + "03" + "01" + "00", Host.text(components.get(CapFile.DIRECTORY)));
    }

    @Test
    void theProofIsOverTheClassFiles() throws IOException, GeneralSecurityException {
        String method = new String(Host.components().get(CapFile.METHOD), StandardCharsets.ISO_8859_1);
        assertTrue(method.contains("simsync simulator's load file"));
        Path classes = Path.of(SimsyncApplet.class.getProtectionDomain().getCodeSource().getLocation().getPath(),
                "org/simsync/card");
        MessageDigest sha = MessageDigest.getInstance("SHA-256");
        try (Stream<Path> files = Files.list(classes)) {
            for (Path file : files.sorted().toList()) {
                sha.update((file.getFileName() + "\0" + Files.size(file) + "\0").getBytes(StandardCharsets.UTF_8));
                sha.update(Files.readAllBytes(file));
            }
        }
        assertTrue(method.endsWith(new String(sha.digest(), StandardCharsets.ISO_8859_1)));
    }

    @Test
    void everyLoadHasStaticFieldsOfItsOwn() {
        Class<? extends Applet> one = AppletClasses.load();
        Class<? extends Applet> other = AppletClasses.load();
        assertNotSame(one, other);
        assertNotSame(SimsyncApplet.class, one);
        assertSame(Applet.class, one.getSuperclass(), "the platform is the card's");
    }

    private static int statusOf(byte[] loaded) throws BridgeException {
        Host host = new Host().open(3);
        assertEquals(0x9000, host.announce(Host.PACKAGE));
        return host.load(loaded, 230);
    }

    @Test
    void aFileOfOtherClassesIsRefused() throws BridgeException {
        byte[] proof = AppletClasses.proof();
        proof[proof.length - 1] ^= 1;
        assertEquals(0x6A80, statusOf(LoadFile.loaded(LoadFile.components(proof))));
    }

    /** As a converter makes it, an applet's file has code where this one has its proof. */
    @Test
    void aFileForRealCardsIsRefused() throws BridgeException {
        Map<Integer, byte[]> components = LoadFile.components(Host.hex("7A".repeat(61)));
        assertEquals(0x6A80, statusOf(LoadFile.loaded(components)));
        assertEquals(0x9000, statusOf(Host.loadFile()), "while this one is taken");
    }

    /**
     * Header, Directory, Applet and Method are looked into, byte by byte, but for the package's version, the size of
     * Descriptor, which is not loaded, that of initialised arrays, and where in Method install begins; of Method's filler a
     * part is tried.
     */
    @Test
    void damagedFilesAreRefused() throws Refusal {
        byte[] method = LoadFile.method(AppletClasses.proof());
        for (int tag : new int[] {CapFile.HEADER, CapFile.DIRECTORY, CapFile.APPLET, CapFile.METHOD}) {
            int length = Host.components().get(tag).length;
            for (int at = 0; at < length; at = at == 100 ? length - 100 : at + 1) {
                boolean version = tag == CapFile.HEADER && (at == 10 || at == 11);
                boolean notLoaded = tag == CapFile.DIRECTORY && (at == 23 || at == 24);
                boolean arrays = tag == CapFile.DIRECTORY && (at == 29 || at == 30);
                boolean install = tag == CapFile.APPLET && at >= 14;
                if (version || notLoaded || arrays || install) {
                    continue;
                }
                Map<Integer, byte[]> components = Host.components();
                components.get(tag)[at] ^= 0x10;
                assertFalse(isOurs(LoadFile.loaded(components), method), "component " + tag + ", byte " + at);
            }
        }
        assertTrue(isOurs(Host.loadFile(), method));
    }

    private static boolean isOurs(byte[] loaded, byte[] method) {
        try {
            CapFile cap = CapFile.parse(loaded);
            return cap.packageAid().equals(AppletClasses.PACKAGE) && cap.applet().equals(AppletClasses.APPLET)
                    && cap.hasMethod(method);
        } catch (Refusal refused) {
            assertEquals(Sw.WRONG_DATA, refused.status());
            return false;
        }
    }

    @Test
    void truncatedAndLengthenedFilesAreRefused() {
        byte[] good = Host.loadFile();
        for (int length = 0; length < good.length; length = length == 200 ? good.length - 200 : length + 1) {
            byte[] cut = Arrays.copyOf(good, length);
            assertEquals(Sw.WRONG_DATA, assertThrows(Refusal.class, () -> CapFile.parse(cut), "cut").status());
        }
        byte[] longer = Arrays.copyOf(good, good.length + 1);
        assertThrows(Refusal.class, () -> CapFile.parse(longer));
    }

    @Test
    void componentsInAnotherOrderAreRefused() {
        List<byte[]> parts = new ArrayList<>(Host.components().values());
        parts.remove(parts.size() - 1);
        for (int i = 0; i + 1 < parts.size(); i++) {
            List<byte[]> swapped = new ArrayList<>(parts);
            swapped.add(i, swapped.remove(i + 1));
            assertThrows(Refusal.class, () -> CapFile.parse(Tlv.join(swapped.toArray(new byte[0][]))), "swapped");
            List<byte[]> missing = new ArrayList<>(parts);
            missing.remove(i);
            assertThrows(Refusal.class, () -> CapFile.parse(Tlv.join(missing.toArray(new byte[0][]))), "missing");
        }
    }

    @Test
    void importsAreHeldAgainstTheCard() {
        JavaCardVersion card = JavaCardVersion.of("3.0.4");
        assertTrue(card.has(new CapFile.Import(JavaCardVersion.FRAMEWORK, 1, 5)));
        assertTrue(card.has(new CapFile.Import(JavaCardVersion.CRYPTO, 1, 0)));
        assertFalse(card.has(new CapFile.Import(JavaCardVersion.SECURITY, 1, 6)));
        assertFalse(card.has(new CapFile.Import(JavaCardVersion.FRAMEWORK, 2, 0)));
        assertFalse(card.has(new CapFile.Import(JavaCardVersion.LANG, 1, 1)));
        assertFalse(card.has(new CapFile.Import(Aid.of("A000000099"), 1, 0)), "nobody has it");
    }
}
