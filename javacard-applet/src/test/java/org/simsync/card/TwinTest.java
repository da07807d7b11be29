package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.licel.jcardsim.base.Simulator;
import com.licel.jcardsim.base.SimulatorRuntime;
import javacard.framework.ISOException;
import javacard.security.MessageDigest;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.simsync.bridge.fault.FaultyNv;
import org.simsync.bridge.fault.PowerCut;

class TwinTest {
    private final FaultyNv nv = new FaultyNv();
    private Ram ram;
    private Twin record;

    @BeforeEach
    void make() {
        // Gives this thread a runtime: transient memory needs one.
        new Simulator(new SimulatorRuntime());
        ram = new Ram((short) 1);
        record = new Twin(nv, ram, MessageDigest.getInstance(MessageDigest.ALG_SHA_256, false), (short) 10, (short) 0);
    }

    private void write(int value) {
        byte[] image = record.edit();
        image[Twin.BODY] = (byte) value;
        record.commit();
    }

    private int read() {
        return record.array()[Twin.BODY];
    }

    private void powerCycle() {
        nv.never();
        ram.newest[0] = 0;
    }

    @Test
    void isNotWrittenAtFirst() {
        assertFalse(record.isWritten());
        assertEquals(0x6581, assertThrows(ISOException.class, record::array).getReason());
        write(1);
        assertTrue(record.isWritten());
    }

    @Test
    void theNewestCopyCountsAfterAnyNumberOfWrites() {
        for (int value = 1; value < 100; value++) {
            write(value);
            assertEquals(value, read());
            powerCycle();
            assertEquals(value, read());
        }
    }

    @Test
    void everyPartialWriteLeavesTheOldValueOrTheNew() {
        write(1);
        for (int tenths = 0; tenths < 10; tenths++) {
            int old = read();
            nv.cutAt(0, tenths);
            assertThrows(PowerCut.class, () -> write(old + 1));
            powerCycle();
            assertEquals(old, read(), tenths + " tenths written");
            write(old + 1);
            assertEquals(old + 1, read());
        }
    }

    @Test
    void aDamagedNewestCopyLeavesTheOneBefore() throws ReflectiveOperationException {
        write(1);
        write(2);
        for (String copy : new String[] {"first", "second"}) {
            byte[] bytes = (byte[]) Records.get(record, copy);
            bytes[bytes.length - 1] ^= 1;
            powerCycle();
            assertEquals(copy.equals("first") ? 2 : 1, read());
            bytes[bytes.length - 1] ^= 1;
        }
        Records.damage(record);
        powerCycle();
        assertFalse(record.isWritten());
    }

    @Test
    void wipeLeavesZerosInBothCopies() throws ReflectiveOperationException {
        write(7);
        write(8);
        record.wipe();
        for (String copy : new String[] {"first", "second"}) {
            assertEquals(0, ((byte[]) Records.get(record, copy))[Twin.BODY]);
        }
        assertTrue(record.isWritten());
    }

    @Test
    void mayHoldSeesBothCopies() {
        write(1);
        write(2);
        assertTrue(record.mayHold(new byte[] {1}, (short) 0, (short) 0, (short) 1));
        assertTrue(record.mayHold(new byte[] {2}, (short) 0, (short) 0, (short) 1));
        assertFalse(record.mayHold(new byte[] {3}, (short) 0, (short) 0, (short) 1));
    }
}
