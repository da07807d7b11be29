package org.simsync.card;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;
import org.objectweb.asm.tree.AbstractInsnNode;
import org.objectweb.asm.tree.ClassNode;
import org.objectweb.asm.tree.FieldInsnNode;
import org.objectweb.asm.tree.FieldNode;
import org.objectweb.asm.tree.IntInsnNode;
import org.objectweb.asm.tree.JumpInsnNode;
import org.objectweb.asm.tree.LdcInsnNode;
import org.objectweb.asm.tree.MethodInsnNode;
import org.objectweb.asm.tree.MethodNode;
import org.objectweb.asm.tree.TypeInsnNode;

/**
 * Looks through the applet's class files for what a card cannot do: a converter needs an SDK that not everybody has, and
 * some of this it does not even refuse.
 */
class SubsetTest {
    private static final String OURS = "org/simsync/card/";
    /** Class files of Java 8, the newest that the converters take. */
    private static final int NEWEST_CLASS_FILE = Opcodes.V1_8;
    private static final Set<Integer> ARITHMETIC = Set.of(Opcodes.IADD, Opcodes.ISUB, Opcodes.IMUL, Opcodes.IDIV,
            Opcodes.IREM, Opcodes.INEG, Opcodes.ISHL, Opcodes.ISHR, Opcodes.IUSHR, Opcodes.IAND, Opcodes.IOR,
            Opcodes.IXOR);
    private static final Set<Integer> ALLOCATION = Set.of(Opcodes.NEW, Opcodes.NEWARRAY, Opcodes.ANEWARRAY);

    /** What the applet calls of the platform; each of these is in Java Card 3.0.4, and most are in 2.2.2. */
    private static final Set<String> PLATFORM = Set.of("java/lang/Object.<init>",
            "javacard/framework/APDU.getBuffer", "javacard/framework/APDU.getIncomingLength",
            "javacard/framework/APDU.getOffsetCdata", "javacard/framework/APDU.getProtocol",
            "javacard/framework/APDU.receiveBytes", "javacard/framework/APDU.sendBytesLong",
            "javacard/framework/APDU.setIncomingAndReceive", "javacard/framework/APDU.setOutgoing",
            "javacard/framework/APDU.setOutgoingLength", "javacard/framework/Applet.<init>",
            "javacard/framework/ISOException.throwIt", "javacard/framework/JCSystem.makeTransientByteArray",
            "javacard/framework/OwnerPIN.<init>", "javacard/framework/OwnerPIN.check",
            "javacard/framework/OwnerPIN.getTriesRemaining", "javacard/framework/OwnerPIN.isValidated",
            "javacard/framework/OwnerPIN.update", "javacard/framework/Util.arrayCompare",
            "javacard/framework/Util.arrayCopyNonAtomic", "javacard/framework/Util.arrayFillNonAtomic",
            "javacard/framework/Util.getShort", "javacard/framework/Util.setShort",
            "javacard/security/ECKey.setA", "javacard/security/ECKey.setB", "javacard/security/ECKey.setFieldFP",
            "javacard/security/ECKey.setG", "javacard/security/ECKey.setK", "javacard/security/ECKey.setR",
            "javacard/security/ECPublicKey.getW",
            "javacard/security/ECPublicKey.setW", "javacard/security/Key.clearKey",
            "javacard/security/KeyAgreement.generateSecret", "javacard/security/KeyAgreement.getInstance",
            "javacard/security/KeyAgreement.init", "javacard/security/KeyBuilder.buildKey",
            "javacard/security/KeyPair.<init>", "javacard/security/KeyPair.genKeyPair",
            "javacard/security/MessageDigest.doFinal", "javacard/security/MessageDigest.getInstance",
            "javacard/security/RandomData.generateData", "javacard/security/RandomData.getInstance",
            "javacard/security/Signature.getInstance", "javacard/security/Signature.init",
            "javacard/security/Signature.sign", "javacard/security/Signature.verify");
    /** Writers of persistent memory, and the methods of {@link Nv} that alone may call them. */
    private static final Set<String> WRITERS = Set.of("javacard/framework/OwnerPIN.update",
            "javacard/framework/OwnerPIN.check", "javacard/security/KeyPair.genKeyPair",
            "javacard/security/Key.clearKey", "javacard/security/ECPublicKey.setW");

    private static final List<ClassNode> CLASSES = new ArrayList<>();

