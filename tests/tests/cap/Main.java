package com.sun.javacard.converter;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/** Says and writes what it is told to, and ends with 0 as the real converter does. */
public final class Main {
    private Main() {
    }

    public static void main(String[] args) throws IOException {
        System.out.println(System.getenv("CONVERTER_SAYS"));
        if (System.getenv("CONVERTER_WRITES") == null) {
            return;
        }
        Path folder = Path.of(args[List.of(args).indexOf("-d") + 1], "org/simsync/card/javacard");
        Files.createDirectories(folder);
        try (OutputStream out = Files.newOutputStream(folder.resolve("card.cap"));
                ZipOutputStream zip = new ZipOutputStream(out)) {
            String now = "Manifest-Version: 1.0\nJava-Card-CAP-Creation-Time: " + System.nanoTime() + "\n";
            put(zip, "META-INF/MANIFEST.MF", now);
            put(zip, "APPLET-INF/classes/org/simsync/card/SimsyncApplet.class", "a class file");
            put(zip, "org/simsync/card/javacard/Header.cap", "a component");
        }
    }

    private static void put(ZipOutputStream zip, String name, String content) throws IOException {
        zip.putNextEntry(new ZipEntry(name));
        zip.write(content.getBytes());
        zip.closeEntry();
    }
}
