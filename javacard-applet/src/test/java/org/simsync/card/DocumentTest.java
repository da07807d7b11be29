package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.TreeSet;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** docs/card.md says what another client needs, and the applet does what it says. */
class DocumentTest {
    private String document;

    @BeforeEach
    void read() throws IOException {
        document = Files.readString(Path.of("../docs/card.md"));
    }

    /** Without line breaks, from one heading to the next. */
    private String section(String heading) {
        int begin = document.indexOf("# " + heading + "\n");
        assertTrue(begin >= 0, "docs/card.md has no section " + heading);
        int end = document.indexOf("\n#", begin);
        return document.substring(begin, end < 0 ? document.length() : end).replaceAll("\\s+", " ");
    }

    private static void assertSays(String text, String... words) {
        for (String word : words) {
            assertTrue(text.contains(word), "docs/card.md does not say " + word + " in: " + text);
        }
    }

    @Test
    void f_f3_itSaysWhatVerifyWithoutDataAnswers() {
        assertSays(section("VERIFY without data"), "`9000`", "`63CX`", "`6983`");
        Host host = Host.enrolled();
        host.askPin().expect(0x63C3);
        host.verify();
        host.askPin().expect(0x9000);
        for (int i = 0; i < 3; i++) {
            host.tryVerify(Host.NEW_PIN);
        }
        host.askPin().expect(0x6983);
    }

    @Test
    void f_f3_itDefinesItsWords() {
        String words = section("Words");
        for (String word : List.of("binding", "CA fingerprint", "head, head hash", "list hash", "list number", "epoch",
                "sequence", "closed", "N", "HPKE point", "key object", "settled")) {
            assertSays(words, "| " + word + " |");
        }
        assertSays(words, "security.md#sessions");
        assertTrue(!document.contains("CA pin"), "a PIN is a secret; a CA has a fingerprint");
    }

    @Test
    void f_f3_itSaysHowTextsAreEncoded() {
        assertSays(section("Words"), "Labels (of card and terminal): UTF-8", "Subscriber ID: ASCII", "Server address: ASCII");
    }

    @Test
    void f_f3_itSaysThatUnknownFlagsAreRefused() {
        assertSays(section("PUT HEAD data (99 bytes)"), "a flag other than bit 0");
    }

    @Test
    void f_f3_itSaysHowLongSignaturesAre() {
        String range = Proto.LEN_SIGNATURE_MIN + " to " + Proto.LEN_SIGNATURE_MAX + " bytes";
        assertSays(document.replaceAll("\\s+", " "), "DER, " + range);
        assertSays(document, "signature \"terminal\" (" + Proto.LEN_SIGNATURE_MIN + "–" + Proto.LEN_SIGNATURE_MAX + ")");
    }

    /** Every word that the applet knows has its row, and every row but the runtime's own is a word that it knows. */
    @Test
    void f_f3_itListsTheStatusWords() throws IllegalAccessException {
        TreeSet<String> known = new TreeSet<>(List.of("9000", "61XX", "6CXX"));
        for (Field field : Proto.class.getDeclaredFields()) {
            if (field.getName().startsWith("SW_")) {
                String word = String.format("%04X", field.getShort(null) & 0xFFFF);
                known.add(word.equals("63C0") ? "63CX" : word);
            }
        }
        TreeSet<String> listed = new TreeSet<>();
        for (String row : document.substring(document.indexOf("### Status words")).split("\n")) {
            if (row.matches("\\| [0-9A-F]{2}[0-9A-FX]{2}.*")) {
                listed.addAll(List.of(row.split("\\|")[1].trim().split(", ")));
            }
        }
        assertEquals(known, listed);
    }
}
