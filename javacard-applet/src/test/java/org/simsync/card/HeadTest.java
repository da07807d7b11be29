package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The rules of PUT HEAD, around a stored record of epoch 5, sequence 1,000,000, list 200. */
class HeadTest {
    private static final long EPOCH = 5;
    private static final long SEQUENCE = 1_000_000;
    private static final long LIST = 200;
    private static final int HEAD = 0xAA;
    private static final int LIST_HASH = 0xBB;
    private static final byte[] STORED = Host.head(EPOCH, SEQUENCE, HEAD, LIST, LIST_HASH, 0);

    private Host host;
    private Terminal terminal;
    private Host.Session session;

    @BeforeEach
    void store() {
        host = Host.enrolled();
        terminal = new Terminal();
        host.add(terminal, "");
        session = host.openFresh(terminal);
        host.putHead(session.token(), STORED, 0).ok();
    }

    private void assertTaken(byte[] head) {
        host.putHead(session.token(), head, 0).ok();
        session = host.openFresh(terminal);
        assertArrayEquals(head, session.head());
    }

    private void assertRefused(byte[] head) {
        host.putHead(session.token(), head, 0xFFFF).expect(0x6A80);
        session = host.openFresh(terminal);
        assertArrayEquals(STORED, session.head());
        assertEquals(1, session.unsettled(), "a refused command settles nothing");
    }

    @Test
    void theSameAgain() {
        assertTaken(STORED);
    }

    @Test
    void flagsAloneMayChange() {
        assertTaken(Host.head(EPOCH, SEQUENCE, HEAD, LIST, LIST_HASH, 1));
        assertTaken(STORED);
    }

    @Test
    void epochStaysOrGoesUpByOne() {
        assertRefused(Host.head(EPOCH - 1, SEQUENCE + 1, 1, LIST, LIST_HASH, 0));
        assertRefused(Host.head(EPOCH + 2, SEQUENCE + 1, 1, LIST, LIST_HASH, 0));
        assertRefused(Host.head(0xFFFF_FFFFL, SEQUENCE + 1, 1, LIST, LIST_HASH, 0));
        assertTaken(Host.head(EPOCH + 1, SEQUENCE + 1, 1, LIST, LIST_HASH, 0));
    }

    @Test
    void sequenceNeverGoesDownOrTooFar() {
        assertRefused(Host.head(EPOCH, SEQUENCE - 1, 1, LIST, LIST_HASH, 0));
        assertRefused(Host.head(EPOCH + 1, SEQUENCE - 1, 1, LIST, LIST_HASH, 0));
        assertRefused(Host.head(EPOCH, SEQUENCE + 65_537, 1, LIST, LIST_HASH, 0));
        assertRefused(Host.head(EPOCH, SEQUENCE + (1L << 32), 1, LIST, LIST_HASH, 0));
        assertRefused(Host.head(EPOCH, -1, 1, LIST, LIST_HASH, 0));
        assertTaken(Host.head(EPOCH, SEQUENCE + 65_536, 1, LIST, LIST_HASH, 0));
    }

    @Test
    void listNumberNeverGoesDownOrTooFar() {
        assertRefused(Host.head(EPOCH, SEQUENCE + 1, 1, LIST - 1, 1, 0));
        assertRefused(Host.head(EPOCH, SEQUENCE + 1, 1, LIST + 65_537, 1, 0));
        assertTaken(Host.head(EPOCH, SEQUENCE + 1, 1, LIST + 65_536, 1, 0));
    }

    @Test
    void oneSequenceHasOneHead() {
        assertRefused(Host.head(EPOCH, SEQUENCE, HEAD + 1, LIST, LIST_HASH, 0));
        assertRefused(Host.head(EPOCH, SEQUENCE, HEAD + 1, LIST + 1, 1, 0));
        assertTaken(Host.head(EPOCH + 1, SEQUENCE, HEAD + 1, LIST, LIST_HASH, 0));
    }

    @Test
    void oneListNumberHasOneList() {
        assertRefused(Host.head(EPOCH, SEQUENCE + 1, 1, LIST, LIST_HASH + 1, 0));
        assertRefused(Host.head(EPOCH + 1, SEQUENCE + 1, 1, LIST, LIST_HASH + 1, 0));
        assertTaken(Host.head(EPOCH, SEQUENCE + 1, 1, LIST + 1, LIST_HASH + 1, 0));
    }

    @Test
    void anEmptyRecordTakesAnyValues() {
        host = Host.enrolled();
        host.add(terminal, "");
        session = host.openFresh(terminal);
        assertTaken(Host.head(0xFFFF_FFFFL, -1L, 0xFF, 0xFFFF_FFFFL, 0xFF, 1));
    }

    /** Also into an empty record: a flag that means something one day must not stand there by chance. */
    @Test
    void f_f3_unknownFlagsOfAHeadAreRefused() {
        for (int bit = 1; bit < 8; bit++) {
            assertRefused(Host.head(EPOCH, SEQUENCE + 1, 1, LIST, LIST_HASH, 1 << bit));
            assertRefused(Host.head(EPOCH, SEQUENCE + 1, 1, LIST, LIST_HASH, 1 << bit | 1));
        }
        assertTaken(Host.head(EPOCH, SEQUENCE + 1, 1, LIST, LIST_HASH, 1));
        host = Host.enrolled();
        host.add(terminal, "");
        session = host.openFresh(terminal);
        host.putHead(session.token(), Host.head(1, 1, 1, 1, 1, 2), 0).expect(0x6A80);
        assertFalse(host.openFresh(terminal).headIsSet());
    }

    @Test
    void aCardFarBehindIsLedUpInSteps() {
        long sequence = SEQUENCE;
        for (int step = 1; step <= 3; step++) {
            sequence += 65_536;
            assertTaken(Host.head(EPOCH + step, sequence, step, LIST + step * 65_536L, step, 0));
        }
    }
}
