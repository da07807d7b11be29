package org.simsync.bridge.uicc;

import java.io.ByteArrayOutputStream;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;

/**
 * A function from a command APDU to an answer; null is a reset of the card. T=0: answers wait for GET RESPONSE.
 *
 * <p>A SIM speaks class A0 alone, a UICC class 00 and, as those in the field do, A0 as well.
 */
public final class Uicc implements Function<byte[], byte[]> {
    /** T=0, and what SIMs say in their historical bytes. */
    public static final byte[] ATR = HexFormat.of().parseHex("3B9F95801FC78031E073FE211B6408040203829000CF");

    private static final int MF = 0x3F00;
    private static final int EF_ICCID = 0x2FE2;
    private static final int EF_DIR = 0x2F00;
    private static final int DF_GSM = 0x7F20;
    private static final int EF_IMSI = 0x6F07;
    private static final byte[] USIM = HexFormat.of().parseHex("A0000000871002FF49FF0589");
    private static final int TRIES = 3;
    private static final int PIN_LENGTH = 8;

    /** What a card is made of. The PIN is asked for unless it is empty. */
    public record Make(boolean isUicc, String iccid, String imsi, String pin) { }

    private final Make make;
    private final Map<Integer, byte[]> files = new TreeMap<>();
    private int tries = TRIES;

    // Transient.
    private boolean verified;
    private boolean inApplication;
    private int selected;
    private byte[] waiting = {};

    public Uicc(Make make) {
        this.make = make;
        files.put(EF_ICCID, swapped(make.iccid(), 10));
        byte[] imsi = swapped((make.imsi().length() % 2 == 1 ? "9" : "1") + make.imsi(), 8);
        files.put(EF_IMSI, join(new byte[] {(byte) (make.imsi().length() / 2 + 1)}, imsi));
        files.put(EF_DIR, join(object(0x61, join(object(0x4F, USIM), object(0x50, new byte[] {'U', 'S', 'I', 'M'})))));
        reset();
    }

    private void reset() {
        verified = make.pin().isEmpty();
        inApplication = false;
        selected = MF;
        waiting = new byte[0];
    }

    @Override
    public byte[] apply(byte[] command) {
        if (command == null) {
            reset();
            return new byte[0];
        }
        if (command.length < 4) {
            return status(0x6700);
        }
        byte[] held = waiting;
        waiting = new byte[0];
        int p3 = command.length > 4 ? command[4] & 0xFF : 0;
        byte[] data = command.length > 5 ? Arrays.copyOfRange(command, 5, Math.min(5 + p3, command.length)) : new byte[0];
        int p1 = command[2] & 0xFF;
        int p2 = command[3] & 0xFF;
        boolean old = command[0] == (byte) 0xA0;
        if (!old && !(command[0] == 0 && make.isUicc())) {
            return status(0x6E00);
        }
        return switch (command[1] & 0xFF) {
            case 0xA4 -> old ? selectOld(data) : select(p1, data);
            case 0xC0 -> part(held, p3);
            case 0xB0 -> read(old, p3);
            case 0xB2 -> record(p1, p3);
            case 0x20 -> verify(old, p2, data);
            default -> status(0x6D00);
        };
    }

    // Class 00.

    private byte[] select(int p1, byte[] data) {
        if (p1 == 0x04) {
            if (!Arrays.equals(data, USIM)) {
                return status(0x6A82);
            }
            inApplication = true;
            selected = DF_GSM;
        } else if (!enter(data, inApplication)) {
            return status(0x6A82);
        }
        boolean isFile = files.containsKey(selected);
        byte[] pin = object(0xC6, join(object(0x90, new byte[] {(byte) (make.pin().isEmpty() ? 0 : 0x80)}),
                object(0x83, new byte[] {1})));
        byte[] id = object(0x83, new byte[] {(byte) (selected >> 8), (byte) selected});
        byte[] size = isFile ? object(0x80, new byte[] {0, (byte) files.get(selected).length}) : new byte[0];
        byte[] kind = object(0x82, new byte[] {(byte) (isFile ? 0x41 : 0x78), 0x21});
        return hold(object(0x62, join(kind, id, size, isFile ? new byte[0] : pin)), 0x61);
    }

