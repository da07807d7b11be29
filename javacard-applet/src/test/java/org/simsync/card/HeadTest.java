package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.ByteBuffer;
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
        assertRefused(Host.head(EPOCH, SEQUENCE + 1_025, 1, LIST, LIST_HASH, 0));
        assertRefused(Host.head(EPOCH, SEQUENCE + 65_536, 1, LIST, LIST_HASH, 0));
        assertRefused(Host.head(EPOCH, SEQUENCE + (1L << 32), 1, LIST, LIST_HASH, 0));
        assertRefused(Host.head(EPOCH, -1, 1, LIST, LIST_HASH, 0));
        assertTaken(Host.head(EPOCH, SEQUENCE + 1_024, 1, LIST, LIST_HASH, 0));
    }

    @Test
    void listNumberNeverGoesDownOrTooFar() {
        assertRefused(Host.head(EPOCH, SEQUENCE + 1, 1, LIST - 1, 1, 0));
        assertRefused(Host.head(EPOCH, SEQUENCE + 1, 1, LIST + 17, 1, 0));
        assertTaken(Host.head(EPOCH, SEQUENCE + 1, 1, LIST + 16, 1, 0));
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

    private void empty() {
        host = Host.enrolled();
        host.add(terminal, "");
        session = host.openFresh(terminal);
    }

    /** Any that a vault can have: from far above all of them no number could ever be led on. */
    @Test
    void w_3_anEmptyRecordTakesWhatAVaultCanHave() {
        long epoch = 0xFFFFL;
        long sequence = 0xFFFF_FFFFL;
        long list = 0xFFFFL;
        byte[][] tooFar = {Host.head(epoch + 1, sequence, 0xFF, list, 0xFF, 1),
                Host.head(epoch, sequence + 1, 0xFF, list, 0xFF, 1), Host.head(epoch, -1L, 0xFF, list, 0xFF, 1),
                Host.head(epoch, sequence, 0xFF, list + 1, 0xFF, 1)};
        for (byte[] head : tooFar) {
            empty();
            host.putHead(session.token(), head, 0).expect(0x6A80);
            assertFalse(host.openFresh(terminal).headIsSet());
        }
        empty();
        assertTaken(Host.head(epoch, sequence, 0xFF, list, 0xFF, 1));
    }

    @Test
    void w_3_theRecordNamesWhoWroteIt() {
        Terminal other = new Terminal();
        host.add(other, "");
        byte[] first = writer(terminal, session.n());
        session = host.openFresh(other);
        assertArrayEquals(first, session.writer());
        // Not written again, so still the first one's.
        host.putHead(session.token(), STORED, 0).ok();
        session = host.openFresh(other);
        assertArrayEquals(first, session.writer());
        host.putHead(session.token(), Host.head(EPOCH, SEQUENCE + 1, 1, LIST, LIST_HASH, 0), 0).ok();
        byte[] second = writer(other, session.n());
        assertArrayEquals(second, host.openFresh(terminal).writer());
    }

    private static byte[] writer(Terminal terminal, long n) {
        return ByteBuffer.allocate(Head.LEN_WRITER).put(terminal.id, 0, 8).putInt((int) n).array();
    }

    /** What the owner ended may be followed by a lower list and epoch, once, and never by a lower sequence. */
    @Test
    void w_3_afterRestoreIsSignedTheRecordFollowsTheVaultAgain() {
        byte[] lower = Host.head(EPOCH - 3, SEQUENCE + 1, 1, LIST - 100, 7, 0);
        assertRefused(lower);
        for (byte[] wrong : new byte[][] {Host.head(EPOCH - 3, SEQUENCE, 1, LIST - 100, 7, 0),
                Host.head(EPOCH - 3, SEQUENCE - 1, 1, LIST - 100, 7, 0),
                Host.head(EPOCH - 3, SEQUENCE + 1_025, 1, LIST - 100, 7, 0),
                Host.head(EPOCH + 2, SEQUENCE + 1, 1, LIST, 7, 0),
                Host.head(EPOCH, SEQUENCE + 1, 1, LIST + 17, 7, 0)}) {
            restore();
            host.putHead(session.token(), wrong, 0).expect(0x6A80);
            // It is used up.
            host.putHead(session.token(), lower, 0).expect(0x6A80);
        }
        // Another SELECT forgets it, other domains do not give it.
        restore();
        session = host.openFresh(terminal);
        host.putHead(session.token(), lower, 0).expect(0x6A80);
        host.verify();
        host.sign(1, new byte[32]).expect(0x9000);
        host.verify();
        host.sign(2, new byte[32]).expect(0x9000);
        host.putHead(session.token(), lower, 0).expect(0x6A80);
        // A wrong token does not use it up, nor does it help.
        restore();
        host.putHead(new byte[16], lower, 0).expect(0x6982);
        assertTaken(lower);
    }

    private void restore() {
        host.verify();
        host.sign(3, new byte[32]).expect(0x9000);
    }

    /** Also into an empty record: a flag that means something one day must not stand there by chance. */
    @Test
    void f_f3_unknownFlagsOfAHeadAreRefused() {
        for (int bit = 1; bit < 8; bit++) {
            assertRefused(Host.head(EPOCH, SEQUENCE + 1, 1, LIST, LIST_HASH, 1 << bit));
            assertRefused(Host.head(EPOCH, SEQUENCE + 1, 1, LIST, LIST_HASH, 1 << bit | 1));
        }
        assertTaken(Host.head(EPOCH, SEQUENCE + 1, 1, LIST, LIST_HASH, 1));
        empty();
        host.putHead(session.token(), Host.head(1, 1, 1, 1, 1, 2), 0).expect(0x6A80);
        assertFalse(host.openFresh(terminal).headIsSet());
    }

    @Test
    void aCardFarBehindIsLedUpInSteps() {
        long sequence = SEQUENCE;
        for (int step = 1; step <= 3; step++) {
            sequence += 1_024;
            assertTaken(Host.head(EPOCH + step, sequence, step, LIST + step * 16L, step, 0));
        }
    }
}
