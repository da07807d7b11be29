package org.simsync.bridge.gp;

import java.nio.ByteBuffer;
import java.util.List;
import org.simsync.bridge.Chip;
import org.simsync.bridge.gp.Registry.Instance;
import org.simsync.bridge.gp.Registry.LoadFileEntry;

/** The commands that change what is on the card: INSTALL, LOAD, DELETE, SET STATUS (GPCS 11.2, 11.5, 11.6, 11.10). */
final class Content {
    /** Persistent bytes that an instance takes here, whatever it really allocates. */
    static final int INSTANCE_SIZE = 8_192;

    /** INSTALL's P1 (GPCS, table 11-42). */
    private static final int FOR_LOAD = 0x02;
    private static final int FOR_INSTALL = 0x04;
    private static final int FOR_MAKE_SELECTABLE = 0x08;
    /** Parameters (GPCS, tables 11-48 and 11-49). */
    private static final int APPLICATION_PARAMETERS = 0xC9;
    private static final int SYSTEM_PARAMETERS = 0xEF;
    private static final int CODE_SIZE = 0xC6;
    private static final int DATA_SIZE = 0xC8;
    private static final int SHORTEST_QUOTA = 2;
    private static final int LONGEST_QUOTA = 4;
    /** DELETE's P2, and its object (GPCS, tables 11-20 to 11-23). */
    private static final int WITH_RELATED = 0x80;
    private static final int NAME = 0x4F;
    /** SET STATUS' P1 (GPCS, table 11-84). */
    private static final int CARD = 0x80;
    private static final int APPLICATION = 0x40;
    private static final byte[] NO_PRIVILEGES = {0};
    /** No receipt. */
    private static final byte[] DONE = {0};

    private final Registry registry;
    private final Chip chip;
    private final JavaCardVersion version;
    private Load load;

    Content(Registry registry, Chip chip, JavaCardVersion version) {
        this.registry = registry;
        this.chip = chip;
        this.version = version;
    }

    /** What came of a load file in part is lost: another command came, or the session is over. */
    void abortLoad() {
        load = null;
    }

    byte[] install(Command command) throws Refusal {
        if (command.p2() != 0) {
            throw new Refusal(Sw.WRONG_P1P2);
        }
        ByteBuffer in = ByteBuffer.wrap(command.data());
        switch (command.p1()) {
            case FOR_LOAD -> announce(in);
            case FOR_INSTALL -> makeInstance(in, false);
            case FOR_MAKE_SELECTABLE -> makeSelectable(in);
            case FOR_INSTALL | FOR_MAKE_SELECTABLE -> makeInstance(in, true);
            default -> throw new Refusal(Sw.WRONG_P1P2);
        }
        return DONE;
    }

    /** GPCS 11.5.2.3.1: load file, security domain, hash, parameters, token. */
    private void announce(ByteBuffer in) throws Refusal {
        Aid aid = Aid.checked(Tlv.field(in));
        byte[] domain = Tlv.field(in);
        byte[] hash = Tlv.field(in);
        List<Tlv> parameters = Tlv.parse(Tlv.field(in));
        endWithToken(in);
        if (domain.length != 0 && !Aid.of(domain).equals(Registry.DOMAIN)) {
            throw new Refusal(Sw.NO_REFERENCED_DATA);
        }
        if (registry.knows(aid)) {
            throw new Refusal(Sw.CONDITIONS);
        }
        checkQuota(parameters, CODE_SIZE);
        load = new Load(aid, hash);
    }

    /** There is nobody here who could verify a token. */
    private static void endWithToken(ByteBuffer in) throws Refusal {
        if (Tlv.field(in).length != 0 || in.hasRemaining()) {
            throw new Refusal(Sw.WRONG_DATA);
        }
    }

    /** A number of bytes that the caller knows to be needed, in the system parameters. */
    private void checkQuota(List<Tlv> parameters, int tag) throws Refusal {
        byte[] system = Tlv.find(parameters, SYSTEM_PARAMETERS);
        byte[] quota = system == null ? null : Tlv.find(Tlv.parse(system), tag);
        if (quota == null) {
            return;
        }
        if (quota.length < SHORTEST_QUOTA || quota.length > LONGEST_QUOTA) {
            throw new Refusal(Sw.WRONG_DATA);
        }
        long bytes = 0;
        for (byte part : quota) {
            bytes = bytes << 8 | part & 0xFF;
        }
        if (bytes > registry.free()) {
            throw new Refusal(Sw.NO_MEMORY);
        }
    }

    byte[] load(Command command) throws Refusal {
        Load current = load;
        load = null;
        if (current == null) {
            throw new Refusal(Sw.CONDITIONS);
        }
        LoadFileEntry loaded = current.add(command, registry.free(), version);
        if (loaded == null) {
            load = current;
            return new byte[0];
        }
        chip.load(loaded.aid().bytes(), loaded.module().bytes(), AppletClasses.load());
        registry.loadFiles().add(loaded);
        return DONE;
    }

