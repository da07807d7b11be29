package org.simsync.card;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
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

/** What of some classes a card cannot do, or the applet may not. */
final class Subset {
    /** Why something is refused. */
    enum Rule {
        /** Results of arithmetic are made short or byte at once. */
        ARITHMETIC,
        /** No instructions, constants and arrays that cards lack. */
        INSTRUCTION,
        /** No class files, types, fields and methods that cards lack. */
        TYPE,
        /** Nothing is allocated after installation. */
        ALLOCATION,
        /** No loops before the constructor. */
        LOOP,
        /** A field is persistent memory, and set in constructors only. */
        FIELD,
        /** Calls of the platform are those of the list. */
        PLATFORM,
        /** Persistent memory is written in {@link Nv} alone. */
        WRITER,
        /** Cards roll transactions back or do not; nothing may depend on it. */
        TRANSACTION
    }

    /** A rule that is broken, and where. */
    record Fault(Rule rule, String where) { }

    static final String OURS = "org/simsync/card/";
    /** Class files of Java 8, the newest that the converters take. */
    private static final int NEWEST_CLASS_FILE = Opcodes.V1_8;
    private static final Set<Integer> ARITHMETIC = Set.of(Opcodes.IADD, Opcodes.ISUB, Opcodes.IMUL, Opcodes.IDIV,
            Opcodes.IREM, Opcodes.INEG, Opcodes.ISHL, Opcodes.ISHR, Opcodes.IUSHR, Opcodes.IAND, Opcodes.IOR,
            Opcodes.IXOR);
    private static final Set<Integer> ALLOCATION = Set.of(Opcodes.NEW, Opcodes.NEWARRAY, Opcodes.ANEWARRAY,
            Opcodes.MULTIANEWARRAY);
    private static final String INSTALL = OURS + "SimsyncApplet.install([BSB)V";
    /** Methods that allocate for a constructor; nobody else may call them. */
    private static final Set<String> BUILDERS = Set.of(OURS + "Keys.privateKey()Ljavacard/security/ECPrivateKey;",
            OURS + "Keys.publicKey()Ljavacard/security/ECPublicKey;");

    /** What the applet calls of the platform; each of these is in Java Card 3.0.4, and most are in 2.2.2. */
    static final Set<String> PLATFORM = Set.of(
            "java/lang/Object.<init>()V", "javacard/framework/APDU.getBuffer()[B",
            "javacard/framework/APDU.getProtocol()B", "javacard/framework/APDU.receiveBytes(S)S",
            "javacard/framework/APDU.sendBytesLong([BSS)V", "javacard/framework/APDU.setIncomingAndReceive()S",
            "javacard/framework/APDU.setOutgoing()S", "javacard/framework/APDU.setOutgoingLength(S)V",
            "javacard/framework/Applet.<init>()V", "javacard/framework/Applet.register([BSB)V",
            "javacard/framework/Applet.selectingApplet()Z", "javacard/framework/ISOException.throwIt(S)V",
            "javacard/framework/JCSystem.makeTransientByteArray(SB)[B", "javacard/framework/OwnerPIN.<init>(BB)V",
            "javacard/framework/OwnerPIN.check([BSB)Z", "javacard/framework/OwnerPIN.getTriesRemaining()B",
            "javacard/framework/OwnerPIN.isValidated()Z", "javacard/framework/OwnerPIN.update([BSB)V",
            "javacard/framework/Util.arrayCompare([BS[BSS)B", "javacard/framework/Util.arrayCopyNonAtomic([BS[BSS)S",
            "javacard/framework/Util.arrayFillNonAtomic([BSSB)S", "javacard/framework/Util.getShort([BS)S",
            "javacard/framework/Util.setShort([BSS)S", "javacard/security/ECKey.setA([BSS)V",
            "javacard/security/ECKey.setB([BSS)V", "javacard/security/ECKey.setFieldFP([BSS)V",
            "javacard/security/ECKey.setG([BSS)V", "javacard/security/ECKey.setK(S)V",
            "javacard/security/ECKey.setR([BSS)V", "javacard/security/ECPublicKey.getW([BS)S",
            "javacard/security/ECPublicKey.isInitialized()Z",
            "javacard/security/ECPublicKey.setW([BSS)V", "javacard/security/Key.clearKey()V",
            "javacard/security/KeyAgreement.generateSecret([BSS[BS)S",
            "javacard/security/KeyAgreement.getInstance(BZ)Ljavacard/security/KeyAgreement;",
            "javacard/security/KeyAgreement.init(Ljavacard/security/PrivateKey;)V",
            "javacard/security/KeyBuilder.buildKey(BSZ)Ljavacard/security/Key;",
            "javacard/security/KeyPair.<init>(Ljavacard/security/PublicKey;Ljavacard/security/PrivateKey;)V",
            "javacard/security/KeyPair.genKeyPair()V", "javacard/security/MessageDigest.doFinal([BSS[BS)S",
            "javacard/security/MessageDigest.getInstance(BZ)Ljavacard/security/MessageDigest;",
            "javacard/security/RandomData.generateData([BSS)V",
            "javacard/security/RandomData.getInstance(B)Ljavacard/security/RandomData;",
            "javacard/security/Signature.getInstance(BZ)Ljavacard/security/Signature;",
            "javacard/security/Signature.init(Ljavacard/security/Key;B)V",
            "javacard/security/Signature.sign([BSS[BS)S", "javacard/security/Signature.verify([BSS[BSS)Z");
    /** Writers of persistent memory. Those of {@link Nv} alone may call them. */
    private static final Set<String> WRITERS = Set.of("javacard/framework/OwnerPIN.update([BSB)V",
            "javacard/framework/OwnerPIN.check([BSB)Z", "javacard/security/KeyPair.genKeyPair()V",
            "javacard/security/Key.clearKey()V", "javacard/security/ECPublicKey.setW([BSS)V");

