package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.tree.ClassNode;
import org.simsync.card.Subset.Rule;

/**
 * Looks through the applet's class files for what a card cannot do: a converter needs an SDK that not everybody has, and
 * some of this it does not even refuse. Specimens show that each rule would refuse.
 */
class SubsetTest {
    private static ClassNode parsed(byte[] file) {
        ClassNode node = new ClassNode();
        new ClassReader(file).accept(node, 0);
        return node;
    }

    @Test
    void theAppletKeepsToWhatCardsCan() throws IOException {
        Path classes = Path.of(SimsyncApplet.class.getProtectionDomain().getCodeSource().getLocation().getPath());
        List<ClassNode> nodes = new ArrayList<>();
        try (Stream<Path> all = Files.list(classes.resolve(Subset.OURS))) {
            for (Path file : all.filter(file -> file.toString().endsWith(".class")).sorted().toList()) {
                nodes.add(parsed(Files.readAllBytes(file)));
            }
        }
        assertTrue(nodes.size() > 15, "classes of the applet in " + classes);
        Subset subset = new Subset(nodes);
        assertTrue(subset.seen > 1_000, "instructions");
        assertEquals(List.of(), subset.faults(), "look new calls up in the specification of 3.0.4");
        assertEquals(new TreeSet<>(Subset.PLATFORM), subset.called, "what is called no more leaves the list");
    }

    /** One of {@link Specimens}, as if it were made for a card. */
    private static ClassNode specimen(String name) throws IOException {
        try (InputStream file = Specimens.class.getResourceAsStream("Specimens$" + name + ".class")) {
            ClassNode node = parsed(file.readAllBytes());
            node.version = Opcodes.V1_8;
            return node;
        }
    }

    private static Set<Rule> rules(Subset subset) {
        Set<Rule> rules = EnumSet.noneOf(Rule.class);
        subset.faults().forEach(fault -> rules.add(fault.rule()));
        return rules;
    }

    @Test
    void aClassForACardIsRefusedByNoRule() throws IOException {
        assertEquals(List.of(), new Subset(List.of(specimen("Good"))).faults());
    }

    @Test
    void aClassFileOfANewerJavaIsRefused() throws IOException {
        ClassNode node = specimen("Good");
        node.version = Opcodes.V9;
        assertEquals(EnumSet.of(Rule.TYPE), rules(new Subset(List.of(node))));
    }

    /** The rules that a specimen breaks, no others, and what one of the faults names. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "IntSum                | ARITHMETIC             | sum(SS)Z",
        "Increment             | ARITHMETIC             | count(S)V",
        "IntResult             | INSTRUCTION TYPE       | Specimens$IntResult.value: I",
        "IntArray              | INSTRUCTION ALLOCATION | numbers()V",
        "LongSum               | INSTRUCTION            | sum(SS)Z",
        "BigConstant           | INSTRUCTION            | constant(S)Z",
        "Text                  | INSTRUCTION            | text()Ljava/lang/Object;",
        "TextField             | TYPE                   | text: Ljava/lang/String;",
        "TextCall              | PLATFORM               | java/lang/Object.hashCode()I",
        "MultiArray            | INSTRUCTION            | Specimens$MultiArray.<init>()V",
        "ArrayOfArrays         | PLATFORM               | Specimens$ArrayOfArrays.<init>()V, opcode 189: [B",
        "MultiField            | TYPE                   | field: an array of arrays",
        "Lambda                | INSTRUCTION            | lambda()Ljava/lang/Object;",
        "Lock                  | INSTRUCTION            | locked()V",
        "Synchronised          | TYPE                   | locked is of a strange kind",
        "Inherits              | TYPE PLATFORM          | java/lang/Thread.<init>()V",
        "Implements            | TYPE                   | java/lang/Runnable",
        "Static                | TYPE FIELD             | kept is static",
        "LateObject            | ALLOCATION             | late()Ljava/lang/Object;",
        "LateArray             | ALLOCATION             | late()Ljava/lang/Object;",
        "LateDigest            | ALLOCATION             | late()Ljava/lang/Object;",
        "OtherInstall          | ALLOCATION             | install([BSB)V",
        "Loop                  | LOOP                   | <clinit>()V",
        "LateField             | FIELD                  | set(S)V",
        "Newer                 | PLATFORM               | javacard/security/RandomData.nextBytes([BSS)S",
        "OtherDescriptor       | PLATFORM               | javacard/security/KeyBuilder.buildKey(BBSZ)",
        "InheritedCall         | PLATFORM               | javacard/framework/Applet.getShareableInterfaceObject",
        "Writer                | WRITER                 | javacard/framework/OwnerPIN.update([BSB)V",
        "Transaction           | PLATFORM TRANSACTION   | javacard/framework/JCSystem.beginTransaction()V",
    })
    void whatACardCannotDoIsRefused(String name, String rules, String where) throws IOException {
        Subset subset = new Subset(List.of(specimen(name)));
        Set<Rule> wanted = EnumSet.noneOf(Rule.class);
        for (String rule : rules.split(" ")) {
            wanted.add(Rule.valueOf(rule));
        }
        assertEquals(wanted, rules(subset), () -> subset.faults().toString());
        assertTrue(subset.faults().stream().anyMatch(f -> f.where().contains(where)), () -> subset.faults().toString());
    }
}