    /** An instruction and where it is. */
    private record Place(ClassNode type, MethodNode method, AbstractInsnNode instruction) {
        boolean isInConstructor() {
            return method.name.equals("<init>") || method.name.equals("<clinit>");
        }

        /** The instruction after this one, without what only describes lines and frames. */
        int next() {
            AbstractInsnNode next = instruction.getNext();
            while (next != null && next.getOpcode() < 0) {
                next = next.getNext();
            }
            return next == null ? -1 : next.getOpcode();
        }

        @Override
        public String toString() {
            return type.name + "." + method.name + method.desc + ", opcode " + instruction.getOpcode();
        }
    }

    @BeforeAll
    static void read() throws IOException {
        Path classes = Path.of(SimsyncApplet.class.getProtectionDomain().getCodeSource().getLocation().getPath());
        List<Path> files;
        try (Stream<Path> all = Files.list(classes.resolve(OURS))) {
            files = all.filter(file -> file.toString().endsWith(".class")).sorted().toList();
        }
        for (Path file : files) {
            ClassNode node = new ClassNode();
            new ClassReader(Files.readAllBytes(file)).accept(node, 0);
            CLASSES.add(node);
        }
        assertTrue(CLASSES.size() > 15, "classes of the applet in " + classes);
    }

    private static void everywhere(Consumer<Place> check) {
        int seen = 0;
        for (ClassNode type : CLASSES) {
            for (MethodNode method : type.methods) {
                for (AbstractInsnNode instruction : method.instructions) {
                    if (instruction.getOpcode() >= 0) {
                        check.accept(new Place(type, method, instruction));
                        seen++;
                    }
                }
            }
        }
        assertTrue(seen > 1_000, "instructions");
    }

    @Test
    void everyArithmeticResultIsMadeShortOrByteAtOnce() {
        everywhere(place -> {
            int opcode = place.instruction().getOpcode();
            assertFalse(opcode == Opcodes.IINC, place::toString);
            if (ARITHMETIC.contains(opcode)) {
                assertTrue(place.next() == Opcodes.I2S || place.next() == Opcodes.I2B, place::toString);
            }
        });
    }

    @Test
    void noInstructionsThatCardsLack() {
        everywhere(place -> {
            AbstractInsnNode instruction = place.instruction();
            switch (instruction.getOpcode()) {
                case Opcodes.INVOKEDYNAMIC, Opcodes.MULTIANEWARRAY, Opcodes.MONITORENTER, Opcodes.MONITOREXIT,
                        Opcodes.JSR, Opcodes.RET, Opcodes.IALOAD, Opcodes.IASTORE, Opcodes.LALOAD, Opcodes.LASTORE,
                        Opcodes.FALOAD, Opcodes.FASTORE, Opcodes.DALOAD, Opcodes.DASTORE, Opcodes.CALOAD,
                        Opcodes.CASTORE, Opcodes.I2C, Opcodes.I2L, Opcodes.I2F, Opcodes.I2D, Opcodes.IRETURN -> {
                    boolean isShort = instruction.getOpcode() == Opcodes.IRETURN
                            && !place.method().desc.endsWith(")I");
                    assertTrue(isShort, place::toString);
                }
                case Opcodes.LDC -> {
                    Object constant = ((LdcInsnNode) instruction).cst;
                    assertTrue(constant instanceof Integer value && value == value.shortValue(), place::toString);
                }
                case Opcodes.NEWARRAY -> {
                    int element = ((IntInsnNode) instruction).operand;
                    assertTrue(element == Opcodes.T_BYTE || element == Opcodes.T_SHORT
                            || element == Opcodes.T_BOOLEAN, place::toString);
                }
                default -> assertFalse(isWide(instruction.getOpcode()), place::toString);
            }
        });
    }

    /** Loads, stores, arithmetic and comparisons of long, float and double. */
    private static boolean isWide(int opcode) {
        return opcode >= Opcodes.LCONST_0 && opcode <= Opcodes.DCONST_1
                || opcode >= Opcodes.LLOAD && opcode <= Opcodes.DLOAD
                || opcode >= Opcodes.LSTORE && opcode <= Opcodes.DSTORE
                || opcode >= Opcodes.L2I && opcode <= Opcodes.D2F
                || opcode >= Opcodes.LCMP && opcode <= Opcodes.DCMPG
                || opcode >= Opcodes.LRETURN && opcode <= Opcodes.DRETURN;
    }

