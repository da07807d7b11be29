package org.simsync.bridge;

import java.io.File;
import java.net.MalformedURLException;
import java.net.URL;

/** What this process runs from, for class loaders of its own. */
public final class ClassPath {
    private ClassPath() {
    }

    /** Its entries, in order. */
    public static URL[] urls() {
        String[] entries = System.getProperty("java.class.path").split(File.pathSeparator);
        URL[] urls = new URL[entries.length];
        for (int i = 0; i < entries.length; i++) {
            try {
                urls[i] = new File(entries[i]).toURI().toURL();
            } catch (MalformedURLException e) {
                throw new IllegalStateException("the class path has an entry that is no file: " + entries[i], e);
            }
        }
        return urls;
    }
}
