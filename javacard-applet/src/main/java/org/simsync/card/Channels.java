package org.simsync.card;

/**
 * The class byte (ISO 7816-4, 5.4.1). The runtime leaves the number of the logical channel in it: channels 0 to 3 in the two
 * lowest bits, 4 to 19 in the four lowest and bit 7. What else a class may say, the applet does not do.
 */
final class Channels {
    /** Bit 7: a class of channels 4 to 19. */
    private static final byte FURTHER = (byte) 0x40;
    /** Bit 6 is reserved in classes without bit 7, and says secure messaging in those with it. */
    private static final byte RESERVED = (byte) 0x20;
    private static final byte CHAINED = (byte) 0x10;
    private static final byte SECURED = (byte) 0x0C;
    private static final byte SECURED_FURTHER = (byte) 0x20;
    /** Bit 8 on: the classes of whoever makes the card or the applet. */
    private static final byte OWN = (byte) 0x80;
    private static final byte NO_CLASS = (byte) 0xFF;

    private Channels() {
    }

    /** The class without its channel; chaining and secure messaging stay. */
    static byte basicClass(byte cla) {
        byte kept = isFurther(cla) ? (byte) 0xB0 : (byte) 0xFC;
        return (byte) (cla & kept);
    }

    /** What a class is refused with that is none of ours: 6884 with chaining, 6882 with secure messaging, else 6E00. */
    static short refusal(byte cla) {
        boolean isReserved = !isFurther(cla) && has(cla, RESERVED);
        if (isReserved || cla == NO_CLASS) {
            return Proto.SW_BAD_CLA;
        }
        if (has(cla, CHAINED)) {
            return Proto.SW_NO_CHAINING;
        }
        return has(cla, isFurther(cla) ? SECURED_FURTHER : SECURED) ? Proto.SW_NO_SECURE_MESSAGING : Proto.SW_BAD_CLA;
    }

    private static boolean isFurther(byte cla) {
        return has(cla, FURTHER);
    }

    private static boolean has(byte cla, byte bits) {
        return (byte) (cla & bits) != (byte) 0;
    }
}
