package org.simsync.bridge.gp;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.util.Arrays;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.simsync.bridge.BridgeException;

/** From blank to an applet at work, and back. */
class LifeTest {
    /** Personalisation data as docs/card.md has it: secret, subscriber, label, server, pin of its CA, PIN, PUK, options. */
    private static String personalise() {
        return "80100000" + Host.lv(Host.text(Host.SECRET) + "0173" + "00" + "0161" + "00".repeat(32) + "31".repeat(8)
                + "32".repeat(8) + "00") + "00";
    }

    private static String generateKeys() {
        return "80120000" + Host.lv(Host.text(Host.SECRET) + "00".repeat(32)) + "00";
    }

    @ParameterizedTest
    @CsvSource({"scp=03,01", "scp=03,03", "scp=03,13", "scp=03,33", "i=10,03", "scp=02,03", "i=55 scp=02,03", "scp=02,00"})
    void blankToWorkAndBack(String settings, String level) throws BridgeException {
        Host host = new Host(settings.split(" "));
        int protection = Integer.parseInt(level, 16);
        assertEquals(0x6A82, Host.sw(host.select(Host.APPLET)), "blank");
        assertEquals(0x9000, host.swOf("00A4040000"));
        host.open(protection).installAll();

        byte[] selected = host.select(Host.APPLET);
        assertEquals(38 + 2, selected.length);
        assertEquals(1, selected[2], "installed");
        byte[] cardId = host.ok(personalise());
        assertEquals(16, cardId.length);
        byte[] keys = Arrays.copyOf(host.ok(generateKeys()), 130);
        host.card.apply(null);
        assertEquals(3, host.select(Host.APPLET)[2], "personalised; and it outlives power");

        host.ok("00A4040000");
        host.open(protection);
        assertEquals(0x6985, host.securedSw(0xE4, 0, 0, "4F" + Host.lv(Host.PACKAGE)), "there is an instance");
        assertEquals(0x9000, host.securedSw(0xE4, 0, 0, "4F" + Host.lv(Host.APPLET)));
        assertEquals(0x6A82, Host.sw(host.select(Host.APPLET)), "deleted");

        host.ok("00A4040000");
        host.open(protection);
        assertEquals(0x9000, host.install(0x0C, Host.secretParameter()), "from the load file that is still there");
        assertEquals(1, host.select(Host.APPLET)[2], "installed, as new");
        assertFalse(Arrays.equals(cardId, host.ok(personalise())), "another card");
        assertFalse(Arrays.equals(keys, Arrays.copyOf(host.ok(generateKeys()), 130)), "with other keys");

        host.ok("00A4040000");
        host.open(protection);
        assertEquals(0x9000, host.securedSw(0xE4, 0, 0x80, "4F" + Host.lv(Host.PACKAGE)));
        assertEquals(0x6A82, Host.sw(host.select(Host.APPLET)), "deleted with its package");
        host.ok("00A4040000");
        host.open(protection).installAll();
        assertNotEquals(0x6A82, Host.sw(host.select(Host.APPLET)), "and again from the start");
    }
}
