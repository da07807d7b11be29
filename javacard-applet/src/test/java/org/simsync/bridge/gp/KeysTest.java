package org.simsync.bridge.gp;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.simsync.bridge.BridgeException;

/** PUT KEY and key sets; each refusal. */
class KeysTest {
    private static byte[] key(int seed, int length) {
        byte[] key = new byte[length];
        for (int i = 0; i < length; i++) {
            key[i] = (byte) (seed + 7 * i);
        }
        return key;
    }

    /** A key, encrypted, with its type and check value. */
    private static byte[] wrapped(Host host, int type, byte[] key) {
        byte[] block = host.session.encryptKey(key);
        byte[] check = KeySet.checkValue(type, key);
        return Tlv.join(new byte[] {(byte) type, (byte) block.length}, block, new byte[] {(byte) check.length}, check);
    }

    private static byte[] data(Host host, int version, int type, int length) {
        return Tlv.join(new byte[] {(byte) version}, wrapped(host, type, key(1, length)), wrapped(host, type, key(2, length)),
                wrapped(host, type, key(3, length)));
    }

    private static int type(String scp) {
        return scp.equals("scp=02") ? KeySet.TYPE_DES : KeySet.TYPE_AES;
    }

    @ParameterizedTest
    @CsvSource({"scp=03,16", "scp=03,24", "scp=03,32", "scp=02,16"})
    void factoryKeysAreReplaced(String scp, int length) throws BridgeException {
        Host host = new Host(scp).open(3);
        int type = type(scp);
        byte[] answer = host.secured(0xD8, 0, 0x81, data(host, 0x0B, type, length));
        assertEquals("0B" + Host.text(KeySet.checkValue(type, key(1, length))) + Host.text(KeySet.checkValue(type, key(2, length)))
                + Host.text(KeySet.checkValue(type, key(3, length))) + "9000", Host.text(answer));
        host.card.apply(null);
        assertEquals(0x6A88, host.swOf("8050FF0008" + "00".repeat(8)), "the old ones are gone");
        host.initializeUpdate(0, Host.TEST_KEY, Host.TEST_KEY, Host.TEST_KEY);
        assertEquals(0x6300, host.authenticate(3));
        assertEquals(0x9000, Host.sw(host.initializeUpdate(0x0B, key(1, length), key(2, length), key(3, length))));
        assertEquals(0x9000, host.authenticate(3));
        assertEquals("E012C0040" + String.format("10B%02X%02X", type, length), Host.text(host.ok("80CA00E000")).substring(0, 16));
        assertEquals(0x9000, Host.sw(host.secured(0xD8, 0x0B, 0x81, data(host, 0x0C, type, length))), "with the new DEK");
    }

