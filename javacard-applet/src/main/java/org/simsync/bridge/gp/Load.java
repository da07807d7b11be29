package org.simsync.bridge.gp;

import java.io.ByteArrayOutputStream;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;

/** A load file on its way in: announced by INSTALL [for load], brought by LOAD in blocks (GPCS 11.6). */
final class Load {
    private static final int LAST_BLOCK = 0x80;
    private static final int LOAD_FILE_DATA_BLOCK = 0xC4;
    private static final int SHA1 = 20;
    private static final int SHA256 = 32;

    private final Aid announced;
    private final byte[] hash;
    private final ByteArrayOutputStream received = new ByteArrayOutputStream();
    private int nextBlock;

    /** The hash may be empty; 6A80 for one of another length than SHA-1 and SHA-256 have. */
    Load(Aid announced, byte[] hash) throws Refusal {
        if (hash.length != 0 && hash.length != SHA1 && hash.length != SHA256) {
            throw new Refusal(Sw.WRONG_DATA);
        }
        this.announced = announced;
        this.hash = hash;
    }

    /** Takes the next block; answers the load file after the last one, else null. */
    Registry.LoadFileEntry add(Command command, int free, JavaCardVersion version) throws Refusal {
        boolean last = command.p1() == LAST_BLOCK;
        if (!last && command.p1() != 0 || command.p2() != nextBlock) {
            throw new Refusal(Sw.WRONG_P1P2);
        }
        nextBlock = nextBlock + 1 & 0xFF;
        if (command.data().length == 0) {
            throw new Refusal(Sw.WRONG_LENGTH);
        }
        received.writeBytes(command.data());
        if (received.size() > free) {
            throw new Refusal(Sw.NO_MEMORY);
        }
        return last ? finish(free, version) : null;
    }

    private Registry.LoadFileEntry finish(int free, JavaCardVersion version) throws Refusal {
        byte[] block = dataBlock();
        if (hash.length != 0 && !Arrays.equals(hash, digest(block))) {
            throw new Refusal(Sw.WRONG_DATA);
        }
        CapFile cap = CapFile.parse(block);
        for (CapFile.Import used : cap.imports()) {
            if (!version.has(used)) {
                throw new Refusal(Sw.NEEDS_NEWER_CARD);
            }
        }
        boolean named = cap.packageAid().equals(announced) && announced.equals(AppletClasses.PACKAGE)
                && cap.applet().equals(AppletClasses.APPLET);
        if (!named || !cap.hasMethod(LoadFile.method(AppletClasses.proof()))) {
            throw new Refusal(Sw.WRONG_DATA);
        }
        return new Registry.LoadFileEntry(announced, cap.major(), cap.minor(), cap.applet(), block.length, false);
    }

    /** The one object that was received; there are no DAP blocks before it, since no domain here verifies them. */
    private byte[] dataBlock() throws Refusal {
        ByteBuffer in = ByteBuffer.wrap(received.toByteArray());
        try {
            if ((in.get() & 0xFF) == LOAD_FILE_DATA_BLOCK && Tlv.length(in) == in.remaining()) {
                byte[] block = new byte[in.remaining()];
                in.get(block);
                return block;
            }
        } catch (BufferUnderflowException e) {
            // Said below.
        }
        throw new Refusal(Sw.WRONG_DATA);
    }

    private byte[] digest(byte[] block) {
        try {
            return MessageDigest.getInstance(hash.length == SHA1 ? "SHA-1" : "SHA-256").digest(block);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has both", e);
        }
    }
}
