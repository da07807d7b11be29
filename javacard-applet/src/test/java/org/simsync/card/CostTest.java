package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;

/** Counts what each command costs, with the longest data, and holds docs/card.md to it. */
class CostTest {
    /**
     * What JCAlgTest has measured, in tenths of a millisecond. A digest of n blocks takes digest + n * block, a fit to its
     * figures for 16 to 512 bytes.
     */
    private record Chip(String name, int command, int signInit, int sign, int verify, int agreeInit, int agree, int set, int read,
            int digest, int block) {
        int milliseconds(Counting counting) {
            int tenths = command + counting.signed * (signInit + sign) + counting.verified * (signInit + verify)
                    + counting.agreed * (agreeInit + agree) + counting.set * set + counting.read * read
                    + counting.digests * digest + counting.blocks * block;
            return (tenths + 5) / 10;
        }

        String row() {
            return String.format("| %s | %d | %d, %d | %d, %d | %d, %d | %d | %d | %d, %d |", name, command, sign, signInit,
                    verify, signInit, agree, agreeInit, set, read, digest, block);
        }
    }

    private static final List<Chip> CARDS = List.of(new Chip("NXP J3R180", 150, 81, 320, 302, 79, 200, 34, 4, 10, 14),
            new Chip("NXP J3H145", 150, 58, 563, 503, 85, 551, 117, 13, 10, 15),
            new Chip("Infineon SLJ 52GLA080 (SLE78 class)", 150, 27, 1459, 1009, 33, 1262, 1895, 71, 20, 67));
    private static final int LONGEST_SIGNATURE = 72;
    private static final String LABEL = "a terminal's whole label";

    private final List<String> rows = new ArrayList<>();
    private final Host host = new Host(new TestCard());
    private final Counting counting;

    CostTest() throws ReflectiveOperationException {
        counting = Counting.on(host.card);
    }

    /** One command; in is the length of its data. */
    private Answer count(String name, int in, Supplier<Answer> command) {
        host.card.nv.never();
        counting.reset();
        Answer answer = command.get();
        answer.expect(0x9000);
        int longer = counting.signature == 0 ? 0 : LONGEST_SIGNATURE - counting.signature;
        int bytesIn = 4 + (in > 0 ? 1 + in : 0) + 1;
        StringBuilder row = new StringBuilder(String.format("| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d |", name,
                bytesIn, answer.data().length + longer + 2, host.card.nv.writes(), host.card.nv.bytes(), counting.signed,
                counting.verified, counting.agreed, counting.set, counting.blocks));
        CARDS.forEach(card -> row.append(' ').append(card.milliseconds(counting)).append(" |"));
        rows.add(row.toString());
        return answer;
    }

    @Test
    void theDocumentSaysWhatCommandsCost() throws Exception {
        wholeLife();
        List<String> document = Files.readAllLines(Path.of("../docs/card.md"));
        int begin = document.indexOf("## Costs");
        assertTrue(begin > 0, "docs/card.md has no costs");
        int table = document.indexOf("| command | bytes in | bytes out | writes | array bytes | sign | verify | agree | set | blocks"
                + " | J3R180 | J3H145 | SLE78 |");
        List<String> chips = document.subList(begin, table).stream().filter(line -> line.matches("\\| [A-Z].*\\|")).toList();
        assertEquals(CARDS.stream().map(Chip::row).toList(), chips);
        List<String> commands = document.subList(table, document.size()).stream()
                .filter(line -> line.matches("\\| [A-Z].*\\|")).toList();
        assertEquals(String.join("\n", rows), String.join("\n", commands));
    }

    /** The way of every session, after power came: nothing of the records is known yet, and their checksums are looked at. */
    @Test
    void f_f3_theDocumentSaysHowLongASessionTakesToOpen() throws Exception {
        host.select();
        host.personalise(0);
        host.generateKeys();
        host.markEnrolled().ok();
        host.select();
        Terminal terminal = new Terminal();
        host.add(terminal, LABEL);
        host.add(new Terminal(), LABEL);
        Terminal before = new Terminal();
        host.add(before, LABEL);
        host.openFresh(before);
        String sentence = String.format("SELECT, VERIFY, OPEN SESSION; computed %s ms, and %s ms where the terminal is the"
                + " one that came last", fromInsertion(terminal), fromInsertion(terminal));
        String document = Files.readString(Path.of("../docs/card.md")).replaceAll("\\s+", " ");
        assertTrue(document.contains(sentence), "docs/card.md does not say: " + sentence);
    }

    private String fromInsertion(Terminal terminal) {
        host.card.powerCycle();
        int[] sums = new int[CARDS.size()];
        List<Runnable> commands = List.of(host::select, host::verify, () -> host.open(terminal));
        for (Runnable command : commands) {
            counting.reset();
            command.run();
            Arrays.setAll(sums, i -> sums[i] + CARDS.get(i).milliseconds(counting));
        }
        return String.format("%d, %d and %d", sums[0], sums[1], sums[2]);
    }

