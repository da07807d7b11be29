package org.simsync.bridge.gp;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.List;
import java.util.stream.Stream;
import javacard.framework.Applet;
import org.simsync.bridge.ClassPath;
import org.simsync.card.SimsyncApplet;

/** The applet's class files: what a load file must prove to stand for, since a simulator cannot run card code. */
final class AppletClasses {
    static final Aid PACKAGE = Aid.of("F053494D53594E43");
    static final Aid APPLET = Aid.of("F053494D53594E4301");

    private static final String FOLDER = "org/simsync/card";
    private static final String PREFIX = "org.simsync.card.";

    private AppletClasses() {
    }

    /** The mark in front of the hash; it says to whoever looks into the file what it is. */
    static byte[] mark() {
        return "simsync simulator's load file".getBytes(StandardCharsets.US_ASCII);
    }

    /** Mark, and SHA-256 over each class file in order of name: its name and size, each with a zero byte, and itself. */
    static byte[] proof() {
        URL from = SimsyncApplet.class.getProtectionDomain().getCodeSource().getLocation();
        try {
            Path place = Path.of(from.toURI());
            if (Files.isDirectory(place)) {
                return Tlv.join(mark(), digest(place.resolve(FOLDER)));
            }
            try (FileSystem jar = FileSystems.newFileSystem(place)) {
                return Tlv.join(mark(), digest(jar.getPath(FOLDER)));
            }
        } catch (URISyntaxException e) {
            throw new IllegalStateException("the class path has an entry that is no file: " + from, e);
        } catch (IOException e) {
            throw new UncheckedIOException("the applet's class files cannot be read", e);
        }
    }

    private static byte[] digest(Path folder) throws IOException {
        MessageDigest sha = sha256();
        try (Stream<Path> listed = Files.list(folder)) {
            List<Path> files = listed.filter(f -> f.toString().endsWith(".class"))
                    .sorted((a, b) -> name(a).compareTo(name(b))).toList();
            for (Path file : files) {
                byte[] bytes = Files.readAllBytes(file);
                sha.update((name(file) + "\0" + bytes.length + "\0").getBytes(StandardCharsets.UTF_8));
                sha.update(bytes);
            }
        }
        return sha.digest();
    }

    private static String name(Path file) {
        return file.getFileName().toString();
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }

    /** The applet, with static fields as new: they belong to a package, and each load brings a new one. */
    static Class<? extends Applet> load() {
        try {
            return new Loader().loadClass(SimsyncApplet.class.getName()).asSubclass(Applet.class);
        } catch (ClassNotFoundException e) {
            throw new IllegalStateException("the applet is not on the class path", e);
        }
    }

    /** Loads the applet's package itself and all else where the simulator was loaded. */
    private static final class Loader extends URLClassLoader {
        Loader() {
            super(ClassPath.urls(), AppletClasses.class.getClassLoader());
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            if (!name.startsWith(PREFIX)) {
                return super.loadClass(name, resolve);
            }
            synchronized (getClassLoadingLock(name)) {
                Class<?> loaded = findLoadedClass(name);
                return loaded == null ? findClass(name) : loaded;
            }
        }
    }
}
