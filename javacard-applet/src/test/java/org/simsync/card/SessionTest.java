package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class SessionTest {
    private Host host;
    private Terminal terminal;

    @BeforeEach
    void pair() {
        host = Host.enrolled();
        terminal = new Terminal();
        host.add(terminal, "laptop");
    }

    /** SELECT, VERIFY, and OPEN SESSION with something wrong. */
    private Answer openWith(byte[] id, byte[] point, byte[] signature) {
        return host.tryOpen(id, Host.CALLERS, point, signature);
    }

    private byte[] goodSignature(byte[] point) {
        return terminal.sign(host.terminalText(Host.CALLERS, point));
    }

    @Test
    void numbersCountUpAndTokensChange() {
        Host.Session first = host.openFresh(terminal);
        host.getChallenge();
        Host.Session second = host.open(terminal);
        assertEquals(1, first.n());
        assertEquals(2, second.n());
        assertEquals(1, second.unsettled(), "its own earlier session");
        assertFalse(Arrays.equals(first.token(), second.token()));
        host.renew(first.token(), Host.CALLERS).expect(0x6982);
        host.renew(second.token(), Host.CALLERS).expect(0x9000);
    }

    /** To set a point takes some chips 190 ms, and wears its memory. */
    @Test
    void f_f2_aTerminalsPointIsSetOnlyWhenItIsAnother() {
        Terminal other = new Terminal();
        host.add(other, "desktop");
        int[] writes = new int[5];
        Terminal[] who = {terminal, terminal, other, other, terminal};
        for (int i = 0; i < who.length; i++) {
            host.card.powerCycle();
            host.select();
            host.verify();
            host.card.nv.never();
            host.open(who[i]);
            writes[i] = host.card.nv.writes();
        }
        assertArrayEquals(new int[] {2, 1, 2, 1, 2}, writes);
    }

    /** The key holds the point of whoever came last, and counts for nobody else. */
    @Test
    void f_f2_theKeyOfAnotherTerminalChecksNothing() {
        Terminal other = new Terminal();
        host.add(other, "desktop");
        host.openFresh(terminal);
        host.select();
        host.verify();
        openWith(other.id, terminal.point, goodSignature(terminal.point)).expect(0x6982);
        host.openFresh(other);
        host.select();
        host.verify();
        byte[] point = terminal.point;
        openWith(terminal.id, point, other.sign(host.terminalText(Host.CALLERS, point))).expect(0x6982);
    }

    @Test
    void aChallengeServesOnce() {
        host.select();
        host.verify();
        byte[] point = terminal.point;
        byte[] signature = goodSignature(point);
        openWith(terminal.id, point, signature).expect(0x9000);
        openWith(terminal.id, point, signature).expect(0x6985);
    }

    @Test
    void anUnsuccessfulOpenUsesTheChallengeUp() {
        host.select();
        host.verify();
        byte[] point = terminal.point;
        openWith(new Terminal().id, point, goodSignature(point)).expect(0x6A82);
        openWith(terminal.id, point, goodSignature(point)).expect(0x6985);
        host.getChallenge();
        openWith(terminal.id, point, Host.filled(70, 0x30)).expect(0x6982);
        openWith(terminal.id, point, goodSignature(point)).expect(0x6985);
        host.getChallenge();
        host.card.send(0x80, 0x40, 0, 0, new byte[5]).expect(0x6700);
        openWith(terminal.id, point, goodSignature(point)).expect(0x6985);
    }

    @Test
    void onlyTheNewestChallengeCounts() {
        host.select();
        host.verify();
        byte[] old = goodSignature(terminal.point);
        host.getChallenge();
        openWith(terminal.id, terminal.point, old).expect(0x6982);
    }

    @Test
    void signaturesThatAreNoneAreRefused() {
        byte[] point = terminal.point;
        byte[][] bad = {Host.filled(8, 0), Host.filled(72, 0xFF), Host.filled(72, 0x30),
                {0x30, 6, 2, 1, 0, 2, 1, 0}, {0x30, 6, 2, 1, 1, 2, 1, 1},
                {0x30, (byte) 0x80, 2, 1, 1, 2, 1, 1}, {0x30, 6, 2, (byte) 0x7F, 1, 2, 1, 1}};
        for (byte[] signature : bad) {
            host.select();
            host.verify();
            openWith(terminal.id, point, signature).expect(0x6982);
        }
    }

    @Test
    void theSignatureCoversEveryField() {
        byte[] point = new Terminal().point;
        host.select();
        host.verify();
        byte[] text = host.terminalText(Host.CALLERS, point);
        host.tryOpen(terminal.id, Host.filled(32, 1), point, terminal.sign(text)).expect(0x6982);
        host.select();
        host.verify();
        host.tryOpen(terminal.id, Host.CALLERS, terminal.point, goodSignature(point)).expect(0x6982);
        host.select();
        host.verify();
        byte[] otherCard = Crypto.text("terminal", new byte[16], host.challenge, Host.CALLERS, point);
        host.tryOpen(terminal.id, Host.CALLERS, point, terminal.sign(otherCard)).expect(0x6982);
        host.select();
        host.verify();
        byte[] otherDomain = Crypto.text("session", host.cardId, host.challenge, Host.CALLERS, point);
        host.tryOpen(terminal.id, Host.CALLERS, point, terminal.sign(otherDomain)).expect(0x6982);
        host.select();
        host.verify();
        Terminal other = new Terminal();
        host.tryOpen(terminal.id, Host.CALLERS, point, other.sign(host.terminalText(Host.CALLERS, point)))
                .expect(0x6982);
    }

    @Test
    void pointsThatAreNotOnTheCurveAreRefusedAndCostNoNumber() {
        for (byte[] point : PairingTest.badPoints()) {
            host.select();
            host.verify();
            openWith(terminal.id, point, goodSignature(point)).expect(0x6A80);
        }
        assertEquals(1, host.openFresh(terminal).n());
    }

    @Test
    void aFailedOpenLeavesTheEarlierSession() {
        Host.Session session = host.openFresh(terminal);
        host.getChallenge();
        openWith(terminal.id, terminal.point, Host.filled(70, 1)).expect(0x6982);
        host.renew(session.token(), Host.CALLERS).expect(0x9000);
    }

    @Test
    void theTokenDiesWithSelectAndPower() {
        Host.Session session = host.openFresh(terminal);
        host.select();
        host.renew(session.token(), Host.CALLERS).expect(0x6982);
        session = host.openFresh(terminal);
        host.card.powerCycle();
        host.select();
        host.renew(session.token(), Host.CALLERS).expect(0x6982);
        host.renew(new byte[16], Host.CALLERS).expect(0x6982);
    }

    @Test
    void theTokenNeedsNoPin() {
        Host.Session session = host.openFresh(terminal);
        host.tryVerify(Host.pin("0000")).expect(0x63C2);
        byte[] binding = Host.filled(32, 3);
        host.assertSigned("renew", Host.takeLv(host.renew(session.token(), binding).fields()),
                Host.u32(session.n()), terminal.id, binding);
    }

    @Test
    void aWrongTokenIsRefusedInEveryByte() {
        Host.Session session = host.openFresh(terminal);
        for (int i = 0; i < 16; i++) {
            byte[] wrong = session.token().clone();
            wrong[i] ^= 1;
            host.renew(wrong, Host.CALLERS).expect(0x6982);
            host.putHead(wrong, Host.head(1, 1, 1, 1, 1, 0), 0).expect(0x6982);
        }
    }

    @Test
    void settlingClearsTheSlotsOfTheBitmapOnly() {
        Terminal[] more = {new Terminal(), new Terminal()};
        for (Terminal each : more) {
            host.add(each, "");
        }
        host.openFresh(terminal);
        host.openFresh(more[0]);
        Host.Session session = host.openFresh(more[1]);
        assertEquals(0b011, session.unsettled());
        byte[] head = Host.head(1, 1, 1, 1, 1, 0);
        host.putHead(session.token(), head, 0b1000_0000_0000_0010).ok();
        assertEquals(2 * 13, host.readSessions().fields().remaining());
        host.putHead(session.token(), head, 0b101).ok();
        assertEquals(0, host.readSessions().fields().remaining());
        assertEquals(0, host.openFresh(terminal).unsettled());
    }

    @Test
    void theCounterEndsAndNeverStartsAgain() throws ReflectiveOperationException {
        setCounter(0xFFFF_FFFEL);
        assertEquals(0xFFFF_FFFFL, host.openFresh(terminal).n());
        for (int i = 0; i < 2; i++) {
            host.select();
            host.verify();
            openWith(terminal.id, terminal.point, goodSignature(terminal.point)).expect(0x6A84);
        }
    }

    private void setCounter(long value) throws ReflectiveOperationException {
        Twin record = Records.of(host.card, "sessions");
        byte[] image = record.edit();
        System.arraycopy(Host.u32(value), 0, image, Twin.BODY, 4);
        record.commit();
    }

    @Test
    void damagedRecordsAreSaidAndNotStartedAgain() throws ReflectiveOperationException {
        host.openFresh(terminal);
        for (String name : new String[] {"sessions", "head"}) {
            Records.damage(Records.of(host.card, name));
            host.card.powerCycle();
            host.select();
            host.verify();
            openWith(terminal.id, terminal.point, goodSignature(terminal.point)).expect(0x6581);
        }
    }

    @Test
    void theHeadComesBackAsItWasPut() {
        Host.Session session = host.openFresh(terminal);
        assertFalse(session.headIsSet());
        assertArrayEquals(new byte[Head.LENGTH], session.head());
        assertArrayEquals(new byte[Head.LEN_WRITER], session.writer());
        byte[] head = Host.head(0x0304L, 0x090A0B0CL, 0xAB, 0x0F10L, 0xCD, 1);
        host.putHead(session.token(), head, 0).ok();
        Host.Session next = host.openFresh(terminal);
        assertTrue(next.headIsSet());
        assertArrayEquals(head, next.head());
    }
}
