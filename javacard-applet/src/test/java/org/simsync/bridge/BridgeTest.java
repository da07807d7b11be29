package org.simsync.bridge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class BridgeTest {
    private static final String SECRET = "5A".repeat(16);
    private static final int[] SELECT =
            {0x00, 0xA4, 4, 0, 9, 0xF0, 'S', 'I', 'M', 'S', 'Y', 'N', 'C', 1, 0};
    private static final int[] SELECT_NEIGHBOUR =
            {0x00, 0xA4, 4, 0, 10, 0xF0, 'N', 'E', 'I', 'G', 'H', 'B', 'O', 'U', 'R', 0};
    private static final int[] GET_CHALLENGE = {0x80, 0x84, 0, 0, 0};
    private static final int[] VERIFY = {0x00, 0x20, 0, 0x81, 8, '1', '2', '3', '4', 0xFF, 0xFF, 0xFF, 0xFF};

    private final Bridge bridge = new Bridge(() -> { });
    private FakeReader reader;

    @BeforeEach
    void open() throws IOException {
        reader = new FakeReader();
    }

    @AfterEach
    void close() throws IOException {
        reader.close();
    }

    private void ok(String request) {
        assertEquals("ok", bridge.answer(request), request);
    }

    private void insert(String name) throws IOException {
        ok("insert " + name + " " + reader.port());
        reader.accept();
    }

    private static int sw(byte[] answer) {
        return (answer[answer.length - 2] & 0xFF) << 8 | answer[answer.length - 1] & 0xFF;
    }

    @Test
    void theAtrSaysTOneAndItsCheckByteIsRight() throws IOException {
        ok("blank a " + SECRET);
        insert("a");
        byte[] atr = reader.exchange(4);
        int check = 0;
        for (int i = 1; i < atr.length; i++) {
            check ^= atr[i];
        }
        assertEquals(0, check);
        assertEquals(0x3B, atr[0]);
        assertEquals(1, atr[2] & 0x0F, "the first protocol offered");
    }

    @Test
    void theCardAnswersAndItsStateOutlivesInsertions() throws IOException {
        ok("blank a " + SECRET);
        insert("a");
        byte[] selected = reader.exchange(SELECT);
        assertEquals(38 + 2, selected.length);
        assertEquals(1, selected[2], "installed");
        assertEquals("ok a:" + reader.port() + ":1", bridge.answer("cards"));
        int[] personalise = {0x80, 0x10, 0, 0, 70};
        int[] data = new int[70];
        Arrays.fill(data, 0, 16, 0x5A);
        int[] rest = {1, 's', 0, 1, 'a'};
        System.arraycopy(rest, 0, data, 16, rest.length);
        Arrays.fill(data, 53, 61, '1');
        Arrays.fill(data, 61, 69, '2');
        int[] command = Arrays.copyOf(personalise, 76);
        System.arraycopy(data, 0, command, 5, 70);
        assertEquals(0x9000, sw(reader.exchange(command)));
        ok("eject a");
        assertTrue(reader.isGone());
        insert("a");
        assertEquals(3, reader.exchange(SELECT)[2], "personalised");
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2})
    void powerAndResetDeselectTheApplet(int control) throws IOException {
        ok("blank a " + SECRET);
        insert("a");
        reader.exchange(SELECT);
        assertEquals(0x9000, sw(reader.exchange(GET_CHALLENGE)));
        reader.send(control);
        assertFalse(sw(reader.exchange(GET_CHALLENGE)) == 0x9000, "no applet is selected");
    }

    @Test
    void aSimHasAnAtrOfItsOwnAndCountsPinsOverInsertions() throws IOException {
        ok("sim a usim 8901000000000000801 001010000000001 1234");
        insert("a");
        byte[] atr = reader.exchange(4);
        int check = 0;
        for (int i = 1; i < atr.length; i++) {
            check ^= atr[i];
        }
        assertEquals(0, check);
        assertEquals(0, atr[3] & 0x0F, "T=0 comes first");
        int[] wrong = {0x00, 0x20, 0, 1, 8, '9', '9', '9', '9', 0xFF, 0xFF, 0xFF, 0xFF};
        int[] right = {0x00, 0x20, 0, 1, 8, '1', '2', '3', '4', 0xFF, 0xFF, 0xFF, 0xFF};
        assertEquals(0x63C2, sw(reader.exchange(wrong)));
        ok("eject a");
        insert("a");
        assertEquals(0x63C1, sw(reader.exchange(wrong)));
        assertEquals(0x9000, sw(reader.exchange(right)));
        assertEquals(0x63C3, sw(reader.exchange(0x00, 0x20, 0, 1)));
        for (int tries : new int[] {0x63C2, 0x63C1, 0x6983, 0x6983}) {
            assertEquals(tries, sw(reader.exchange(wrong)));
        }
        assertEquals(0x6983, sw(reader.exchange(right)));
    }

    @Test
    void aBlankCardHasADomainAndOutlivesInsertions() throws IOException {
        ok("blank-gp a scp=03 kvn=30 tries=1");
        insert("a");
        assertEquals(0x6A82, sw(reader.exchange(SELECT)), "nothing of ours");
        assertEquals(0x9000, sw(reader.exchange(SELECT_NEIGHBOUR)));
        assertEquals(0x63C2, sw(reader.exchange(VERIFY)));
        byte[] domain = reader.exchange(0x00, 0xA4, 4, 0, 0);
        assertEquals(0x6F, domain[0]);
        int[] update = {0x80, 0x50, 0x30, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0};
        byte[] first = reader.exchange(update);
        assertEquals(32 + 2, first.length);
        ok("eject a");
        assertTrue(reader.isGone());
        insert("a");
        byte[] second = reader.exchange(update);
        assertArrayEquals(Arrays.copyOf(first, 10), Arrays.copyOf(second, 10), "the same card");
        assertEquals(2, second[31], "the counter went on");
        reader.exchange(SELECT_NEIGHBOUR);
        assertEquals(0x63C1, sw(reader.exchange(VERIFY)), "and so did the neighbour's");
    }

    @Test
    void blankCardsDiffer() throws IOException {
        ok("blank-gp a");
        ok("blank-gp b i=60");
        try (FakeReader second = new FakeReader()) {
            insert("a");
            ok("insert b " + second.port());
            second.accept();
            int[] update = {0x80, 0x50, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0};
            assertFalse(Arrays.equals(Arrays.copyOf(reader.exchange(update), 10), Arrays.copyOf(second.exchange(update), 10)));
        }
        assertTrue(bridge.answer("blank-gp a").startsWith("error card a is in a reader"));
    }

    @Test
    void commandsThatAreNoneGetAnAnswer() throws IOException {
        ok("blank a " + SECRET);
        insert("a");
        reader.exchange(SELECT);
        assertEquals(0x6700, sw(reader.exchange(0x80, 0x84)));
        assertEquals(0x6700, sw(reader.exchange(0x80, 0x84, 0, 0, 5, 1)));
        assertEquals(0x6700, sw(reader.exchange(0x80, 0x84, 0, 0, 0, 0, 1, 1)));
        reader.send(9);
        reader.send();
        assertEquals(0x9000, sw(reader.exchange(GET_CHALLENGE)));
    }

    @Test
    void cardsShareNothing() throws IOException {
        ok("blank a " + SECRET);
        ok("blank b " + SECRET);
        try (FakeReader second = new FakeReader()) {
            insert("a");
            ok("insert b " + second.port());
            second.accept();
            byte[] one = reader.exchange(SELECT);
            byte[] other = second.exchange(SELECT);
            assertFalse(Arrays.equals(one, other), "challenges");
            assertEquals("ok a:" + reader.port() + ":1 b:" + second.port() + ":1", bridge.answer("cards"));
            ok("eject a");
            assertEquals(0x9000, sw(second.exchange(GET_CHALLENGE)), "the other card stays selected");
        }
    }

    @Test
    void aYankHidesTheAnswerOfACommandThatWasDone() throws IOException {
        ok("blank a " + SECRET);
        insert("a");
        ok("yank a 2");
        assertEquals(0x9000, sw(reader.exchange(SELECT_NEIGHBOUR)));
        reader.send(VERIFY);
        assertTrue(reader.isGone());
        insert("a");
        reader.exchange(SELECT_NEIGHBOUR);
        assertEquals(0x63C1, sw(reader.exchange(VERIFY)), "the try of the lost answer was counted");
        assertEquals(0x63C0, sw(reader.exchange(VERIFY)), "one cut only");
    }

    @Test
    void aYankBeforeHidesTheCommandFromTheCard() throws IOException {
        ok("blank a " + SECRET);
        insert("a");
        ok("yank-before a 2");
        assertEquals(0x9000, sw(reader.exchange(SELECT_NEIGHBOUR)));
        reader.send(VERIFY);
        assertTrue(reader.isGone());
        insert("a");
        reader.exchange(SELECT_NEIGHBOUR);
        assertEquals(0x63C2, sw(reader.exchange(VERIFY)));
    }

    @Test
    void aReaderThatClosesHasEjectedTheCard() throws IOException {
        ok("blank a " + SECRET);
        insert("a");
        reader.exchange(SELECT);
        reader.closeCard();
        long deadline = System.nanoTime() + 10_000_000_000L;
        while (!bridge.answer("cards").equals("ok a:-:1")) {
            assertTrue(System.nanoTime() < deadline, bridge.answer("cards"));
            Thread.onSpinWait();
        }
        insert("a");
    }

    @Test
    void ejectWorksWhileTheReaderIsSilent() throws IOException {
        ok("blank a " + SECRET);
        insert("a");
        ok("eject a");
        assertTrue(reader.isGone());
        assertEquals("ok a:-:0", bridge.answer("cards"));
    }

    @Test
    void statsCountApdusAndBytes() throws IOException {
        ok("blank a " + SECRET);
        insert("a");
        reader.exchange(SELECT);
        reader.exchange(4);
        assertEquals("ok apdus=1 bytes=55 in=15 out=40", bridge.answer("stats a"));
        ok("stats-reset a");
        reader.exchange(GET_CHALLENGE);
        assertEquals("ok apdus=1 bytes=23 in=5 out=18", bridge.answer("stats a"));
        ok("wait-idle a 1");
    }

    @Test
    void theLogHasOneLineAnApduAndNeverData(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("apdu.log");
        ok("blank a " + SECRET);
        insert("a");
        ok("log on " + file);
        reader.exchange(SELECT);
        reader.exchange(VERIFY);
        ok("log off");
        reader.exchange(GET_CHALLENGE);
        List<String> lines = Files.readAllLines(file);
        assertEquals(2, lines.size());
        assertTrue(lines.get(0).matches("\\d+ a 00A40400 9 9000 \\d+us"), lines.get(0));
        assertTrue(lines.get(1).matches("\\d+ a 00200081 8 6985 \\d+us"), lines.get(1));
    }

    @Test
    void aCardInAReaderIsNeitherReplacedNorInsertedAgain() throws IOException {
        ok("blank a " + SECRET);
        insert("a");
        assertTrue(bridge.answer("blank a " + SECRET).startsWith("error card a is in a reader"));
        assertTrue(bridge.answer("insert a " + reader.port()).startsWith("error card a is in the reader at port"));
        assertEquals(0x9000, sw(reader.exchange(SELECT)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "   ", "nonsense", "blank", "blank a", "blank a 00", "blank a zz", "blank a " + "g0",
            "sim a sim 1 001010000000001", "sim a card 8901000000000000801 001010000000001", "sim a usim 8901000000000000801",
            "blank-gp", "blank-gp a scp=01", "blank-gp a what", "blank-gp a kvn=1 kvn=2",
            "insert", "insert nobody 1", "insert x y z w v", "eject", "eject nobody", "yank nobody 1", "yank nobody",
            "yank-before nobody 0", "cards now", "stats", "stats nobody", "stats-reset nobody", "wait-idle nobody 5",
            "log", "log on", "log sideways", "log off now", "log on /nowhere/at/all/log"})
    void badRequestsGetASentence(String request) {
        String answer = bridge.answer(request);
        assertTrue(answer.startsWith("error ") && answer.length() > 15 && !answer.contains("defect"), answer);
    }

    @Test
    void badNumbersAndDeadPortsGetASentence() throws IOException {
        ok("blank a " + SECRET);
        int dead = reader.port();
        reader.close();
        assertTrue(bridge.answer("insert a " + dead).startsWith("error input or output failed"));
        assertTrue(bridge.answer("insert a 0").startsWith("error 0 is not a port"));
        assertTrue(bridge.answer("insert a 65536").startsWith("error 65536 is not a port"));
        assertTrue(bridge.answer("insert a x").startsWith("error x is not a port"));
        assertTrue(bridge.answer("eject a").startsWith("error card a is in no reader"));
        assertTrue(bridge.answer("yank a 1").startsWith("error card a is in no reader"));
        assertArrayEquals(new String[] {"ok", "a:-:0"}, bridge.answer("cards").split(" "));
    }
}
