package org.simsync.bridge.gp;

import java.util.ArrayList;
import java.util.List;

/** What is on the card (GPCS 6.6): the life cycle of the card, load files, instances; and the memory that they take. */
final class Registry {
    static final Aid DOMAIN = Aid.of("A000000151000000");
    static final Aid DOMAIN_LOAD_FILE = Aid.of("A0000001515350");

    /** States of the card, which are those of the issuer security domain (GPCS, table 11-6). */
    static final int OP_READY = 0x01;
    static final int INITIALIZED = 0x07;
    static final int SECURED = 0x0F;
    static final int CARD_LOCKED = 0x7F;
    static final int TERMINATED = 0xFF;

    /** States of applications (GPCS, table 11-4). */
    static final int INSTALLED = 0x03;
    static final int SELECTABLE = 0x07;
    static final int LOCKED = 0x80;

    /** A load file with its one module; those of the mask cannot be deleted and take no memory. */
    record LoadFileEntry(Aid aid, int major, int minor, Aid module, int size, boolean inMask) {
    }

    /** An instance of a module. */
    static final class Instance {
        private final Aid aid;
        private final LoadFileEntry loadFile;
        private final int size;
        private int state = INSTALLED;

        Instance(Aid aid, LoadFileEntry loadFile, int size) {
            this.aid = aid;
            this.loadFile = loadFile;
            this.size = size;
        }

        Aid aid() {
            return aid;
        }

        LoadFileEntry loadFile() {
            return loadFile;
        }

        int state() {
            return state;
        }

        void setState(int state) {
            this.state = state;
        }

        boolean isSelectable() {
            return (state & LOCKED) == 0 && (state & SELECTABLE) == SELECTABLE;
        }
    }

    private final List<LoadFileEntry> loadFiles = new ArrayList<>();
    private final List<Instance> instances = new ArrayList<>();
    private final int memory;
    private int state;

    Registry(int memory, int state) {
        this.memory = memory;
        this.state = state;
    }

    int state() {
        return state;
    }

    boolean isLocked() {
        return state == CARD_LOCKED;
    }

    boolean isTerminated() {
        return state == TERMINATED;
    }

    /** The card's life goes forward, but for the lock, which opens again (GPCS, figure 5-1); 6985 for other steps. */
    void changeState(int next) throws Refusal {
        boolean allowed = switch (next) {
            case INITIALIZED -> state == OP_READY;
            case SECURED -> state == OP_READY || state == INITIALIZED || state == CARD_LOCKED;
            case CARD_LOCKED -> state == SECURED;
            case TERMINATED -> true;
            default -> throw new Refusal(Sw.WRONG_DATA);
        };
        if (!allowed) {
            throw new Refusal(Sw.CONDITIONS);
        }
        state = next;
    }

    List<LoadFileEntry> loadFiles() {
        return loadFiles;
    }

    List<Instance> instances() {
        return instances;
    }

    LoadFileEntry loadFile(Aid aid) {
        return loadFiles.stream().filter(f -> f.aid().equals(aid)).findFirst().orElse(null);
    }

    Instance instance(Aid aid) {
        return instances.stream().filter(i -> i.aid().equals(aid)).findFirst().orElse(null);
    }

    List<Instance> instancesOf(LoadFileEntry file) {
        return instances.stream().filter(i -> i.loadFile().equals(file)).toList();
    }

    /** Whether something has this name already. */
    boolean knows(Aid aid) {
        return aid.equals(DOMAIN) || loadFile(aid) != null || instance(aid) != null;
    }

    /** Free persistent memory, in bytes. */
    int free() {
        int files = loadFiles.stream().filter(f -> !f.inMask()).mapToInt(LoadFileEntry::size).sum();
        return memory - files - instances.stream().mapToInt(i -> i.size).sum();
    }

    /** The instance that SELECT of this name means: the name itself, else the first that begins so; or null. */
    Instance selectable(byte[] name) {
        List<Instance> named = named(name);
        return named.stream().filter(i -> i.aid().bytes().length == name.length).findFirst()
                .orElse(named.isEmpty() ? null : named.get(0));
    }

    /** The first instance behind the selected one, in this order, whose name begins so; or null. The domain comes first. */
    Instance selectableAfter(Aid selected, byte[] name) {
        int after = instances.indexOf(instance(selected)) + 1;
        return named(name).stream().filter(i -> instances.indexOf(i) >= after).findFirst().orElse(null);
    }

    private List<Instance> named(byte[] name) {
        return name.length < Aid.SHORTEST ? List.of()
                : instances.stream().filter(i -> i.isSelectable() && i.aid().startsWith(name)).toList();
    }
}
