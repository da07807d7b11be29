package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Random;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;

/**
 * Cuts the power before, and in the middle of, every persistent write of every command. What counts is what a card says
 * when it next has power: the state before the command, or the state after it.
 */
class TearTest {
    /** How much of the write that is hit gets done, in tenths: nothing, a little, most. */
    private static final int[] PARTS = {0, 1, 5, 9};
    private static final byte[] WRONG = Host.pin("0000");

    /**
     * Runs a command on a fresh card once for each cut, and once to its end.
     *
     * @param check what must hold after the power came back; its second argument is whether the command was done
     * @return the number of writes that the command makes
     */
    private static int cutEverywhere(Supplier<Host> prepare, Consumer<Host> command, BiConsumer<Host, Boolean> check) {
        int writes = 0;
        for (int part : PARTS) {
            boolean done = false;
            for (int write = 0; !done; write++) {
                Host host = prepare.get();
                host.card.nv.cutAt(write, part);
                try {
                    command.accept(host);
                } catch (AssertionError e) {
                    // The answer that never came; anything else is the command's own failure.
                    if (!host.card.nv.wasCut()) {
                        throw e;
                    }
                }
                done = !host.card.nv.wasCut();
                writes = host.card.nv.writes();
                host.card.powerCycle();
                host.select();
                try {
                    check.accept(host, done);
                } catch (AssertionError e) {
                    throw new AssertionError("after a cut at write " + write + ", " + part + " tenths of it done", e);
                }
            }
        }
        return writes;
    }

    private static Supplier<Host> enrolledWith(Terminal... terminals) {
        return () -> {
            Host host = Host.enrolled();
            for (Terminal terminal : terminals) {
                host.add(terminal, "before");
            }
            return host;
        };
    }

    /** Checks that exactly one of two PINs is right, costing a try at most; answers whether it is the second. */
    private static boolean isSecondPin(Host host, byte[] first, byte[] second) {
        boolean isFirst = host.tryVerify(first).sw() == 0x9000;
        boolean isSecond = host.tryVerify(second).sw() == 0x9000;
        assertTrue(isFirst != isSecond, "exactly one PIN is right");
        host.verify(isSecond ? second : first);
        return isSecond;
    }

    @Test
    void firstPersonalise() {
        cutEverywhere(Host::installed, host -> host.personalise(0), (host, done) -> {
            int lifecycle = host.select().lifecycle();
            assertTrue(lifecycle == 3 || lifecycle == 1 && !done, "lifecycle " + lifecycle);
            host.personalise(0);
            host.generateKeys();
            host.markEnrolled().ok();
            host.verify();
        });
    }

    @Test
    void personaliseAgain() {
        byte[] otherSubscriber = Host.filled(32, 'o');
        Supplier<Host> prepare = () -> {
            Host host = Host.installed();
            host.personalise(0);
            host.generateKeys();
            return host;
        };
        Consumer<Host> command = host -> host.card.send(0x80, 0x10, 0, 0, Host.personaliseData(TestCard.TRANSPORT,
                otherSubscriber, Host.LABEL, Host.SERVER, Host.NEW_PIN, Host.NEW_PUK, 0)).ok(16);
        cutEverywhere(prepare, command, (host, done) -> {
            assertEquals(3, host.select().lifecycle());
            host.markEnrolled().ok();
            boolean isNew = isSecondPin(host, Host.PIN, Host.NEW_PIN);
            assertTrue(isNew || !done);
            ByteBuffer info = host.readInfo().fields();
            assertArrayEquals(host.cardId, Host.take(info, 16));
            assertArrayEquals(isNew ? otherSubscriber : Host.SUBSCRIBER, Host.takeLv(info));
            host.unblock(isNew ? Host.PUK : Host.NEW_PUK, Host.PIN).expect(0x63C9);
        });
    }

