package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.licel.jcardsim.base.Simulator;
import com.licel.jcardsim.base.SimulatorRuntime;
import java.util.Arrays;
import javacard.framework.ISOException;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.simsync.bridge.fault.FaultyCard;

/** What the platform hands over at installation: fields in a part of an array. */
class InstallTest {
    private static final byte[] DATA =
            Host.join(Host.lv(FaultyCard.AID), Host.lv(new byte[1]), Host.lv(TestCard.TRANSPORT));

    @BeforeEach
    void giveThisThreadARuntime() {
        new Simulator(new SimulatorRuntime());
    }

    private static void assertRefused(byte[] array, int offset, int length) {
        ISOException refusal = assertThrows(ISOException.class,
                () -> SimsyncApplet.install(array, (short) offset, (byte) length), "installed with " + length + " bytes");
        assertEquals(0x6A80, refusal.getReason());
    }

    /** The platform's array goes on behind the data, as its APDU buffer does: with what another command left there. */
    @Test
    void f_f2_installReadsNotPastItsParameters() {
        for (int offset : new int[] {0, 7}) {
            byte[] array = Host.join(new byte[offset], DATA, Host.filled(40, 0x10));
            for (int length = 0; length < DATA.length; length++) {
                assertRefused(array, offset, length);
            }
        }
    }

    @Test
    void f_f2_installTakesNoFieldThatIsLongerThanItsParameters() {
        for (int field : new int[] {0, 1 + FaultyCard.AID.length, 3 + FaultyCard.AID.length}) {
            for (int longer : new int[] {DATA.length, 0x7F, 0x80, 0xFF}) {
                byte[] array = Arrays.copyOf(DATA, 600);
                array[field] = (byte) longer;
                assertRefused(array, 0, DATA.length);
            }
        }
    }

    @Test
    void f_f2_theSecretHasItsLength() {
        for (int length : new int[] {0, 8, 15, 17, 32}) {
            byte[] array = Host.join(Host.lv(FaultyCard.AID), Host.lv(new byte[1]), Host.lv(new byte[length]));
            assertRefused(array, 0, array.length);
        }
    }
}