    /** What of the platform is called. */
    final Set<String> called = new TreeSet<>();
    /** Instructions that were looked at. */
    int seen;

    private final Map<String, ClassNode> classes = new TreeMap<>();
    private final List<Fault> faults = new ArrayList<>();

    /** An instruction and where it is. */
    private record Place(ClassNode type, MethodNode method, AbstractInsnNode instruction) {
        String inside() {
            return type.name + "." + method.name + method.desc;
        }

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
            return inside() + ", opcode " + instruction.getOpcode();
        }
    }

    /** Looks through these classes. */
    Subset(List<ClassNode> all) {
        all.forEach(type -> classes.put(type.name, type));
        for (ClassNode type : all) {
            type(type);
            for (MethodNode method : type.methods) {
                for (AbstractInsnNode instruction : method.instructions) {
                    if (instruction.getOpcode() >= 0) {
                        seen++;
                        look(new Place(type, method, instruction));
                    }
                }
            }
        }
    }

    /** What is wrong with them. */
    List<Fault> faults() {
        return List.copyOf(faults);
    }

    private void check(boolean isRight, Rule rule, Object where) {
        if (!isRight) {
            faults.add(new Fault(rule, where.toString()));
        }
    }

    private void look(Place place) {
        AbstractInsnNode instruction = place.instruction();
        int opcode = instruction.getOpcode();
        if (ARITHMETIC.contains(opcode)) {
            check(place.next() == Opcodes.I2S || place.next() == Opcodes.I2B, Rule.ARITHMETIC, place);
        }
        check(opcode != Opcodes.IINC, Rule.ARITHMETIC, place);
        check(isOfACard(place), Rule.INSTRUCTION, place);
        if (ALLOCATION.contains(opcode)) {
            check(place.isInConstructor() || place.inside().equals(INSTALL), Rule.ALLOCATION, place);
        }
        if (place.method().name.equals("<clinit>")) {
            check(!(instruction instanceof JumpInsnNode), Rule.LOOP, place);
        }
        if (opcode == Opcodes.PUTFIELD || opcode == Opcodes.PUTSTATIC) {
            check(place.isInConstructor(), Rule.FIELD, place);
        }
        if (instruction instanceof FieldInsnNode field) {
            check(field.owner.startsWith(OURS), Rule.PLATFORM, place + ": " + field.owner + "." + field.name);
        }
        if (instruction instanceof TypeInsnNode type) {
            boolean isKnown = type.desc.matches("java/lang/Object|javacard/.*|" + OURS + ".*");
            check(isKnown, Rule.PLATFORM, place + ": " + type.desc);
        }
        if (instruction instanceof MethodInsnNode call) {
            call(place, call);
        }
    }

    private static boolean isOfACard(Place place) {
        int opcode = place.instruction().getOpcode();
        return switch (opcode) {
            case Opcodes.INVOKEDYNAMIC, Opcodes.MULTIANEWARRAY, Opcodes.MONITORENTER, Opcodes.MONITOREXIT,
                    Opcodes.JSR, Opcodes.RET, Opcodes.IALOAD, Opcodes.IASTORE, Opcodes.LALOAD, Opcodes.LASTORE,
                    Opcodes.FALOAD, Opcodes.FASTORE, Opcodes.DALOAD, Opcodes.DASTORE, Opcodes.CALOAD,
                    Opcodes.CASTORE, Opcodes.I2C, Opcodes.I2L, Opcodes.I2F, Opcodes.I2D -> false;
            case Opcodes.IRETURN -> !place.method().desc.endsWith(")I");
            case Opcodes.LDC -> ((LdcInsnNode) place.instruction()).cst instanceof Integer value
                    && value == value.shortValue();
            case Opcodes.NEWARRAY -> Set.of(Opcodes.T_BYTE, Opcodes.T_SHORT, Opcodes.T_BOOLEAN)
                    .contains(((IntInsnNode) place.instruction()).operand);
            default -> !isWide(opcode);
        };
    }

    /** Loads, stores, arithmetic and comparisons of long, float and double. */
    private static boolean isWide(int opcode) {
        return opcode >= Opcodes.LCONST_0 && opcode <= Opcodes.DCONST_1
                || opcode >= Opcodes.LLOAD && opcode <= Opcodes.DLOAD
                || opcode >= Opcodes.LSTORE && opcode <= Opcodes.DSTORE
                || isWideArithmetic(opcode)
                || opcode >= Opcodes.L2I && opcode <= Opcodes.D2F
                || opcode >= Opcodes.LCMP && opcode <= Opcodes.DCMPG
                || opcode >= Opcodes.LRETURN && opcode <= Opcodes.DRETURN;
    }

    private static boolean isWideArithmetic(int opcode) {
        return opcode >= Opcodes.IADD && opcode <= Opcodes.LXOR && !ARITHMETIC.contains(opcode);
    }

    private void call(Place place, MethodInsnNode call) {
        String owner = declaring(call);
        String whole = owner + "." + call.name + call.desc;
        if (!owner.startsWith(OURS)) {
            called.add(whole);
            check(PLATFORM.contains(whole), Rule.PLATFORM, place + ": " + whole);
        }
        if (call.name.matches("getInstance|buildKey.*|makeTransient.*|makeGlobal.*")) {
            check(place.isInConstructor() || BUILDERS.contains(place.inside()), Rule.ALLOCATION, place + ": " + whole);
        }
        if (BUILDERS.contains(whole)) {
            check(place.isInConstructor(), Rule.ALLOCATION, place + ": " + whole);
        }
        check(!WRITERS.contains(whole) || place.type().name.equals(OURS + "Nv"), Rule.WRITER, place + ": " + whole);
        check(!call.name.endsWith("Transaction"), Rule.TRANSACTION, place + ": " + whole);
    }

    /** Whose method it is: what is inherited from the platform is called by the name of the class of ours. */
    private String declaring(MethodInsnNode call) {
        String owner = call.owner;
        for (ClassNode type = classes.get(owner); type != null; type = classes.get(owner)) {
            if (type.methods.stream().anyMatch(m -> m.name.equals(call.name) && m.desc.equals(call.desc))) {
                return owner;
            }
            owner = type.superName;
        }
        return owner;
    }

    private void type(ClassNode type) {
        check((type.version & 0xFFFF) <= NEWEST_CLASS_FILE, Rule.TYPE, type.name + " is of version " + type.version);
        int strange = type.access & (Opcodes.ACC_ENUM | Opcodes.ACC_ANNOTATION | Opcodes.ACC_RECORD);
        check(strange == 0, Rule.TYPE, type.name + " is of a strange kind");
        isOfACard(Type.getObjectType(type.superName), type.name);
        type.interfaces.forEach(name -> isOfACard(Type.getObjectType(name), type.name));
        for (FieldNode field : type.fields) {
            isOfACard(Type.getType(field.desc), type.name + "." + field.name);
            // A static field outlives its applet's deletion, and is shared by all instances.
            boolean isConstant = (field.access & Opcodes.ACC_STATIC) == 0 || (field.access & Opcodes.ACC_FINAL) != 0;
            check(isConstant, Rule.TYPE, type.name + "." + field.name + " is static");
        }
        for (MethodNode method : type.methods) {
            String name = type.name + "." + method.name;
            int odd = method.access & (Opcodes.ACC_VARARGS | Opcodes.ACC_SYNCHRONIZED | Opcodes.ACC_NATIVE);
            check(odd == 0, Rule.TYPE, name + " is of a strange kind");
            boolean hasBody = (method.access & Opcodes.ACC_ABSTRACT) == 0;
            check((type.access & Opcodes.ACC_INTERFACE) == 0 || !hasBody, Rule.TYPE, name + ": an interface with a body");
            isOfACard(Type.getReturnType(method.desc), name);
            for (Type argument : Type.getArgumentTypes(method.desc)) {
                isOfACard(argument, name);
            }
        }
    }

    private void isOfACard(Type type, String where) {
        Type element = type;
        if (type.getSort() == Type.ARRAY) {
            check(type.getDimensions() == 1, Rule.TYPE, where + ": an array of arrays");
            element = type.getElementType();
        }
        boolean isKnown = switch (element.getSort()) {
            case Type.VOID, Type.BOOLEAN, Type.BYTE, Type.SHORT -> true;
            case Type.OBJECT -> element.getInternalName().matches("java/lang/Object|javacard/.*|" + OURS + ".*");
            default -> false;
        };
        check(isKnown, Rule.TYPE, where + ": " + element);
    }
}