    private byte[] record(int number, int length) {
        byte[] file = files.get(selected);
        if (selected != EF_DIR || number != 1) {
            return status(selected == EF_DIR ? 0x6A83 : 0x6981);
        }
        return length == file.length ? join(file, status(0x9000)) : status(0x6C00 | file.length);
    }

    // Class A0.

    private byte[] selectOld(byte[] data) {
        if (!enter(data, true)) {
            return status(0x9404);
        }
        byte[] answer = new byte[files.containsKey(selected) ? 15 : 22];
        answer[4] = (byte) (selected >> 8);
        answer[5] = (byte) selected;
        if (!files.containsKey(selected)) {
            answer[13] = (byte) (make.pin().isEmpty() ? 0x80 : 0);
            answer[18] = (byte) (0x80 | tries);
        }
        return hold(answer, 0x9F);
    }

    // Both.

    /** Selects by file ID; the IMSI is below its directory. */
    private boolean enter(byte[] data, boolean isBelow) {
        if (data.length != 2) {
            return false;
        }
        int id = (data[0] & 0xFF) << 8 | data[1] & 0xFF;
        boolean isThere = switch (id) {
            case MF, EF_ICCID -> true;
            case DF_GSM -> true;
            case EF_DIR -> make.isUicc();
            case EF_IMSI -> isBelow && (selected == DF_GSM || inApplication);
            default -> false;
        };
        if (isThere) {
            inApplication = inApplication && id != MF;
            selected = id;
        }
        return isThere;
    }

    private byte[] read(boolean old, int length) {
        byte[] file = files.get(selected);
        if (file == null) {
            return status(old ? 0x9400 : 0x6986);
        }
        if (selected == EF_IMSI && !verified) {
            return status(old ? 0x9804 : 0x6982);
        }
        if (length == 0 || length > file.length) {
            return status((old ? 0x6700 : 0x6C00) | (old ? 0 : file.length));
        }
        return join(Arrays.copyOf(file, length), status(0x9000));
    }

    private byte[] verify(boolean old, int reference, byte[] pin) {
        if (reference != 1) {
            return status(old ? 0x9802 : 0x6A88);
        }
        if (!old && pin.length == 0) {
            return status(tries == 0 ? 0x6983 : 0x63C0 | tries);
        }
        if (tries == 0) {
            return status(old ? 0x9840 : 0x6983);
        }
        byte[] right = Arrays.copyOf(make.pin().getBytes(java.nio.charset.StandardCharsets.US_ASCII), PIN_LENGTH);
        Arrays.fill(right, make.pin().length(), PIN_LENGTH, (byte) 0xFF);
        verified = Arrays.equals(pin, right);
        tries = verified ? TRIES : tries - 1;
        if (verified) {
            return status(0x9000);
        }
        return old ? status(tries == 0 ? 0x9840 : 0x9804) : status(tries == 0 ? 0x6983 : 0x63C0 | tries);
    }

    /** Keeps an answer for GET RESPONSE and says how long it is. */
    private byte[] hold(byte[] answer, int sw1) {
        waiting = answer;
        return status(sw1 << 8 | answer.length);
    }

    private byte[] part(byte[] held, int length) {
        if (held.length == 0) {
            return status(0x6985);
        }
        if (length != held.length) {
            waiting = held;
            return status(0x6C00 | held.length);
        }
        return join(held, status(0x9000));
    }

    private static byte[] status(int sw) {
        return new byte[] {(byte) (sw >> 8), (byte) sw};
    }

    private static byte[] object(int tag, byte[] value) {
        return join(new byte[] {(byte) tag, (byte) value.length}, value);
    }

    private static byte[] join(byte[]... parts) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            all.writeBytes(part);
        }
        return all.toByteArray();
    }

    /** Digits in BCD, the first of each two in the lower half, filled with F. */
    private static byte[] swapped(String digits, int length) {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) 0xFF);
        for (int i = 0; i < digits.length(); i++) {
            int digit = digits.charAt(i) - '0';
            int shift = i % 2 == 0 ? 0 : 4;
            bytes[i / 2] = (byte) (bytes[i / 2] & ~(0xF << shift) | digit << shift);
        }
        return bytes;
    }
}