    @Test
    void noTypesThatCardsLack() {
        for (ClassNode type : CLASSES) {
            assertTrue((type.version & 0xFFFF) <= NEWEST_CLASS_FILE, type.name + " is of version " + type.version);
            assertEquals(0, type.access & (Opcodes.ACC_ENUM | Opcodes.ACC_ANNOTATION | Opcodes.ACC_RECORD), type.name);
            for (FieldNode field : type.fields) {
                assertIsOfACard(Type.getType(field.desc), type.name + "." + field.name);
                // A static field outlives its applet's deletion, and is shared by all instances.
                boolean isConstant = (field.access & Opcodes.ACC_STATIC) == 0
                        || (field.access & Opcodes.ACC_FINAL) != 0;
                assertTrue(isConstant, type.name + "." + field.name);
            }
            for (MethodNode method : type.methods) {
                String name = type.name + "." + method.name;
                assertEquals(0, method.access & (Opcodes.ACC_VARARGS | Opcodes.ACC_SYNCHRONIZED | Opcodes.ACC_NATIVE),
                        name);
                boolean hasBody = (method.access & Opcodes.ACC_ABSTRACT) == 0;
                assertFalse((type.access & Opcodes.ACC_INTERFACE) != 0 && hasBody, name + ": an interface with a body");
                assertIsOfACard(Type.getReturnType(method.desc), name);
                for (Type argument : Type.getArgumentTypes(method.desc)) {
                    assertIsOfACard(argument, name);
                }
            }
        }
    }

    private static void assertIsOfACard(Type type, String where) {
        Type element = type;
        if (type.getSort() == Type.ARRAY) {
            assertEquals(1, type.getDimensions(), where + ": an array of arrays");
            element = type.getElementType();
        }
        switch (element.getSort()) {
            case Type.VOID, Type.BOOLEAN, Type.BYTE, Type.SHORT -> {
            }
            case Type.OBJECT -> assertTrue(element.getInternalName().matches("java/lang/Object|javacard/.*|" + OURS + ".*"),
                    where + ": " + element);
            default -> throw new AssertionError(where + ": " + element);
        }
    }

    @Test
    void nothingIsAllocatedAfterInstallation() {
        everywhere(place -> {
            if (ALLOCATION.contains(place.instruction().getOpcode())) {
                assertTrue(place.isInConstructor() || place.method().name.equals("install"), place::toString);
            }
            if (place.instruction() instanceof MethodInsnNode call && call.name.matches("getInstance|buildKey|makeTransient.*")) {
                boolean isBuilt = place.isInConstructor() || place.method().name.matches("privateKey|publicKey|transientBytes");
                assertTrue(isBuilt, place::toString);
            }
        });
    }

    @Test
    void noLoopsBeforeTheConstructor() {
        everywhere(place -> {
            if (place.method().name.equals("<clinit>")) {
                assertFalse(place.instruction() instanceof JumpInsnNode, place::toString);
            }
        });
    }

    @Test
    void fieldsAreSetInConstructorsOnly() {
        everywhere(place -> {
            if (place.instruction() instanceof FieldInsnNode field
                    && (field.getOpcode() == Opcodes.PUTFIELD || field.getOpcode() == Opcodes.PUTSTATIC)) {
                assertTrue(place.isInConstructor(), () -> "a field is persistent memory: " + place);
            }
        });
    }

    @Test
    void onlyThePlatformOf304() {
        Set<String> called = new TreeSet<>();
        everywhere(place -> {
            if (place.instruction() instanceof MethodInsnNode call && !call.owner.startsWith(OURS)) {
                called.add(call.owner + "." + call.name);
            }
            if (place.instruction() instanceof TypeInsnNode type && !type.desc.startsWith(OURS)) {
                boolean isKnown = type.desc.startsWith("javacard/") || type.desc.equals("java/lang/Object");
                assertTrue(isKnown, place::toString);
            }
        });
        assertEquals(new TreeSet<>(PLATFORM), called, "look new calls up in the specification of 3.0.4");
    }

    /** Cards roll transactions back or do not; nothing may depend on it. */
    @Test
    void persistentMemoryIsWrittenInOnePlaceAndWithoutTransactions() {
        everywhere(place -> {
            if (place.instruction() instanceof MethodInsnNode call) {
                assertFalse(call.name.endsWith("Transaction"), place::toString);
                boolean writes = WRITERS.contains(call.owner + "." + call.name);
                assertTrue(!writes || place.type().name.equals(OURS + "Nv"), place::toString);
            }
        });
    }
}
