package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.security.KeyPair;
import java.security.interfaces.ECPublicKey;
import java.util.Arrays;
import javacard.framework.SystemException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.simsync.bridge.fault.FaultyCard;

class ProvisioningTest {
    private static final byte[] WRONG = Host.filled(16, 1);

    private static Answer personalise(Host host, byte[] data) {
        return host.card.send(0x80, 0x10, 0, 0, data);
    }

    private static byte[] data(byte[] subscriber, byte[] label, byte[] server) {
        return Host.personaliseData(TestCard.TRANSPORT, subscriber, label, server, Host.PIN, Host.PUK, 0);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 15, 17})
    void installationNeedsASecretOfSixteenBytes(int length) {
        assertThrows(SystemException.class, () -> new TestCard("T=1", new byte[length]));
    }

    @Test
    void longestAndShortestFields() {
        Host host = Host.installed();
        personalise(host, data(Host.filled(32, 's'), Host.filled(32, 'l'), Host.filled(64, 'a'))).ok(16);
        personalise(host, data(Host.filled(1, 's'), new byte[0], Host.filled(1, 'a'))).ok(16);
    }

    @Test
    void theLastPersonaliseCounts() {
        Host host = Host.installed();
        personalise(host, data(Host.filled(32, 's'), Host.filled(32, 'l'), Host.filled(64, 'a'))).ok(16);
        host.personalise(0);
        host.generateKeys();
        host.markEnrolled().ok();
        host.verify();
        ByteBuffer info = host.readInfo().fields();
        Host.take(info, 16);
        assertArrayEquals(Host.SUBSCRIBER, Host.takeLv(info));
        assertArrayEquals(Host.LABEL, Host.takeLv(info));
        assertArrayEquals(Host.SERVER, Host.takeLv(info));
        assertArrayEquals(Host.CA_PIN, Host.take(info, 32));
        assertFalse(info.hasRemaining());
    }

    @Test
    void fieldsOfOtherLengthsAreRefused() {
        Host host = Host.installed();
        byte[] some = Host.filled(1, 'x');
        personalise(host, data(new byte[0], Host.filled(1, 'l'), some)).expect(0x6A80);
        personalise(host, data(Host.filled(33, 's'), some, some)).expect(0x6A80);
        personalise(host, data(some, Host.filled(33, 'l'), some)).expect(0x6A80);
        personalise(host, data(Host.filled(2, 's'), new byte[0], new byte[0])).expect(0x6A80);
        personalise(host, data(some, some, Host.filled(65, 'a'))).expect(0x6A80);
        assertEquals(1, host.select().lifecycle());
    }

    @Test
    void lengthsThatPointOutsideTheDataAreRefused() {
        Host host = Host.installed();
        byte[] good = data(Host.SUBSCRIBER, Host.LABEL, Host.SERVER);
        int subscriber = 16;
        int label = subscriber + 1 + Host.SUBSCRIBER.length;
        int server = label + 1 + Host.LABEL.length;
        for (int at : new int[] {subscriber, label, server}) {
            for (int delta : new int[] {-1, 1, 100, 0x80}) {
                byte[] bad = good.clone();
                bad[at] += (byte) delta;
                personalise(host, bad).expect(0x6A80);
            }
        }
        personalise(host, good).ok(16);
    }

    @Test
    void pinsAndOptionsAreChecked() {
        Host host = Host.installed();
        for (String pin : new String[] {"123", "12 4", "1234:", ""}) {
            personalise(host, Host.personaliseData(TestCard.TRANSPORT, Host.SUBSCRIBER, Host.LABEL, Host.SERVER,
                    Host.pin(pin), Host.PUK, 0)).expect(0x6A80);
        }
        personalise(host, Host.personaliseData(TestCard.TRANSPORT, Host.SUBSCRIBER, Host.LABEL, Host.SERVER, Host.PIN,
                Host.pin("1234567"), 0)).expect(0x6A80);
        host.tryPersonalise(4).expect(0x6A80);
        host.tryPersonalise(0x80).expect(0x6A80);
    }

    @Test
    void cardIdStaysAndPinsDoNot() {
        Host host = Host.installed();
        host.personalise(0);
        byte[] id = host.cardId;
        host.generateKeys();
        byte[] sig = host.sigPoint;
        byte[] kem = host.kemPoint;
        assertArrayEquals(id, personalise(host, Host.personaliseData(TestCard.TRANSPORT, Host.SUBSCRIBER, Host.LABEL,
                Host.SERVER, Host.NEW_PIN, Host.NEW_PUK, 0)).ok(16));
        host.generateKeys();
        assertArrayEquals(sig, host.sigPoint, "the keys are made once");
        assertArrayEquals(kem, host.kemPoint, "the keys are made once");
        assertFalse(Arrays.equals(sig, kem));
        host.markEnrolled().ok();
        host.tryVerify(Host.PIN).expect(0x63C2);
        host.verify(Host.NEW_PIN);
        host.unblock(Host.PUK, Host.PIN).expect(0x63C9);
        host.unblock(Host.NEW_PUK, Host.PIN).ok();
    }

    @Test
    void personaliseBeforeKeysBeforeEnrolled() {
        Host host = Host.installed();
        host.tryGenerateKeys().expect(0x6985);
        host.markEnrolled().expect(0x6985);
        host.personalise(0);
        host.markEnrolled().expect(0x6985);
        host.generateKeys();
        host.markEnrolled().ok();
        host.tryPersonalise(0).expect(0x6985);
        host.tryGenerateKeys().expect(0x6985);
        host.markEnrolled().expect(0x6985);
    }

    @Test
    void transportSecretHasTenTries() {
        Host host = Host.installed();
        byte[] wrong = Host.personaliseData(WRONG, Host.SUBSCRIBER, Host.LABEL, Host.SERVER, Host.PIN, Host.PUK, 0);
        for (int left = 9; left > 0; left--) {
            personalise(host, wrong).expect(0x63C0 + left);
        }
        host.card.powerCycle();
        host.select();
        personalise(host, wrong).expect(0x6983);
        host.tryPersonalise(0).expect(0x6983);
    }

    @Test
    void aRightTransportSecretGivesTheTriesBack() {
        Host host = Host.installed();
        byte[] wrong = Host.personaliseData(WRONG, Host.SUBSCRIBER, Host.LABEL, Host.SERVER, Host.PIN, Host.PUK, 0);
        personalise(host, wrong).expect(0x63C9);
        host.personalise(0);
        host.card.send(0x80, 0x12, 0, 0, Host.join(WRONG, Host.CALLERS)).expect(0x63C9);
        host.card.send(0x80, 0x14, 0, 0, WRONG).expect(0x63C8);
    }

    @Test
    void keysThatAreMadeAgainAfterACutWorkEachTime() throws ReflectiveOperationException {
        Host host = Host.installed();
        Keys keys = (Keys) Records.field(host.card, "keys");
        Ram ram = (Ram) Records.field(host.card, "ram");
        KeyPair other = Crypto.newKeyPair();
        byte[] otherPoint = Crypto.encode((ECPublicKey) other.getPublic());
        byte[] point = new byte[65];
        // Each round makes keys in the same key objects, and in one of some 128 meets the simulator's mistake.
        for (int round = 0; round < 400; round++) {
            keys.generate();
            keys.copySigPoint(point, (short) 0);
            byte[] text = Arrays.copyOf(ram.work, 20);
            keys.sign((short) 20, ram.out, (short) 0);
            assertTrue(Crypto.verify(point, text, Arrays.copyOfRange(ram.out, 1, 1 + ram.out[0])), "round " + round);
            keys.copyKemPoint(point, (short) 0);
            assertTrue(keys.agree(otherPoint, (short) 0, ram.out, (short) 0));
            assertArrayEquals(Crypto.agree(other.getPrivate(), point), Arrays.copyOf(ram.out, 32), "round " + round);
        }
    }

    @Test
    void pseudonymIsRecognisedByWhoKnowsTheSubscriber() {
        Host host = Host.installed();
        assertArrayEquals(new byte[16], host.select().pseudonym());
        host.personalise(0);
        for (int i = 0; i < 2; i++) {
            Host.Selected selected = host.select();
            byte[] expected = Crypto.sha256(Crypto.fields(host.cardId, Host.SUBSCRIBER, selected.challenge()));
            assertArrayEquals(Arrays.copyOf(expected, 16), selected.pseudonym());
        }
    }

    @Test
    void twoCardsDiffer() {
        Host one = Host.enrolled();
        Host other = Host.enrolled();
        assertFalse(Arrays.equals(one.cardId, other.cardId), "card IDs");
        assertFalse(Arrays.equals(one.sigPoint, other.sigPoint), "SIG keys");
        assertFalse(Arrays.equals(one.kemPoint, other.kemPoint), "KEM keys");
        assertFalse(Arrays.equals(one.challenge, other.challenge), "challenges");
        byte[] first = noncePoint(one);
        assertFalse(Arrays.equals(first, noncePoint(one)), "nonces of one card");
        assertFalse(Arrays.equals(first, noncePoint(other)), "nonces of two cards");
        // Where nonce and private key are equal, r is the x-coordinate of the public key.
        assertFalse(Arrays.equals(first, Arrays.copyOfRange(one.sigPoint, 1, 33)), "the nonce is the private key");
    }

    /** r of a signature by the card: the x-coordinate of its nonce's point, 32 bytes. */
    private static byte[] noncePoint(Host host) {
        host.verify();
        byte[] der = Host.takeLv(host.sign(1, Host.CALLERS).fields());
        byte[] r = Arrays.copyOfRange(der, 4, 4 + der[3]);
        byte[] fixed = new byte[32];
        int count = Math.min(32, r.length);
        System.arraycopy(r, r.length - count, fixed, 32 - count, count);
        return fixed;
    }

    @Test
    void contactlessIsRefusedUnlessAllowed() {
        Host host = Host.enrolled();
        for (String media : new String[] {"T=CL,TYPE_A,T1", "T=CL,TYPE_B,T0"}) {
            host.card.changeProtocol(media);
            host.card.send(0x00, 0xA4, 4, 0, FaultyCard.AID).expect(0x6985);
            host.card.send(0x80, 0x84, 0, 0).expect(0x6985);
            host.tryVerify(Host.PIN).expect(0x6985);
        }
        host.card.changeProtocol("T=1");
        host.select();

        Host open = Host.enrolled(new TestCard(), Host.OPTION_CONTACTLESS);
        open.card.changeProtocol("T=CL,TYPE_A,T1");
        open.select();
        open.verify();
    }
}