    private void wholeLife() {
        count("SELECT", 9, () -> host.card.send(0x00, 0xA4, 4, 0, org.simsync.bridge.fault.FaultyCard.AID));
        host.select();
        byte[] longest = Host.personaliseData(TestCard.TRANSPORT, Host.filled(32, 's'), Host.filled(32, 'l'),
                Host.filled(64, 'h'), Host.PIN, Host.PUK, Host.OPTION_CHANGE_PIN);
        host.cardId = count("PERSONALISE", longest.length, () -> host.card.send(0x80, 0x10, 0, 0, longest)).data();
        count("GENERATE KEYS", 48, host::tryGenerateKeys);
        host.generateKeys();
        count("ENROLLED", 16, host::markEnrolled);
        host.select();
        count("CHANGE, first", 24, () -> host.change(Host.PIN, Host.NEW_PIN, Host.NEW_PUK));
        count("CHANGE", 16, () -> host.change(Host.NEW_PIN, Host.PIN));
        count("GET CHALLENGE", 0, () -> host.card.send(0x80, 0x84, 0, 0));
        count("RESET RETRY COUNTER", 16, () -> host.unblock(Host.NEW_PUK, Host.PIN));
        count("VERIFY", 8, () -> host.tryVerify(Host.PIN));
        count("SET SERVER", 97, () -> host.setServer(Host.filled(64, 'n'), Host.CA_PIN));
        count("READ INFO", 0, host::readInfo);
        count("READ KEYS", 32, () -> host.readKeys(Host.CALLERS));
        Terminal first = new Terminal();
        host.verify();
        count("ADD TERMINAL", 65 + 25 + 32, () -> host.tryAdd(first.point, LABEL, Host.CALLERS));
        for (int i = 2; i < Proto.SLOTS; i++) {
            host.add(new Terminal(), LABEL);
        }
        Terminal last = new Terminal();
        host.add(last, LABEL);
        host.card.powerCycle();
        host.select();
        host.verify();
        Host.Session[] session = new Host.Session[1];
        count("OPEN SESSION", 129 + LONGEST_SIGNATURE, () -> open(last));
        host.card.powerCycle();
        host.select();
        host.verify();
        count("OPEN SESSION, same terminal", 129 + LONGEST_SIGNATURE, () -> open(last));
        session[0] = host.openFresh(last);
        count("RENEW", 48, () -> host.renew(session[0].token(), Host.CALLERS));
        byte[] head = Host.head(1, 1, 1, 1, 1, 0);
        count("PUT HEAD", 99, () -> host.putHead(session[0].token(), head, 1));
        byte[] next = Host.head(1, 2, 2, 1, 1, 1);
        count("PUT HEAD, settling", 99, () -> host.putHead(session[0].token(), next, 0xFFFF));
        count("LIST", 0, () -> host.list(15));
        host.openFresh(last);
        count("READ SESSIONS, one", 0, host::readSessions);
        host.verify();
        count("SIGN", 32, () -> host.sign(1, Host.CALLERS));
        host.verify();
        count("REMOVE TERMINAL", 32, () -> host.remove(last.id));
        count("TERMINATE", 8, () -> host.terminate(Host.NEW_PUK));
    }

    private Answer open(Terminal terminal) {
        byte[] point = new Terminal().point;
        byte[] signature = terminal.sign(host.terminalText(Host.CALLERS, point));
        return host.tryOpen(terminal.id, Host.CALLERS, point, signature);
    }

    /** Transient arrays and persistent ones, with all 16 terminals; keys, PINs and objects are the platform's own. */
    @Test
    void memoryIsWithinWhatSmallCardsHave() throws Exception {
        int transientBytes = 0;
        Object ram = Records.field(host.card, "ram");
        Set<Object> inRam = Collections.newSetFromMap(new IdentityHashMap<>());
        for (Field field : ram.getClass().getDeclaredFields()) {
            if (field.getType() == byte[].class && !Modifier.isStatic(field.getModifiers())) {
                field.setAccessible(true);
                byte[] array = (byte[]) field.get(ram);
                inRam.add(array);
                transientBytes += array.length;
            }
        }
        // Constants that no object holds: the curve.
        int persistentBytes = persistent(host.card.applet, inRam) + statics(Curve.class, inRam);
        String sentence = String.format("%,d bytes of transient and %,d bytes of persistent arrays", transientBytes,
                persistentBytes);
        String document = Files.readString(Path.of("../docs/card.md")).replaceAll("\\s+", " ");
        assertTrue(document.contains(sentence), "docs/card.md does not say: " + sentence);
        assertTrue(transientBytes < 2_048 && persistentBytes < 12_288, sentence);
    }

    private static int statics(Class<?> type, Set<Object> seen) throws IllegalAccessException {
        int bytes = 0;
        for (Field field : type.getDeclaredFields()) {
            if (Modifier.isStatic(field.getModifiers()) && field.getType() == byte[].class) {
                field.setAccessible(true);
                bytes += persistent(field.get(null), seen);
            }
        }
        return bytes;
    }

    /** Bytes of all arrays that can be reached through our own objects. */
    private static int persistent(Object from, Set<Object> seen) throws IllegalAccessException {
        if (from == null || !seen.add(from)) {
            return 0;
        }
        if (from instanceof byte[] array) {
            return array.length;
        }
        int bytes = 0;
        if (from instanceof Object[] objects) {
            for (int i = 0; i < Array.getLength(objects); i++) {
                bytes += persistent(objects[i], seen);
            }
            return bytes;
        }
        for (Class<?> type = from.getClass(); isOurs(type); type = type.getSuperclass()) {
            for (Field field : type.getDeclaredFields()) {
                if (!field.getType().isPrimitive()) {
                    field.setAccessible(true);
                    bytes += persistent(field.get(from), seen);
                }
            }
        }
        return bytes;
    }

    private static boolean isOurs(Class<?> type) {
        return type != null && type.getPackageName().startsWith("org.simsync");
    }
}
