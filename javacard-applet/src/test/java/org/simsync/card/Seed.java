package org.simsync.card;

/** Seeds of random tests: fresh ones by default, a given one with -Dsimsync.seed=N. */
final class Seed {
    private Seed() {
    }

    static long next() {
        long seed = Long.getLong("simsync.seed", System.nanoTime());
        System.out.println("seed " + seed);
        return seed;
    }

    /** For the message of an assertion: the output of a test may not be at hand when it fails. */
    static String hint(long seed) {
        return " (repeat with -Dsimsync.seed=" + seed + ")";
    }
}