    @Test
    void setsAreAddedAndReplaced() throws BridgeException {
        Host host = new Host("kvn=30").open(3);
        int aes = KeySet.TYPE_AES;
        assertEquals(0x9000, Host.sw(host.secured(0xD8, 0, 0x81, data(host, 1, aes, 16))));
        assertEquals(0x9000, Host.sw(host.secured(0xD8, 0, 0x81, data(host, 2, aes, 16))));
        assertEquals(0x6A84, Host.sw(host.secured(0xD8, 0, 0x81, data(host, 3, aes, 16))), "three at most");
        assertEquals(0x6A80, Host.sw(host.secured(0xD8, 0, 0x81, data(host, 2, aes, 16))), "the version is taken");
        assertEquals(0x6A80, Host.sw(host.secured(0xD8, 1, 0x81, data(host, 2, aes, 16))));
        assertEquals(0x9000, Host.sw(host.secured(0xD8, 1, 0x81, data(host, 1, aes, 16))), "the same anew");
        assertEquals(0x6A88, Host.sw(host.secured(0xD8, 9, 0x81, data(host, 1, aes, 16))), "there is no 9");
        for (int version : new int[] {0x30, 1, 2}) {
            assertEquals(0x9000, host.swOf(String.format("8050%02X0008", version) + "00".repeat(8)));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"scp=03", "scp=02"})
    void refusals(String scp) throws BridgeException {
        Host host = new Host(scp).open(3);
        int type = type(scp);
        byte[] good = data(host, 1, type, 16);
        assertEquals(0x6A86, Host.sw(host.secured(0xD8, 0, 0x01, good)), "one key alone");
        byte[] check = good.clone();
        check[check.length - 1] ^= 1;
        assertEquals(0x6982, Host.sw(host.secured(0xD8, 0, 0x81, check)));
        byte[] other = good.clone();
        other[1] ^= 0x08;
        assertEquals(0x6A80, Host.sw(host.secured(0xD8, 0, 0x81, other)));
        assertEquals(0x6A80, Host.sw(host.secured(0xD8, 0, 0x81, java.util.Arrays.copyOf(good, good.length - 1))));
        assertEquals(0x6A80, Host.sw(host.secured(0xD8, 0, 0x81, java.util.Arrays.copyOf(good, good.length + 1))));
        assertEquals(0x6A80, Host.sw(host.secured(0xD8, 0, 0x81, new byte[0])));
        byte[] version = good.clone();
        version[0] = 0;
        assertEquals(0x6A80, Host.sw(host.secured(0xD8, 0, 0x81, version)));
        version[0] = (byte) 0x80;
        assertEquals(0x6A80, Host.sw(host.secured(0xD8, 0, 0x81, version)));
        byte[] length = good.clone();
        length[3] = (byte) (scp.equals("scp=03") ? 15 : length[3]);
        length[2] -= (byte) (scp.equals("scp=02") ? 8 : 0);
        assertEquals(0x6A80, Host.sw(host.secured(0xD8, 0, 0x81, length)));
        host.card.apply(null);
        host.open(3);
    }

    /** GPCS 2.3.1; 9484 and 9485 are words of versions before. */
    @ParameterizedTest
    @ValueSource(strings = {"scp=03", "scp=02"})
    void f_f4_aWrongCheckValueIsASecurityMatterAndAnotherTypeWrongData(String scp) throws BridgeException {
        Host host = new Host(scp).open(3);
        byte[] good = data(host, 1, type(scp), 16);
        for (int at : new int[] {good.length - 1, good.length - 3}) {
            byte[] check = good.clone();
            check[at] ^= 1;
            assertEquals(0x6982, Host.sw(host.secured(0xD8, 0, 0x81, check)));
        }
        for (int other : new int[] {0x80, 0x81, 0x82, 0x88, 0xA1}) {
            byte[] typed = good.clone();
            typed[1] = (byte) other;
            if (other != type(scp)) {
                assertEquals(0x6A80, Host.sw(host.secured(0xD8, 0, 0x81, typed)));
            }
        }
        assertEquals(0x9000, Host.sw(host.secured(0xD8, 0, 0x81, good)), "none of these ended the session, or put a key");
    }

    @ParameterizedTest
    @CsvSource({"16,24", "16,32", "32,16", "24,32"})
    void f_f4_keysAreNotReplacedByKeysOfAnotherLength(int before, int after) throws BridgeException {
        Host host = new Host().open(3);
        int aes = KeySet.TYPE_AES;
        assertEquals(0x9000, Host.sw(host.secured(0xD8, 0, 0x81, data(host, 1, aes, before))));
        assertEquals(0x6A80, Host.sw(host.secured(0xD8, 1, 0x81, data(host, 1, aes, after))));
        assertEquals(0x6A80, Host.sw(host.secured(0xD8, 1, 0x81, data(host, 2, aes, after))));
        assertEquals(0x9000, Host.sw(host.secured(0xD8, 0, 0x81, data(host, 2, aes, after))), "beside them they can be");
    }

    @Test
    void keysOfOneLength() throws BridgeException {
        Host host = new Host().open(3);
        int aes = KeySet.TYPE_AES;
        byte[] mixed = Tlv.join(new byte[] {1}, wrapped(host, aes, key(1, 16)), wrapped(host, aes, key(2, 32)),
                wrapped(host, aes, key(3, 16)));
        assertEquals(0x6A80, Host.sw(host.secured(0xD8, 0, 0x81, mixed)));
    }
}
