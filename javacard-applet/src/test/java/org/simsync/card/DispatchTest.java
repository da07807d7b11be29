package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.simsync.bridge.fault.FaultyCard;

/** What every command refuses before it looks at its data: class, instruction, P1 P2, lifecycle, length, right. */
class DispatchTest {
    /** A command as docs/card.md lists it: its lengths are those that are not refused as such. */
    private record Command(String name, int cla, int ins, int p1, int p2, Set<Integer> lifecycles, Right right,
            IntStream lengths) {
        List<Integer> lengthList() {
            return lengths.boxed().toList();
        }

        boolean takesNone() {
            return Set.of("GET CHALLENGE", "READ INFO", "LIST", "READ SESSIONS").contains(name);
        }
    }

    private enum Right { NONE, PIN, DIRECT, TOKEN }

    private static final int INSTALLED = 0x01;
    private static final int PERSONALISED = 0x03;
    private static final int ENROLLED = 0x07;
    private static final int TERMINATED = 0x7F;

    private static Command own(String name, int ins, int p1, Right right, IntStream lengths) {
        return new Command(name, 0x80, ins, p1, 0, Set.of(ENROLLED), right, lengths);
    }

    private static Command pin(String name, int ins, IntStream lengths) {
        return new Command(name, 0x00, ins, 0, 0x81, Set.of(ENROLLED), Right.NONE, lengths);
    }

    private static List<Command> commands() {
        return List.of(
                new Command("GET CHALLENGE", 0x80, 0x84, 0, 0,
                        Set.of(INSTALLED, PERSONALISED, ENROLLED, TERMINATED), Right.NONE, IntStream.of(0)),
                new Command("PERSONALISE", 0x80, 0x10, 0, 0, Set.of(INSTALLED, PERSONALISED), Right.NONE,
                        IntStream.rangeClosed(70, 196)),
                new Command("GENERATE KEYS", 0x80, 0x12, 0, 0, Set.of(PERSONALISED), Right.NONE, IntStream.of(48)),
                new Command("ENROLLED", 0x80, 0x14, 0, 0, Set.of(PERSONALISED), Right.NONE, IntStream.of(16)),
                pin("VERIFY", 0x20, IntStream.of(0, 8)),
                pin("CHANGE REFERENCE DATA", 0x24, IntStream.of(16)),
                pin("RESET RETRY COUNTER", 0x2C, IntStream.of(16)),
                own("READ INFO", 0x20, 0, Right.PIN, IntStream.of(0)),
                own("READ KEYS", 0x22, 0, Right.PIN, IntStream.of(32)),
                own("SET SERVER", 0x24, 0, Right.DIRECT, IntStream.rangeClosed(34, 97)),
                own("ADD TERMINAL", 0x30, 0, Right.DIRECT, IntStream.rangeClosed(98, 122)),
                own("LIST", 0x32, 0, Right.PIN, IntStream.of(0)),
                own("READ SESSIONS", 0x34, 0, Right.PIN, IntStream.of(0)),
                own("REMOVE TERMINAL", 0x36, 0, Right.DIRECT, IntStream.of(32)),
                own("OPEN SESSION", 0x40, 0, Right.PIN, IntStream.rangeClosed(137, 201)),
                own("RENEW", 0x42, 0, Right.TOKEN, IntStream.of(48)),
                own("PUT HEAD", 0x44, 0, Right.TOKEN, IntStream.of(99)),
                own("SIGN", 0x46, 1, Right.DIRECT, IntStream.of(32)),
                own("TERMINATE", 0x50, 0, Right.NONE, IntStream.of(0, 8)));
    }

    private static Host at(int lifecycle) {
        Host host = lifecycle == ENROLLED || lifecycle == TERMINATED ? Host.enrolled() : Host.installed();
        if (lifecycle == PERSONALISED) {
            host.personalise(0);
            host.generateKeys();
        } else if (lifecycle == TERMINATED) {
            host.terminate(Host.PUK).ok();
        }
        assertEquals(lifecycle, host.select().lifecycle());
        return host;
    }

    private static void assertSw(int expected, Answer answer, String what) {
        assertEquals(String.format("%04X", expected), String.format("%04X", answer.sw()), what);
    }

    @Test
    void otherClassesAreUnknown() {
        Host host = Host.enrolled();
        for (int cla = 0; cla < 256; cla++) {
            boolean onAChannel = (cla & 0x7C) == 0 || (cla & 0x70) == 0x40;
            boolean reserved = (cla & 0x60) == 0x20 || cla == 0xFF;
            if (!onAChannel) {
                int other = (cla & 0x10) != 0 ? 0x6884 : 0x6882;
                assertSw(reserved ? 0x6E00 : other, host.card.send(cla, 0x84, 0, 0), "class " + cla);
            }
        }
    }

