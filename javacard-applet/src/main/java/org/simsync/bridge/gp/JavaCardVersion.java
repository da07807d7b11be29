package org.simsync.bridge.gp;

import java.util.Map;

/** A version of the Java Card API: its packages, in the versions that its export files have. */
record JavaCardVersion(String name, int minor) {
    static final Aid LANG = Aid.of("A0000000620001");
    static final Aid FRAMEWORK = Aid.of("A0000000620101");
    static final Aid SECURITY = Aid.of("A0000000620102");
    static final Aid CRYPTO = Aid.of("A0000000620201");

    /** Minor version of javacard.framework and its kin; the major one is 1 in all of them. */
    private static final Map<String, Integer> MINORS =
            Map.of("2.1.1", 0, "2.2.1", 2, "2.2.2", 3, "3.0.1", 4, "3.0.4", 5, "3.0.5", 6, "3.1.0", 8);

    /** Null if there is no such version. */
    static JavaCardVersion of(String name) {
        Integer minor = MINORS.get(name);
        return minor == null ? null : new JavaCardVersion(name, minor);
    }

    /** Whether a package that imports this one can be linked; false too if there is no such package. */
    boolean has(CapFile.Import wanted) {
        if (wanted.aid().equals(LANG)) {
            return wanted.major() == 1 && wanted.minor() == 0;
        }
        boolean own = wanted.aid().equals(FRAMEWORK) || wanted.aid().equals(SECURITY) || wanted.aid().equals(CRYPTO);
        return own && wanted.major() == 1 && wanted.minor() <= minor;
    }
}