    @Test
    void generateKeys() {
        Supplier<Host> prepare = () -> {
            Host host = Host.installed();
            host.personalise(0);
            return host;
        };
        cutEverywhere(prepare, Host::generateKeys, (host, done) -> {
            byte[] before = host.sigPoint;
            host.generateKeys();
            if (before != null) {
                assertArrayEquals(before, host.sigPoint, "keys that were answered stay");
            }
            byte[] sig = host.sigPoint;
            byte[] kem = host.kemPoint;
            host.generateKeys();
            assertArrayEquals(sig, host.sigPoint);
            assertArrayEquals(kem, host.kemPoint);
        });
    }

    @Test
    void markEnrolled() {
        Supplier<Host> prepare = () -> {
            Host host = Host.installed();
            host.personalise(0);
            host.generateKeys();
            return host;
        };
        cutEverywhere(prepare, host -> host.markEnrolled().ok(), (host, done) -> {
            if (host.select().lifecycle() == 3) {
                assertFalse(done);
                host.markEnrolled().ok();
            }
            assertEquals(7, host.select().lifecycle());
            host.tryPersonalise(0).expect(0x6985);
            host.verify();
        });
    }

    @Test
    void verifyWithTheRightPin() {
        Supplier<Host> prepare = () -> {
            Host host = Host.enrolled();
            host.tryVerify(WRONG).expect(0x63C2);
            return host;
        };
        cutEverywhere(prepare, Host::verify,
                (host, done) -> assertEquals(done ? 3 : 2, host.select().pinTries()));
    }

    @Test
    void verifyWithAWrongPin() {
        cutEverywhere(Host::enrolled, host -> host.tryVerify(WRONG).expect(0x63C2), (host, done) -> {
            int tries = host.select().pinTries();
            assertTrue(tries == 2 || tries == 3 && !done, "tries " + tries);
        });
    }

    @Test
    void change() {
        cutEverywhere(Host::enrolled, host -> host.change(Host.PIN, Host.NEW_PIN).ok(), (host, done) -> {
            assertTrue(isSecondPin(host, Host.PIN, Host.NEW_PIN) || !done);
            host.unblock(Host.PUK, Host.PIN).ok();
        });
    }

    @Test
    void changeWithAWrongOldPinNeverGivesTriesBack() {
        Supplier<Host> prepare = () -> {
            Host host = Host.enrolled();
            host.tryVerify(WRONG).expect(0x63C2);
            return host;
        };
        cutEverywhere(prepare, host -> host.change(WRONG, Host.NEW_PIN).expect(0x63C1), (host, done) -> {
            int tries = host.select().pinTries();
            assertTrue(tries == 1 || tries == 2 && !done, "tries " + tries);
        });
    }

    @Test
    void firstChange() {
        Supplier<Host> prepare = () -> Host.enrolled(new TestCard(), Host.OPTION_CHANGE_PIN);
        Consumer<Host> command = host -> host.change(Host.PIN, Host.NEW_PIN, Host.NEW_PUK).ok();
        cutEverywhere(prepare, command, (host, done) -> {
            boolean isNew = isSecondPin(host, Host.PIN, Host.NEW_PIN);
            assertTrue(isNew || !done);
            assertEquals(isNew ? 1 : 3, host.select().pinState(), "the duty goes with the old PIN");
            host.unblock(isNew ? Host.PUK : Host.NEW_PUK, Host.PIN).expect(0x63C9);
            host.unblock(isNew ? Host.NEW_PUK : Host.PUK, Host.PIN).ok();
        });
    }

    @Test
    void unblock() {
        Supplier<Host> prepare = () -> {
            Host host = Host.enrolled();
            for (int i = 0; i < 3; i++) {
                host.tryVerify(WRONG);
            }
            return host;
        };
        cutEverywhere(prepare, host -> host.unblock(Host.PUK, Host.NEW_PIN).ok(), (host, done) -> {
            Host.Selected selected = host.select();
            assertEquals(10, selected.pukTries());
            host.tryVerify(Host.PIN).expect(selected.pinTries() == 0 ? 0x6983 : 0x63C2);
            if (selected.pinTries() == 0) {
                assertFalse(done);
                host.unblock(Host.PUK, Host.NEW_PIN).ok();
            }
            host.verify(Host.NEW_PIN);
        });
    }