    /** ISO 7816-4, 5.4.1 and table 6: what a class says, with the word for who cannot do it. */
    @Test
    void f_f2_chainingAndSecureMessagingAreRefusedByName() {
        Host host = Host.enrolled();
        for (int cla : new int[] {0x10, 0x13, 0x90, 0x1C, 0x50, 0x5F, 0xD0, 0x70}) {
            assertSw(0x6884, host.card.send(cla, 0x20, 0, 0x81), "chaining, class " + cla);
        }
        for (int cla : new int[] {0x04, 0x08, 0x0C, 0x0F, 0x84, 0x8C, 0x60, 0x6F, 0xE0}) {
            assertSw(0x6882, host.card.send(cla, 0x20, 0, 0x81), "secure messaging, class " + cla);
        }
        for (int cla : new int[] {0x20, 0x3F, 0xA0, 0xBC, 0xFF}) {
            assertSw(0x6E00, host.card.send(cla, 0x20, 0, 0x81), "reserved class " + cla);
        }
    }

    /** The runtime leaves the number of the logical channel in the class byte, as a modem's MANAGE CHANNEL gave it. */
    @Test
    void theClassMayCarryALogicalChannel() {
        Host host = Host.enrolled();
        List<Integer> channels = new ArrayList<>(List.of(0x01, 0x02, 0x03));
        for (int channel = 0x40; channel <= 0x4F; channel++) {
            channels.add(channel);
        }
        for (int channel : channels) {
            host.select();
            assertSw(0x6D00, host.card.send(channel, 0x84, 0, 0), "ISO class " + channel);
            assertSw(0x6A86, host.card.send(channel, 0x20, 0, 0), "ISO class " + channel);
            assertEquals(16, host.card.send(0x80 | channel, 0x84, 0, 0).data().length, "own class " + channel);
            // A VERIFY there counts there, and is no VERIFY of another class.
            assertSw(0x6982, host.card.send(0x80 | channel, 0x20, 0, 0), "own class " + channel);
        }
    }

    @Test
    void otherInstructionsAreUnknown() {
        Host host = Host.enrolled();
        Set<Integer> iso = Set.of(0xA4, 0x20, 0x24, 0x2C);
        List<Integer> own = new ArrayList<>();
        commands().stream().filter(command -> command.cla() == 0x80).forEach(command -> own.add(command.ins()));
        for (int ins = 0; ins < 256; ins++) {
            if (!iso.contains(ins)) {
                assertSw(0x6D00, host.card.send(0x00, ins, 0, 0), "instruction 00 " + ins);
            }
            if (!own.contains(ins)) {
                assertSw(0x6D00, host.card.send(0x80, ins, 0, 0), "instruction 80 " + ins);
            }
        }
    }

    @Test
    void otherParametersAreRefused() {
        Host host = Host.enrolled();
        for (Command command : commands()) {
            for (int other : new int[] {0x10, 0x55, 0xFF}) {
                assertSw(0x6A86, host.card.send(command.cla(), command.ins(), other, command.p2()), command.name());
                assertSw(0x6A86, host.card.send(command.cla(), command.ins(), command.p1(), other), command.name());
            }
        }
        assertSw(0x6A86, host.card.send(0x80, 0x46, 0, 0, Host.CALLERS), "SIGN under domain 0");
        assertSw(0x6A86, host.card.send(0x80, 0x46, 4, 0, Host.CALLERS), "SIGN under domain 4");
        assertSw(0x6A86, host.list(16), "LIST of slot 16");
    }

    @Test
    void selectOfAnAidThatIsNotThere() {
        Host host = Host.enrolled();
        host.card.send(0x00, 0xA4, 4, 0, Host.filled(9, 0xA0)).expect(0x6A82);
        host.card.send(0x00, 0xA4, 0, 0, Host.filled(2, 0x3F)).expect(0x6A86);
    }

    /** There is one instance of each name at most, so that none comes after it; the applet stays as it was. */
    @Test
    void f_f2_selectOfTheNextOccurrenceFindsNone() {
        Host host = Host.enrolled();
        host.verify();
        host.card.send(0x00, 0xA4, 4, 2, FaultyCard.AID).expect(0x6A82);
        host.card.send(0x00, 0xA4, 4, 2, Host.filled(9, 0xA0)).expect(0x6A82);
        host.readInfo().expect(0x9000);
        host.card.send(0x00, 0xA4, 4, 1, Host.filled(9, 0xA0)).expect(0x6A86);
        host.card.send(0x00, 0xA4, 4, 0x0C, Host.filled(9, 0xA0)).expect(0x6A86);
    }

