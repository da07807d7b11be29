package org.simsync.bridge.gp;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.simsync.bridge.gp.Registry.Instance;
import org.simsync.bridge.gp.Registry.LoadFileEntry;

/** GET STATUS (GPCS 11.4), in the format of GlobalPlatform 2.1.1 and in TLV, in as many answers as it takes. */
final class StatusReport {
    /** P1 (GPCS, table 11-33). */
    private static final int ISSUER_DOMAIN = 0x80;
    private static final int APPLICATIONS = 0x40;
    private static final int LOAD_FILES = 0x20;
    private static final int LOAD_FILES_AND_MODULES = 0x10;
    /** P2 (GPCS, table 11-34). */
    private static final int NEXT = 0x01;
    private static final int IN_TLV = 0x02;

    private static final int NAME = 0x4F;
    private static final int TAG_LIST = 0x5C;
    private static final int ENTRY = 0xE3;
    private static final int STATE = 0x9F70;
    private static final int PRIVILEGES = 0xC5;
    private static final int LOAD_FILE = 0xC4;
    private static final int FILE_VERSION = 0xCE;
    private static final int DOMAIN = 0xCC;
    private static final int MODULE = 0x84;
    private static final byte[] LOADED = {0x01};
    /** Those of an issuer security domain with all that it may do (GPCS, tables 11-7 to 11-9). */
    private static final byte[] DOMAIN_PRIVILEGES = {(byte) 0x9E, (byte) 0xFE, (byte) 0x80};
    private static final byte[] NO_PRIVILEGES = {0, 0, 0};
    /** What fits into one answer, padded, encrypted and with a MAC: 224 bytes and 8. */
    private static final int LONGEST_ANSWER = 223;

    private final Registry registry;
    private final Deque<byte[]> waiting = new ArrayDeque<>();
    private Command asked;

    StatusReport(Registry registry) {
        this.registry = registry;
    }

    /** Another command came in between: nothing is left to go on with. */
    void forget() {
        waiting.clear();
        asked = null;
    }

    /** More of it waits: 6310 instead of 9000. */
    boolean hasMore() {
        return !waiting.isEmpty();
    }

    byte[] answer(Command command) throws Refusal {
        boolean next = (command.p2() & NEXT) != 0;
        if ((command.p2() & ~(NEXT | IN_TLV)) != 0) {
            throw new Refusal(Sw.WRONG_P1P2);
        }
        if (!next) {
            collect(command);
        } else if (asked == null || waiting.isEmpty() || asked.p1() != command.p1()
                || asked.p2() != (command.p2() & ~NEXT)) {
            throw new Refusal(Sw.CONDITIONS);
        }
        List<byte[]> parts = new ArrayList<>();
        int length = 0;
        while (!waiting.isEmpty() && length + waiting.peek().length <= LONGEST_ANSWER) {
            length += waiting.peek().length;
            parts.add(waiting.poll());
        }
        return Tlv.join(parts.toArray(new byte[0][]));
    }

    private void collect(Command command) throws Refusal {
        forget();
        List<Tlv> search = Tlv.parse(command.data());
        byte[] name = Tlv.find(search, NAME);
        byte[] tags = Tlv.find(search, TAG_LIST);
        if (command.p1() == ISSUER_DOMAIN) {
            // There is one: what to look for is ignored (GPCS 11.4.2.1).
            name = new byte[0];
        } else if (name == null || name.length > Aid.LONGEST) {
            throw new Refusal(Sw.WRONG_DATA);
        }
        boolean inTlv = (command.p2() & IN_TLV) != 0;
        for (Entry entry : entries(command.p1())) {
            if (entry.aid.startsWith(name)) {
                waiting.add(inTlv ? entry.inTlv(tags) : entry.inOldFormat(command.p1() == LOAD_FILES_AND_MODULES));
            }
        }
        if (waiting.isEmpty()) {
            throw new Refusal(Sw.NO_REFERENCED_DATA);
        }
        asked = command;
    }

    private List<Entry> entries(int part) throws Refusal {
        return switch (part) {
            case ISSUER_DOMAIN -> List.of(new Entry(Registry.DOMAIN, (byte) registry.state(), DOMAIN_PRIVILEGES,
                    Registry.DOMAIN_LOAD_FILE, null, null));
            case APPLICATIONS -> registry.instances().stream().map(StatusReport::entry).toList();
            case LOAD_FILES, LOAD_FILES_AND_MODULES -> registry.loadFiles().stream()
                    .map(f -> entry(f, part == LOAD_FILES_AND_MODULES)).toList();
            default -> throw new Refusal(Sw.WRONG_P1P2);
        };
    }

    private static Entry entry(Instance instance) {
        return new Entry(instance.aid(), (byte) instance.state(), NO_PRIVILEGES, instance.loadFile().aid(), null, null);
    }

    private static Entry entry(LoadFileEntry file, boolean withModule) {
        byte[] version = {(byte) file.major(), (byte) file.minor()};
        return new Entry(file.aid(), LOADED[0], null, null, version, withModule ? file.module() : null);
    }

    /** What is null does not apply. */
    private record Entry(Aid aid, byte state, byte[] privileges, Aid loadFile, byte[] version, Aid module) {
        byte[] inOldFormat(boolean withModules) {
            byte[] head = {state, privileges == null ? 0 : privileges[0]};
            byte[] modules = {};
            if (withModules) {
                modules = module == null ? new byte[1] : Tlv.join(new byte[] {1}, lv(module));
            }
            return Tlv.join(lv(aid), head, modules);
        }

        private static byte[] lv(Aid aid) {
            return Tlv.join(new byte[] {(byte) aid.bytes().length}, aid.bytes());
        }

        /** All that there is to tell, or what the tag list asks for. */
        byte[] inTlv(byte[] tags) throws Refusal {
            byte[] told = {};
            told = tell(told, tags, NAME, aid.bytes());
            told = tell(told, tags, STATE, new byte[] {state});
            told = tell(told, tags, PRIVILEGES, privileges);
            told = tell(told, tags, LOAD_FILE, loadFile == null ? null : loadFile.bytes());
            told = tell(told, tags, FILE_VERSION, version);
            told = tell(told, tags, MODULE, module == null ? null : module.bytes());
            told = tell(told, tags, DOMAIN, Registry.DOMAIN.bytes());
            return Tlv.of(ENTRY, told);
        }

        private static byte[] tell(byte[] told, byte[] tags, int tag, byte[] value) throws Refusal {
            return value == null || tags != null && !lists(tags, tag) ? told : Tlv.join(told, Tlv.of(tag, value));
        }

        private static boolean lists(byte[] tags, int tag) throws Refusal {
            for (int at = 0; at < tags.length; at++) {
                int listed = tags[at] & 0xFF;
                if ((listed & 0x1F) == 0x1F) {
                    at++;
                    if (at == tags.length) {
                        throw new Refusal(Sw.WRONG_DATA);
                    }
                    listed = listed << 8 | tags[at] & 0xFF;
                }
                if (listed == tag) {
                    return true;
                }
            }
            return false;
        }
    }
}