    @Test
    void setServer() {
        byte[] address = Host.filled(64, 'n');
        byte[] caPin = Host.filled(32, 0x99);
        Consumer<Host> command = host -> {
            host.verify();
            host.setServer(address, caPin).ok();
        };
        cutEverywhere(Host::enrolled, command, (host, done) -> {
            host.verify();
            ByteBuffer info = host.readInfo().fields();
            Host.take(info, 16);
            Host.takeLv(info);
            Host.takeLv(info);
            boolean isNew = Arrays.equals(address, Host.takeLv(info));
            assertTrue(isNew || !done);
            assertArrayEquals(isNew ? caPin : Host.CA_PIN, Host.take(info, 32));
        });
    }

    @Test
    void addTerminal() {
        Terminal old = new Terminal();
        Terminal added = new Terminal();
        cutEverywhere(enrolledWith(old), host -> host.add(added, "added"), (host, done) -> {
            host.verify();
            host.list(0).expect(0x9000);
            assertTrue(host.list(1).sw() == 0x9000 || !done);
            assertEquals(1, host.add(added, "added"));
            host.openFresh(added);
        });
    }

    @Test
    void relabelTerminal() {
        Terminal terminal = new Terminal();
        cutEverywhere(enrolledWith(terminal), host -> host.add(terminal, "after"), (host, done) -> {
            host.verify();
            ByteBuffer answer = host.list(0).fields();
            assertArrayEquals(terminal.id, Host.take(answer, 32));
            String label = new String(Host.takeLv(answer), StandardCharsets.UTF_8);
            assertTrue(label.equals("after") || label.equals("before") && !done, label);
        });
    }

    @Test
    void removeTerminal() {
        Terminal stays = new Terminal();
        Terminal goes = new Terminal();
        Supplier<Host> prepare = () -> {
            Host host = enrolledWith(stays, goes).get();
            host.openFresh(goes);
            return host;
        };
        Consumer<Host> command = host -> {
            host.verify();
            host.remove(goes.id).ok();
        };
        cutEverywhere(prepare, command, (host, done) -> {
            host.verify();
            boolean isGone = host.list(1).sw() == 0x6A82;
            assertTrue(isGone || !done);
            assertEquals(isGone ? 0 : 13, host.readSessions().fields().remaining());
            host.verify();
            host.remove(goes.id).expect(isGone ? 0x6A82 : 0x9000);
            // The next one in the slot does not inherit a session.
            assertEquals(1, host.add(new Terminal(), "next"));
            assertEquals(0, host.readSessions().fields().remaining());
            assertEquals(0, host.openFresh(stays).unsettled());
        });
    }

    @Test
    void openSession() {
        Terminal terminal = new Terminal();
        Supplier<Host> prepare = () -> {
            Host host = enrolledWith(terminal).get();
            assertEquals(1, host.openFresh(terminal).n());
            return host;
        };
        cutEverywhere(prepare, host -> assertEquals(2, host.openFresh(terminal).n()), (host, done) -> {
            host.verify();
            ByteBuffer sessions = host.readSessions().fields();
            sessions.position(9);
            int unsettled = sessions.getInt();
            assertTrue(unsettled == 2 || unsettled == 1 && !done, "unsettled " + unsettled);
            // The number that was counted is never used again, whether or not anybody saw it.
            assertEquals(unsettled + 1, host.openFresh(terminal).n());
        });
    }

