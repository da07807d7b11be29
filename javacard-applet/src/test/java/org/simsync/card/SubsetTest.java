package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.spi.ToolProvider;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/**
 * Looks through the applet's class files for what a card cannot do: a converter needs an SDK that not everybody has, and
 * some of this it does not even refuse.
 */
class SubsetTest {
    private static final Pattern INSTRUCTION = Pattern.compile("^\\s+\\d+: (\\w+)(.*)$");
    private static final Pattern METHOD = Pattern.compile("^  \\S.*[;{]$|^  static \\{\\};$");
    private static final Pattern CONSTRUCTOR =
            Pattern.compile("^  ((public |protected |private )?org\\.simsync\\.card\\.\\w+\\(.*|static \\{\\};)$");
    private static final Set<String> ARITHMETIC = Set.of("iadd", "isub", "imul", "idiv", "irem", "ineg", "ishl", "ishr",
            "iushr", "iand", "ior", "ixor");
    private static final Set<String> ALLOCATION = Set.of("new", "newarray", "anewarray");
    /** The platform's classes that the applet may name; all of them are in Java Card 3.0.4. */
    private static final Set<String> PLATFORM = Set.of("java/lang/Object", "java/lang/RuntimeException",
            "java/lang/Throwable", "javacard/framework/APDU", "javacard/framework/Applet",
            "javacard/framework/ISO7816", "javacard/framework/ISOException", "javacard/framework/JCSystem",
            "javacard/framework/OwnerPIN", "javacard/framework/Util", "javacard/security/ECKey",
            "javacard/security/ECPrivateKey", "javacard/security/ECPublicKey", "javacard/security/Key",
            "javacard/security/KeyAgreement", "javacard/security/KeyBuilder", "javacard/security/KeyPair",
            "javacard/security/MessageDigest", "javacard/security/PrivateKey", "javacard/security/PublicKey",
            "javacard/security/RandomData", "javacard/security/Signature");

    private static final List<Line> CODE = new ArrayList<>();

    /** An instruction with the method that it is in. */
    private record Line(String method, String opcode, String operand) {
        boolean isInConstructor() {
            return CONSTRUCTOR.matcher(method).matches();
        }
    }

    @BeforeAll
    static void disassemble() throws IOException {
        Path classes = Path.of(SimsyncApplet.class.getProtectionDomain().getCodeSource().getLocation().getPath());
        List<String> arguments = new ArrayList<>(List.of("-c", "-p"));
        try (Stream<Path> files = Files.list(classes.resolve("org/simsync/card"))) {
            files.filter(file -> file.toString().endsWith(".class")).map(Path::toString).sorted()
                    .forEach(arguments::add);
        }
        assertTrue(arguments.size() > 15, "classes of the applet in " + classes);
        StringWriter text = new StringWriter();
        PrintWriter out = new PrintWriter(text);
        assertEquals(0, ToolProvider.findFirst("javap").orElseThrow()
                .run(out, out, arguments.toArray(String[]::new)));
        String method = "";
        for (String line : text.toString().lines().toList()) {
            Matcher instruction = INSTRUCTION.matcher(line);
            if (instruction.matches()) {
                CODE.add(new Line(method, instruction.group(1), instruction.group(2)));
            } else if (METHOD.matcher(line).matches()) {
                method = line;
            }
        }
        assertTrue(CODE.size() > 1_000, "instructions");
    }

    @Test
    void everyArithmeticResultIsMadeShortOrByteAtOnce() {
        for (int i = 0; i < CODE.size() - 1; i++) {
            if (ARITHMETIC.contains(CODE.get(i).opcode())) {
                String next = CODE.get(i + 1).opcode();
                assertTrue(next.equals("i2s") || next.equals("i2b"), CODE.get(i) + " before " + next);
            }
        }
    }

    @Test
    void noTypesThatCardsLack() {
        for (Line line : CODE) {
            assertFalse(line.opcode().matches("[lfd](load|store|add|sub|mul|div|rem|neg|const|cmp).*|i2[lfdc]|[lfdc]a(load|store)"
                    + "|iaload|iastore|invokedynamic|multianewarray|monitor.*|.*_w|jsr.*|ret"), line.toString());
            assertFalse(line.opcode().startsWith("ldc") && line.operand().contains("String"), line.toString());
        }
    }

    @Test
    void nothingIsAllocatedAfterInstallation() {
        for (Line line : CODE) {
            if (ALLOCATION.contains(line.opcode())) {
                boolean isBuilt = line.isInConstructor() || line.method().contains(" install(");
                assertTrue(isBuilt, line.toString());
            }
        }
    }

    @Test
    void fieldsAreSetInConstructorsOnly() {
        for (Line line : CODE) {
            if (line.opcode().startsWith("putfield") || line.opcode().startsWith("putstatic")) {
                assertTrue(line.isInConstructor(), "a field is persistent memory: " + line);
            }
        }
    }

    @Test
    void onlyThePlatformsClassesOf304() {
        Pattern name = Pattern.compile("(javacardx?/[\\w/$]+|java/[\\w/$]+)");
        for (Line line : CODE) {
            Matcher names = name.matcher(line.operand());
            while (names.find()) {
                assertTrue(PLATFORM.contains(names.group(1)), names.group(1) + " in " + line);
            }
        }
    }

    @Test
    void persistentMemoryIsWrittenInOnePlace() {
        Set<String> writers = Set.of("OwnerPIN.update", "OwnerPIN.check", "OwnerPIN.resetAndUnblock", "OwnerPIN.reset",
                "KeyPair.genKeyPair", "Key.clearKey", "clearKey", "ECPublicKey.setW", "setW");
        for (Line line : CODE) {
            boolean writes = writers.stream().anyMatch(writer -> line.operand().contains(writer + ":"));
            if (writes) {
                assertTrue(line.method().matches(".*\\b(setPin|checkPin|generate|clear|setPoint)\\(.*"),
                        line.toString());
            }
        }
    }
}
