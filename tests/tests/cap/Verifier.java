package com.sun.javacard.offcardverifier;

/** Says what it is told to, and ends with 0 as the real verifier does. */
public final class Verifier {
    private Verifier() {
    }

    public static void main(String[] args) {
        System.out.println(System.getenv("VERIFIER_SAYS"));
    }
}