    @Test
    void putHead() {
        Terminal terminal = new Terminal();
        Terminal other = new Terminal();
        byte[] before = Host.head(1, 10, 1, 1, 1, 0);
        byte[] after = Host.head(1, 11, 2, 2, 2, 1);
        Supplier<Host> prepare = () -> {
            Host host = enrolledWith(terminal, other).get();
            host.openFresh(other);
            Host.Session session = host.openFresh(terminal);
            host.putHead(session.token(), before, 1).ok();
            return host;
        };
        Consumer<Host> command = host -> host.putHead(host.openFresh(terminal).token(), after, 3).ok();
        cutEverywhere(prepare, command, (host, done) -> {
            host.verify();
            host.getChallenge();
            Host.Session session = host.open(terminal);
            boolean isNew = Arrays.equals(after, session.head());
            if (!isNew) {
                assertFalse(done);
                assertArrayEquals(before, session.head());
                assertTrue((session.unsettled() & 2) != 0, "nothing is settled without its head");
            }
            assertTrue(!done || session.unsettled() == 0);
            host.putHead(session.token(), after, 3).ok();
            assertEquals(0, host.openFresh(terminal).unsettled());
        });
    }

    @Test
    void terminate() {
        Terminal terminal = new Terminal();
        int writes = cutEverywhere(enrolledWith(terminal), host -> host.terminate(Host.PUK).ok(), (host, done) -> {
            Host.Selected selected = host.select();
            if (selected.lifecycle() == 7) {
                assertFalse(done);
                host.openFresh(terminal);
                return;
            }
            assertEquals(0x7F, selected.lifecycle());
            assertArrayEquals(new byte[16], selected.pseudonym());
            host.tryVerify(Host.PIN).expect(0x6985);
            TerminateTest.assertWiped(host);
        });
        assertTrue(writes > 40, "a wipe writes " + writes + " times");
    }

    @Test
    void aWipeThatIsCutAgainGoesOn() {
        Terminal terminal = new Terminal();
        Supplier<Host> prepare = () -> {
            Host host = enrolledWith(terminal).get();
            host.card.nv.cutAt(5, 0);
            host.terminate(Host.PUK).expect(0x6F00);
            host.card.powerCycle();
            return host;
        };
        cutEverywhere(prepare, Host::select, (host, done) -> {
            assertEquals(0x7F, host.select().lifecycle());
            TerminateTest.assertWiped(host);
        });
    }

    @Test
    void noNumberIsUsedTwiceOverManyCuts() {
        long seed = Seed.next();
        Random random = new Random(seed);
        Terminal terminal = new Terminal();
        Host host = enrolledWith(terminal).get();
        long last = 0;
        byte[] stored = null;
        for (int i = 0; i < 400; i++) {
            if (random.nextInt(3) > 0) {
                host.card.nv.cutAt(random.nextInt(6), random.nextInt(10));
            }
            byte[] next = Host.head(1, i + 1L, i, 1, 1, 0);
            boolean putUnderWay = false;
            try {
                Host.Session session = host.openFresh(terminal);
                assertTrue(session.n() > last, "number " + session.n() + " after " + last + Seed.hint(seed));
                last = session.n();
                if (stored != null) {
                    assertArrayEquals(stored, session.head(), "head" + Seed.hint(seed));
                }
                putUnderWay = true;
                host.putHead(session.token(), next, 1).ok();
                stored = next;
            } catch (AssertionError e) {
                if (!host.card.nv.wasCut()) {
                    throw e;
                }
                host.card.powerCycle();
                Host.Session session = host.openFresh(terminal);
                assertTrue(session.n() > last, "number " + session.n() + " after " + last + Seed.hint(seed));
                last = session.n();
                boolean isNext = Arrays.equals(next, session.head());
                assertTrue(putUnderWay || !isNext, "head" + Seed.hint(seed));
                if (isNext) {
                    stored = next;
                } else {
                    assertArrayEquals(stored == null ? new byte[Head.LENGTH] : stored, session.head(),
                            "head" + Seed.hint(seed));
                }
            }
            host.card.powerCycle();
        }
    }
}