    /** GPCS 11.5.2.3.2: load file, module, instance, privileges, parameters, token. */
    private void makeInstance(ByteBuffer in, boolean selectable) throws Refusal {
        byte[] fileName = Tlv.field(in);
        Aid module = Aid.checked(Tlv.field(in));
        byte[] name = Tlv.field(in);
        byte[] privileges = Tlv.field(in);
        List<Tlv> parameters = Tlv.parse(Tlv.field(in));
        endWithToken(in);
        LoadFileEntry file = registry.loadFiles().stream().filter(f -> module.equals(f.module()))
                .filter(f -> fileName.length == 0 || Aid.of(fileName).equals(f.aid())).findFirst().orElse(null);
        if (file == null) {
            throw new Refusal(Sw.NO_REFERENCED_DATA);
        }
        Aid aid = name.length == 0 ? module : Aid.checked(name);
        byte[] parameter = Tlv.find(parameters, APPLICATION_PARAMETERS);
        checkPrivileges(privileges);
        if (parameter == null) {
            throw new Refusal(Sw.WRONG_DATA);
        }
        if (registry.knows(aid)) {
            throw new Refusal(Sw.CONDITIONS);
        }
        checkQuota(parameters, DATA_SIZE);
        if (registry.free() < INSTANCE_SIZE) {
            throw new Refusal(Sw.NO_MEMORY);
        }
        int status = chip.install(file.aid().bytes(), module.bytes(), aid.bytes(), NO_PRIVILEGES, parameter);
        if (status != Sw.OK) {
            throw new Refusal(status);
        }
        Instance made = new Instance(aid, file, INSTANCE_SIZE);
        if (selectable) {
            made.setState(Registry.SELECTABLE);
        }
        registry.instances().add(made);
    }

    /** One byte or three, none of them set: this front gives none away. */
    private static void checkPrivileges(byte[] privileges) throws Refusal {
        boolean known = privileges.length == 1 || privileges.length == 3;
        for (byte some : privileges) {
            known &= some == 0;
        }
        if (!known) {
            throw new Refusal(Sw.WRONG_DATA);
        }
    }

    /** GPCS 11.5.2.3.3: two empty fields, instance, privileges, parameters, token. */
    private void makeSelectable(ByteBuffer in) throws Refusal {
        if (Tlv.field(in).length != 0 || Tlv.field(in).length != 0) {
            throw new Refusal(Sw.WRONG_DATA);
        }
        Aid aid = Aid.checked(Tlv.field(in));
        byte[] privileges = Tlv.field(in);
        Tlv.parse(Tlv.field(in));
        endWithToken(in);
        if (privileges.length != 0) {
            checkPrivileges(privileges);
        }
        Instance instance = registry.instance(aid);
        if (instance == null) {
            throw new Refusal(Sw.NO_REFERENCED_DATA);
        }
        if (instance.state() != Registry.INSTALLED) {
            throw new Refusal(Sw.CONDITIONS);
        }
        instance.setState(Registry.SELECTABLE);
    }

    byte[] delete(Command command) throws Refusal {
        if (command.p1() != 0 || (command.p2() & ~WITH_RELATED) != 0) {
            throw new Refusal(Sw.WRONG_P1P2);
        }
        byte[] name = Tlv.find(Tlv.parse(command.data()), NAME);
        if (name == null) {
            throw new Refusal(Sw.WRONG_DATA);
        }
        Aid aid = Aid.checked(name);
        if (registry.instance(aid) != null) {
            remove(registry.instance(aid));
        } else if (registry.loadFile(aid) != null) {
            remove(registry.loadFile(aid), command.p2() == WITH_RELATED);
        } else if (aid.equals(Registry.DOMAIN)) {
            throw new Refusal(Sw.CONDITIONS);
        } else {
            throw new Refusal(Sw.NO_REFERENCED_DATA);
        }
        return DONE;
    }

    private void remove(Instance instance) {
        chip.delete(instance.aid().bytes());
        registry.instances().remove(instance);
    }

    private void remove(LoadFileEntry file, boolean withInstances) throws Refusal {
        List<Instance> instances = registry.instancesOf(file);
        if (file.inMask() || !withInstances && !instances.isEmpty()) {
            throw new Refusal(Sw.CONDITIONS);
        }
        instances.forEach(this::remove);
        chip.unload(file.aid().bytes());
        registry.loadFiles().remove(file);
    }

    /** The card's state, or an application's lock. */
    void setStatus(Command command) throws Refusal {
        int wanted = command.p2();
        if (command.p1() == CARD) {
            registry.changeState(wanted);
            return;
        }
        if (command.p1() != APPLICATION) {
            throw new Refusal(Sw.WRONG_P1P2);
        }
        Instance instance = registry.instance(Aid.checked(command.data()));
        if (instance == null) {
            throw new Refusal(Sw.NO_REFERENCED_DATA);
        }
        // Only the lock is the issuer's to set: b8; what comes below is the application's own.
        int lock = wanted & Registry.LOCKED;
        if ((instance.state() & Registry.LOCKED) == lock) {
            throw new Refusal(Sw.CONDITIONS);
        }
        instance.setState(instance.state() ^ Registry.LOCKED);
    }
}