    @Test
    void otherLifecyclesAreRefused() {
        for (int lifecycle : new int[] {INSTALLED, PERSONALISED, ENROLLED, TERMINATED}) {
            Host host = at(lifecycle);
            for (Command command : commands()) {
                if (!command.lifecycles().contains(lifecycle)) {
                    byte[] data = new byte[command.lengthList().get(0)];
                    assertSw(0x6985, host.card.send(command.cla(), command.ins(), command.p1(), command.p2(), data),
                            command.name() + " in lifecycle " + lifecycle);
                }
            }
        }
    }

    @Test
    void otherLengthsAreRefusedBeforeAnyRightIsAskedFor() {
        for (Command command : commands()) {
            Host host = at(command.lifecycles().contains(ENROLLED) ? ENROLLED : PERSONALISED);
            List<Integer> lengths = command.lengthList();
            int without = command.right() == Right.PIN ? 0x6982 : 0x9000;
            for (int length = 0; length < 256; length++) {
                if (!lengths.contains(length)) {
                    // What takes no data asks for none, so that what came all the same goes unnoticed.
                    assertSw(command.takesNone() ? without : 0x6700,
                            host.card.send(command.cla(), command.ins(), command.p1(), command.p2(), new byte[length]),
                            command.name() + " with " + length + " bytes");
                }
            }
        }
    }

    /** Cases 1 and 2 (ISO 7816-4): with T=1 byte 4 of the second is Le, though it may look like a length of data. */
    @Test
    void f_f1_commandsWithoutTheDataThatTheyNeedAreOfAWrongLength() {
        for (Command command : commands()) {
            if (command.lengthList().contains(0)) {
                continue;
            }
            Host host = at(command.lifecycles().contains(ENROLLED) ? ENROLLED : PERSONALISED);
            byte[] header = {(byte) command.cla(), (byte) command.ins(), (byte) command.p1(), (byte) command.p2()};
            assertSw(0x6700, host.card.raw(header), command.name() + ", case 1");
            for (int le = 0; le < 256; le++) {
                assertSw(0x6700, host.card.raw(Host.join(header, new byte[] {(byte) le})), command.name() + ", Le " + le);
            }
        }
    }

    @Test
    void commandsAreRefusedWithoutTheirRight() {
        Host host = Host.enrolled();
        for (Command command : commands()) {
            byte[] data = new byte[command.lengthList().get(0)];
            if (command.right() != Right.NONE) {
                assertSw(0x6982, host.card.send(command.cla(), command.ins(), command.p1(), command.p2(), data),
                        command.name() + " without its right");
            }
        }
        host.verify();
        host.getChallenge();
        for (Command command : commands()) {
            byte[] data = new byte[command.lengthList().get(0)];
            if (command.right() == Right.DIRECT || command.right() == Right.TOKEN) {
                assertSw(0x6982, host.card.send(command.cla(), command.ins(), command.p1(), command.p2(), data),
                        command.name() + " with the PIN verified, but not directly");
            }
        }
    }

    @Test
    void aPinThatMustBeChangedOpensNothing() {
        Host host = Host.enrolled(new TestCard(), Host.OPTION_CHANGE_PIN);
        for (Command command : commands()) {
            byte[] data = new byte[command.lengthList().get(0)];
            if (command.right() == Right.PIN || command.right() == Right.DIRECT) {
                host.verify();
                assertSw(0x6984, host.card.send(command.cla(), command.ins(), command.p1(), command.p2(), data),
                        command.name());
            }
        }
    }

    @Test
    void withTZeroTheLengthByteMayBeTheAnswers() {
        Host host = Host.enrolled(new TestCard("T=0"), 0);
        host.card.raw((byte) 0x80, (byte) 0x84, (byte) 0, (byte) 0, (byte) 16).ok(16);
        host.verify();
        host.card.raw((byte) 0x80, (byte) 0x34, (byte) 0, (byte) 0, (byte) 13).ok(0);
    }

    @Test
    void challengeIsNewEachTime() {
        Host host = Host.enrolled();
        byte[] first = host.challenge;
        host.getChallenge();
        byte[] second = host.challenge;
        assertFalse(Arrays.equals(first, second));
    }
}
