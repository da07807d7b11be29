package org.simsync.bridge.gp;

import java.security.SecureRandom;
import java.util.Arrays;
import java.util.function.Function;
import javacard.framework.APDU;
import javacard.framework.Applet;
import org.simsync.bridge.BridgeException;
import org.simsync.bridge.Chip;
import org.simsync.bridge.Neighbour;

/**
 * A simulated card as it comes from a factory: an issuer security domain, the neighbour applet, and nothing of ours. Like
 * {@link org.simsync.bridge.Simulation} it is loaded anew for every card, and is a function from a command APDU to an
 * answer; null is a reset.
 */
public final class GpCard implements Function<byte[], byte[]> {
    /** Class 00, SELECT, by name; then: the first or only occurrence, or the next one. */
    private static final byte[] SELECT_BY_NAME = {0x00, (byte) 0xA4, 0x04};
    private static final int FIRST = 0x00;
    private static final int NEXT = 0x02;
    private static final int P2 = 3;
    private static final byte[] NO_PRIVILEGES = {0};
    private static final byte[] NOTHING = {};

    private final Chip chip;
    private final Registry registry;
    private final Isd domain;
    /** Whom commands go to: an instance on the chip, or the domain. */
    private Aid selected = Registry.DOMAIN;

    /**
     * The domain's stand-in on the chip. While it is selected there, no other applet is: the one before it was deselected,
     * with all that this means to it.
     */
    public static final class StandIn extends Applet {
        public static void install(byte[] array, short offset, byte length) {
            new StandIn().register(array, (short) (offset + 1), array[offset]);
        }

        @Override
        public void process(APDU apdu) {
            // Only ever selected.
        }
    }

    /** Takes the words key=value of blank-gp. */
    public GpCard(String[] pairs) throws BridgeException {
        this(Settings.parse(pairs), new Chip(), new SecureRandom());
    }

    GpCard(Settings settings, Chip chip, SecureRandom random) {
        this.chip = chip;
        registry = new Registry(settings.memory(), settings.state());
        domain = new Isd(registry, settings, new Content(registry, chip, settings.api()), random);
        addMask(settings.api());
        chip.reset();
    }

    /** What is in the chip's mask: the platform's packages, the domain's own, and the neighbour with an instance. */
    private void addMask(JavaCardVersion api) {
        for (Aid platform : new Aid[] {JavaCardVersion.FRAMEWORK, JavaCardVersion.SECURITY, JavaCardVersion.CRYPTO}) {
            registry.loadFiles().add(new Registry.LoadFileEntry(platform, 1, api.minor(), null, 0, true));
        }
        registry.loadFiles().add(new Registry.LoadFileEntry(JavaCardVersion.LANG, 1, 0, null, 0, true));
        registry.loadFiles().add(new Registry.LoadFileEntry(Registry.DOMAIN_LOAD_FILE, 1, 0, null, 0, true));
        put(Registry.DOMAIN_LOAD_FILE, Registry.DOMAIN, StandIn.class);
        Aid neighbour = Aid.of(Neighbour.AID);
        Registry.LoadFileEntry neighbours =
                new Registry.LoadFileEntry(Aid.of(Neighbour.PACKAGE_AID), 1, 0, neighbour, 0, true);
        registry.loadFiles().add(neighbours);
        put(neighbours.aid(), neighbour, Neighbour.class);
        Registry.Instance instance = new Registry.Instance(neighbour, neighbours, 0);
        instance.setState(Registry.SELECTABLE);
        registry.instances().add(instance);
    }

    private void put(Aid loadFile, Aid aid, Class<? extends Applet> applet) {
        chip.load(loadFile.bytes(), aid.bytes(), applet);
        if (chip.install(loadFile.bytes(), aid.bytes(), aid.bytes(), NO_PRIVILEGES, NOTHING) != Sw.OK) {
            throw new IllegalStateException(aid + " cannot be installed");
        }
    }

    @Override
    public synchronized byte[] apply(byte[] command) {
        if (command == null) {
            chip.reset();
            domain.endSession();
            // The domain is what a card selects by itself.
            selected = Registry.DOMAIN;
            return NOTHING;
        }
        boolean byName = Arrays.equals(command, 0, Math.min(command.length, SELECT_BY_NAME.length), SELECT_BY_NAME, 0,
                SELECT_BY_NAME.length);
        boolean isOccurrence = byName && command.length > P2 && (command[P2] == FIRST || command[P2] == NEXT);
        if (isOccurrence && !registry.isTerminated()) {
            return select(command);
        }
        return selected.equals(Registry.DOMAIN) ? domain.process(command) : chip.transmit(command);
    }

    /**
     * What is selected stays so if there is nothing of that name (GPCS 6.4.2). A locked card selects its domain and nothing
     * else: 6A81 (GPCS 11.9.3.2).
     */
    private byte[] select(byte[] apdu) {
        byte[] name;
        try {
            name = Command.parse(apdu).data();
        } catch (Refusal e) {
            return Sw.answer(NOTHING, e.status());
        }
        boolean meansDomain = name.length == 0
                || name.length >= Aid.SHORTEST && Registry.DOMAIN.startsWith(name);
        boolean isNext = apdu[P2] == NEXT;
        if (meansDomain && !isNext) {
            selected = Registry.DOMAIN;
            chip.transmit(selectOnChip(Registry.DOMAIN));
            return domain.select();
        }
        if (registry.isLocked()) {
            return Sw.answer(NOTHING, Sw.NO_SUCH_FUNCTION);
        }
        Registry.Instance instance = isNext ? registry.selectableAfter(selected, name) : registry.selectable(name);
        if (instance == null) {
            return Sw.answer(NOTHING, Sw.NOT_FOUND);
        }
        domain.endSession();
        selected = instance.aid();
        return chip.transmit(selectOnChip(instance.aid()));
    }

    private static byte[] selectOnChip(Aid aid) {
        byte[] occurrenceAndLength = {FIRST, (byte) aid.bytes().length};
        return Tlv.join(SELECT_BY_NAME, occurrenceAndLength, aid.bytes(), new byte[1]);
    }
}
