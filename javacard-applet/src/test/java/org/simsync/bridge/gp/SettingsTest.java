package org.simsync.bridge.gp;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.simsync.bridge.BridgeException;

class SettingsTest {
    @ParameterizedTest
    @CsvSource({
        "scp, scp is no setting; there are scp=",
        "colour=blue, colour=blue is no setting",
        "scp=03 scp=02, scp is given twice",
        "scp=01, scp is a hexadecimal number from 2 to 3",
        "scp=x, scp is a hexadecimal number",
        "i=55, SCP03 is simulated with i=70",
        "i=01, SCP03 is simulated with i=70",
        "scp=02 i=70, SCP02 is simulated with i=15",
        "kvn=0, kvn is a hexadecimal number from 1 to FF",
        "kvn=100, kvn is a hexadecimal number from 1 to FF",
        "enc=00, enc is a key of 16",
        "enc=zz, enc is bytes in hex",
        "scp=02 mac=000000000000000000000000000000000000000000000000, mac is a key of 16 bytes",
        "dek=000000000000000000000000000000000000000000000000, 'enc, mac and dek must be of one length'",
        "kdd=00, kdd is 10 bytes",
        "memory=-1, memory is a number from 0",
        "memory=99999999999, memory is a number from 0",
        "state=NEW, state is OP_READY",
        "tries=0, tries is a number from 1 to 255",
        "api=9, api is 2.1.1"})
    void whatCannotBeReadGetsASentence(String settings, String sentence) {
        BridgeException refused = assertThrows(BridgeException.class, () -> Settings.parse(settings.split(" ")));
        assertTrue(refused.getMessage().startsWith(sentence), refused.getMessage());
    }

    @Test
    void allOfThemTakeEffect() throws BridgeException {
        String aes256 = "11".repeat(32);
        Host host = new Host("scp=03", "i=30", "kvn=41", "enc=" + aes256, "mac=" + "22".repeat(32), "dek=" + "33".repeat(32),
                "kdd=000102030405060708" + "09", "memory=70000", "state=INITIALIZED", "tries=3", "api=3.0.5");
        byte[] answer = host.initializeUpdate(0, Host.hex(aes256), Host.hex("22".repeat(32)), Host.hex("33".repeat(32)));
        assertEquals("00010203040506070809410330", Host.text(answer).substring(0, 26));
        assertEquals(0x9000, host.authenticate(0x13));
        assertEquals("07", Host.text(host.secured(0xF2, 0x80, 0, Host.hex("4F00"))).substring(18, 20));
        assertEquals("820400011170", Host.text(host.ok("80CAFF2100")).substring(14, 26));
        assertEquals("CE020106", Host.text(host.secured(0xF2, 0x20, 2, Host.hex("4F07A0000000620101"))).substring(30, 38));
    }
}
