package org.simsync.bridge.gp;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HexFormat;
import org.simsync.bridge.gp.Registry.Instance;

/** What GET DATA answers (GPCS 11.3), and the template that SELECT answers. */
final class CardData {
    private static final int ISSUER_IDENTIFICATION = 0x42;
    private static final int CARD_IMAGE_NUMBER = 0x45;
    private static final int CARD_DATA = 0x66;
    private static final int SEQUENCE_COUNTER = 0xC1;
    private static final int CONFIRMATION_COUNTER = 0xC2;
    private static final int KEY_INFORMATION = 0xE0;
    private static final int APPLICATION_LIST = 0x2F00;
    private static final int PRODUCTION = 0x9F7F;
    private static final int RESOURCES = 0xFF21;

    private static final int PRODUCTION_LENGTH = 42;
    private static final int SERIAL_AT = 12;
    /** Transient bytes that are said to be free; nothing here counts them. */
    private static final int TRANSIENT = 4_096;
    /** GlobalPlatform's object identifiers (GPCS, table H-1): 1.2.840.114283 and what follows. */
    private static final String RECOGNITION = "06072A864886FC6B01";
    private static final String VERSION_2_3_1 = "060A2A864886FC6B02020301";
    private static final String CARD_IDENTIFICATION = "06072A864886FC6B03";
    private static final String SECURE_CHANNEL = "06092A864886FC6B04";
    private static final String SIMULATOR_ISSUER = "F0534D";

    private final Registry registry;
    private final Keys keys;
    private final Settings settings;
    private final byte[] diversification;

    CardData(Registry registry, Keys keys, Settings settings, byte[] diversification) {
        this.registry = registry;
        this.keys = keys;
        this.settings = settings;
        this.diversification = diversification;
    }

    /** SELECT of the issuer security domain: its name, and the longest data that it takes (GPCS 11.9.3.1). */
    static byte[] selected() {
        byte[] longest = Tlv.of(0x9F65, new byte[] {(byte) 0xFF});
        return Tlv.of(0x6F, Tlv.of(0x84, Registry.DOMAIN.bytes()), Tlv.of(0xA5, longest));
    }

    /**
     * GET DATA: the object to class 80, its value alone to class 00 (GPCS 11.3.3.1); 2F00 is a file's name and no tag, and
     * its content comes bare. 6A88 for what this card does not tell.
     */
    byte[] get(int tag, boolean withTag) throws Refusal {
        byte[] value = switch (tag) {
            case ISSUER_IDENTIFICATION -> hex(SIMULATOR_ISSUER);
            case CARD_IMAGE_NUMBER -> diversification;
            case CARD_DATA -> recognition();
            case SEQUENCE_COUNTER -> settings.sequence(keys.sets().get(0).counter());
            // It counts receipts, and this domain gives none.
            case CONFIRMATION_COUNTER -> new byte[Short.BYTES];
            case KEY_INFORMATION -> keyInformation();
            case APPLICATION_LIST -> applications();
            case PRODUCTION -> production();
            case RESOURCES -> Tlv.join(Tlv.of(0x81, number(registry.instances().size(), Short.BYTES)),
                    Tlv.of(0x82, number(registry.free(), Integer.BYTES)), Tlv.of(0x83, number(TRANSIENT, Short.BYTES)));
            default -> throw new Refusal(Sw.NO_REFERENCED_DATA);
        };
        return withTag && tag != APPLICATION_LIST ? Tlv.of(tag, value) : value;
    }

    private static byte[] hex(String text) {
        return HexFormat.of().parseHex(text);
    }

    private static byte[] number(int value, int length) {
        byte[] four = ByteBuffer.allocate(Integer.BYTES).putInt(value).array();
        return Arrays.copyOfRange(four, Integer.BYTES - length, Integer.BYTES);
    }

    private byte[] recognition() {
        byte[] protocol = {(byte) settings.scp(), (byte) settings.i()};
        return Tlv.of(0x73, hex(RECOGNITION), Tlv.of(0x60, hex(VERSION_2_3_1)), Tlv.of(0x63, hex(CARD_IDENTIFICATION)),
                Tlv.of(0x64, hex(SECURE_CHANNEL), protocol));
    }

    /** One C0 a key: number, version, type, length (GPCS, table 11-28). */
    private byte[] keyInformation() {
        byte[] all = {};
        for (KeySet set : keys.sets()) {
            for (int id = 1; id <= 3; id++) {
                byte[] one = {(byte) id, (byte) set.version(), (byte) set.type(), (byte) set.enc().length};
                all = Tlv.join(all, Tlv.of(0xC0, one));
            }
        }
        return all;
    }

    private byte[] applications() {
        byte[] all = {};
        for (Instance instance : registry.instances()) {
            all = Tlv.join(all, Tlv.of(0x61, Tlv.of(0x4F, instance.aid().bytes())));
        }
        return all;
    }

    /** Production data: all zeros but the serial number, since nobody made this chip. */
    private byte[] production() {
        byte[] data = new byte[PRODUCTION_LENGTH];
        System.arraycopy(diversification, 0, data, SERIAL_AT, Integer.BYTES);
        return data;
    }
}
