package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class PinTest {
    private static final byte[] WRONG = Host.pin("0000");

    @Test
    void verifyCountsDownAndBlocks() {
        Host host = Host.enrolled();
        host.askPin().expect(0x63C3);
        host.tryVerify(WRONG).expect(0x63C2);
        host.askPin().expect(0x63C2);
        host.verify();
        host.askPin().ok();
        host.tryVerify(WRONG).expect(0x63C2);
        host.askPin().expect(0x63C2);
        host.readInfo().expect(0x6982);
        host.tryVerify(WRONG).expect(0x63C1);
        assertEquals(1, host.select().pinTries());
        host.tryVerify(WRONG).expect(0x6983);
        host.askPin().expect(0x6983);
        host.tryVerify(Host.PIN).expect(0x6983);
        host.change(Host.PIN, Host.NEW_PIN).expect(0x6983);
        assertEquals(0, host.select().pinTries());
    }

    @Test
    void formErrorsCostNoTry() {
        Host host = Host.enrolled();
        byte[] hole = Host.pin("12345678");
        hole[5] = (byte) 0xFF;
        byte[] padding = Host.pin("1234");
        padding[7] = 0;
        for (byte[] bad : new byte[][] {Host.pin("123"), Host.pin("12/4"), Host.pin("12:4"), Host.pin("12@4"),
                Host.pin("12[4"), Host.pin("12`4"), Host.pin("12{4"), hole, padding, new byte[8]}) {
            host.tryVerify(bad).expect(0x6A80);
            host.change(bad, Host.NEW_PIN).expect(0x6A80);
            host.change(Host.PIN, bad).expect(0x6A80);
            host.unblock(Host.PUK, bad).expect(0x6A80);
            host.unblock(bad, Host.NEW_PIN).expect(0x6A80);
            host.terminate(bad).expect(0x6A80);
        }
        host.unblock(Host.pin("1234567"), Host.NEW_PIN).expect(0x6A80);
        Host.Selected selected = host.select();
        assertEquals(3, selected.pinTries());
        assertEquals(10, selected.pukTries());
        host.verify();
    }

    @Test
    void digitsAndLettersOfEveryLength() {
        Host host = Host.enrolled();
        byte[] old = Host.PIN;
        for (String next : new String[] {"09az", "AZaz0", "AbCdEf", "zzzzzzz", "99999999"}) {
            host.change(old, Host.pin(next)).ok();
            old = Host.pin(next);
            host.verify(old);
        }
        // Shorter PINs are no prefixes of longer ones.
        host.tryVerify(Host.pin("9999")).expect(0x63C2);
    }

    @Test
    void selectDropsThePin() {
        Host host = Host.enrolled();
        host.verify();
        host.readInfo().expect(0x9000);
        host.select();
        host.readInfo().expect(0x6982);
        host.verify();
        host.card.powerCycle();
        host.select();
        host.readInfo().expect(0x6982);
    }

    @Test
    void getChallengeLeavesThePinButNotItsDirectness() {
        Host host = Host.enrolled();
        host.verify();
        host.getChallenge();
        host.readInfo().expect(0x9000);
        host.verify();
        host.getChallenge();
        host.sign(1, Host.CALLERS).expect(0x6982);
        host.verify();
        host.sign(1, Host.CALLERS).expect(0x9000);
        host.sign(1, Host.CALLERS).expect(0x6982);
    }

    @Test
    void directnessEndsWithAnyCommandEvenAnUnknownOne() {
        Host host = Host.enrolled();
        host.verify();
        host.card.send(0x80, 0x99, 0, 0).expect(0x6D00);
        host.sign(1, Host.CALLERS).expect(0x6982);
        host.verify();
        host.askPin().ok();
        host.sign(1, Host.CALLERS).expect(0x6982);
        host.verify();
        host.tryVerify(WRONG).expect(0x63C2);
        host.sign(1, Host.CALLERS).expect(0x6982);
    }

    @Test
    void changeNeedsTheOldPinAndLeavesThePinVerifiedButNotDirectly() {
        Host host = Host.enrolled();
        host.change(WRONG, Host.NEW_PIN).expect(0x63C2);
        host.change(Host.PIN, Host.NEW_PIN).ok();
        host.readInfo().expect(0x9000);
        host.change(Host.NEW_PIN, Host.PIN).ok();
        host.sign(1, Host.CALLERS).expect(0x6982);
        host.tryVerify(Host.NEW_PIN).expect(0x63C2);
        host.verify();
    }

    @Test
    void aWrongOldPinDropsTheVerifiedOne() {
        Host host = Host.enrolled();
        host.verify();
        host.change(WRONG, Host.NEW_PIN).expect(0x63C2);
        host.readInfo().expect(0x6982);
    }

    @Test
    void theFirstChangeSetsThePukToo() {
        Host host = Host.enrolled(new TestCard(), Host.OPTION_CHANGE_PIN);
        assertEquals(3, host.select().pinState());
        host.change(Host.PIN, Host.NEW_PIN).expect(0x6700);
        host.change(Host.PIN, Host.NEW_PIN, Host.pin("short")).expect(0x6A80);
        host.change(Host.PIN, Host.PIN, Host.NEW_PUK).expect(0x6A80);
        host.change(WRONG, Host.NEW_PIN, Host.NEW_PUK).expect(0x63C2);
        host.change(Host.PIN, Host.NEW_PIN, Host.NEW_PUK).ok();
        assertEquals(1, host.select().pinState());
        host.change(Host.NEW_PIN, Host.PIN, Host.PUK).expect(0x6700);
        host.unblock(Host.PUK, Host.PIN).expect(0x63C9);
        host.unblock(Host.NEW_PUK, Host.PIN).ok();
        host.verify();
    }

    @Test
    void unblockingDoesNotTakeTheDutyToChangeAway() {
        Host host = Host.enrolled(new TestCard(), Host.OPTION_CHANGE_PIN);
        host.unblock(Host.PUK, Host.NEW_PIN).ok();
        assertEquals(3, host.select().pinState());
        host.verify(Host.NEW_PIN);
        host.readInfo().expect(0x6984);
    }

    @Test
    void unblockSetsAPinAndItsTries() {
        Host host = Host.enrolled();
        for (int i = 0; i < 3; i++) {
            host.tryVerify(WRONG);
        }
        host.unblock(Host.NEW_PUK, Host.NEW_PIN).expect(0x63C9);
        host.unblock(Host.PUK, Host.NEW_PIN).ok();
        Host.Selected selected = host.select();
        assertEquals(3, selected.pinTries());
        assertEquals(10, selected.pukTries());
        host.verify(Host.NEW_PIN);
    }

    @Test
    void unblockLeavesThePinNotVerified() {
        Host host = Host.enrolled();
        host.verify();
        host.unblock(Host.PUK, Host.PIN).ok();
        host.askPin().expect(0x63C3);
        host.readInfo().expect(0x6982);
    }

    @Test
    void thePukBlocksForGood() {
        Host host = Host.enrolled();
        for (int left = 9; left > 0; left--) {
            host.unblock(Host.NEW_PUK, Host.NEW_PIN).expect(0x63C0 + left);
        }
        host.unblock(Host.NEW_PUK, Host.NEW_PIN).expect(0x6983);
        host.unblock(Host.PUK, Host.NEW_PIN).expect(0x6983);
        assertEquals(0, host.select().pukTries());
        host.verify();
    }
}
