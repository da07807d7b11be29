package javacard.framework;

import com.licel.jcardsim.base.ApduCase;
import com.licel.jcardsim.base.SimulatorSystem;
import java.util.Arrays;

/**
 * An APDU class as strict as the strictest platforms, in place of the simulator's for all tests: a buffer of 133 bytes, data
 * that arrives in pieces, an error for whoever asks for data where none came (as Oracle's runtime answers with any protocol),
 * a length of data and a place of it that are wrong (as on some cards), and an answer that fits into Le.
 */
public final class APDU {
    public static final byte STATE_INITIAL = 0;
    public static final byte STATE_PARTIAL_INCOMING = 1;
    public static final byte STATE_FULL_INCOMING = 2;
    public static final byte STATE_OUTGOING = 3;
    public static final byte STATE_OUTGOING_LENGTH_KNOWN = 4;
    public static final byte STATE_PARTIAL_OUTGOING = 5;
    public static final byte STATE_FULL_OUTGOING = 6;
    public static final byte STATE_ERROR_NO_T0_GETRESPONSE = -1;
    public static final byte STATE_ERROR_T1_IFD_ABORT = -2;
    public static final byte STATE_ERROR_IO = -3;
    public static final byte STATE_ERROR_NO_T0_REISSUE = -4;
    public static final byte PROTOCOL_MEDIA_MASK = (byte) 0xF0;
    public static final byte PROTOCOL_TYPE_MASK = 0x0F;
    public static final byte PROTOCOL_T0 = 0;
    public static final byte PROTOCOL_T1 = 1;
    public static final byte PROTOCOL_MEDIA_DEFAULT = 0;
    public static final byte PROTOCOL_MEDIA_CONTACTLESS_TYPE_A = (byte) 0x80;
    public static final byte PROTOCOL_MEDIA_CONTACTLESS_TYPE_B = (byte) 0x90;
    public static final byte PROTOCOL_MEDIA_USB = (byte) 0xA0;
    public static final byte PROTOCOL_MEDIA_HCI_APDU_GATE = (byte) 0xB0;
    public static final byte PROTOCOL_MEDIA_CONTACTLESS_TYPE_F = (byte) 0xC0;

    /** The least that the standard asks for: 5 of header and 128 of data. */
    private static final int BUFFER_SIZE = 133;
    /** Much less than fits: whoever gathers must go round its loop several times. */
    private static final int LARGEST_PIECE = 50;
    private static final short LONGEST_ANSWER = 256;

    private static boolean makesDataUp;

    private final byte[] buffer = new byte[BUFFER_SIZE];
    private byte protocol;
    private byte[] incoming = new byte[0];
    private int received;
    /** Le; 256 where it is 0 or missing, as Oracle's runtime tells it. */
    private short expected = LONGEST_ANSWER;
    private boolean receiving;
    private int timesAsked;
    private boolean outgoing;
    private short outgoingLength = -1;
    private short sent;

    APDU(boolean extended) {
        // The applet takes short APDUs only; the extended object is never used.
    }

    /** Called by the simulator, by reflection: begins a command. */
    private void internalReset(byte newProtocol, ApduCase apduCase, byte[] command) {
        protocol = newProtocol;
        if (command == null) {
            return;
        }
        Arrays.fill(buffer, (byte) 0xEE);
        receiving = false;
        timesAsked = 0;
        outgoing = false;
        outgoingLength = -1;
        sent = 0;
        received = 0;
        int lc = 0;
        boolean hasData = apduCase == ApduCase.Case3 || apduCase == ApduCase.Case4;
        if (hasData) {
            lc = command[ISO7816.OFFSET_LC] & 0xFF;
        }
        incoming = hasData ? Arrays.copyOfRange(command, 5, 5 + lc) : new byte[0];
        System.arraycopy(command, 0, buffer, 0, 4);
        buffer[ISO7816.OFFSET_LC] = apduCase == ApduCase.Case1 ? 0 : command[ISO7816.OFFSET_LC];
        expected = expected(apduCase, command);
        if (isSelect()) {
            // The runtime has read the data of a SELECT already.
            System.arraycopy(incoming, 0, buffer, ISO7816.OFFSET_CDATA, incoming.length);
        }
    }

    /** With T=0 nobody knows Le when the command has data (JCRE 9.4.1). */
    private short expected(ApduCase apduCase, byte[] command) {
        boolean isTold = apduCase == ApduCase.Case2 || apduCase == ApduCase.Case4 && isT1();
        int le = isTold ? command[command.length - 1] & 0xFF : 0;
        return le == 0 ? LONGEST_ANSWER : (short) le;
    }

    private boolean isT1() {
        return (protocol & PROTOCOL_TYPE_MASK) == PROTOCOL_T1;
    }

    private boolean isSelect() {
        return buffer[0] == 0 && buffer[1] == ISO7816.INS_SELECT && incoming.length <= BUFFER_SIZE - 5;
    }

    public byte[] getBuffer() {
        return buffer;
    }

    public static short getInBlockSize() {
        return 1;
    }

    public static short getOutBlockSize() {
        return LONGEST_ANSWER;
    }

    public static byte getProtocol() {
        return SimulatorSystem.instance().getCurrentAPDU().protocol;
    }

    public byte getNAD() {
        return 0;
    }

    /**
     * Until told otherwise, data is made up where none came (as much as byte 4 says, zeros), and the last piece is counted with
     * Le. For tests, no part of the API.
     */
    public static void makeDataUp(boolean on) {
        makesDataUp = on;
    }

    public short setIncomingAndReceive() {
        require(!receiving && !outgoing, APDUException.ILLEGAL_USE);
        timesAsked++;
        if (makesDataUp && incoming.length == 0) {
            incoming = new byte[buffer[ISO7816.OFFSET_LC] & 0xFF];
        }
        // With T=0 a card would now ask the reader for data that the reader does not have; with T=1 there is none to give.
        require(incoming.length > 0, APDUException.IO_ERROR);
        receiving = true;
        return receiveBytes(ISO7816.OFFSET_CDATA);
    }

    public short receiveBytes(short offset) {
        require(receiving && !outgoing, APDUException.ILLEGAL_USE);
        int rest = incoming.length - received;
        require(offset >= 0 && (rest == 0 || offset < BUFFER_SIZE), APDUException.BUFFER_BOUNDS);
        int piece = Math.min(Math.min(rest, LARGEST_PIECE), BUFFER_SIZE - offset);
        System.arraycopy(incoming, received, buffer, offset, piece);
        received += piece;
        boolean countsLe = makesDataUp && piece > 0 && received == incoming.length && offset + piece < BUFFER_SIZE;
        return (short) (countsLe ? piece + 1 : piece);
    }

    /** As some cards have it: one too many. */
    public short getIncomingLength() {
        require(receiving && !outgoing, APDUException.ILLEGAL_USE);
        return (short) (incoming.length + 1);
    }

    /** As some cards have it: that of an extended command. */
    public short getOffsetCdata() {
        require(receiving && !outgoing, APDUException.ILLEGAL_USE);
        return ISO7816.OFFSET_EXT_CDATA;
    }

    /** How often the newest command was asked for its data; for tests, no part of the API. */
    public int timesAsked() {
        return timesAsked;
    }

    public short setOutgoing() {
        require(!outgoing, APDUException.ILLEGAL_USE);
        outgoing = true;
        return expected;
    }

    public short setOutgoingNoChaining() {
        return setOutgoing();
    }

    public void setOutgoingLength(short length) {
        require(outgoing && outgoingLength < 0, APDUException.ILLEGAL_USE);
        // With T=0 the runtime brings what is longer than Le in pieces; with T=1 nobody does.
        require(length >= 0 && length <= (isT1() ? expected : LONGEST_ANSWER), APDUException.BAD_LENGTH);
        outgoingLength = length;
    }

    public void sendBytes(short offset, short length) {
        require(outgoingLength >= 0 && sent + length <= outgoingLength, APDUException.ILLEGAL_USE);
        require(offset >= 0 && length >= 0 && offset + length <= BUFFER_SIZE, APDUException.BUFFER_BOUNDS);
        SimulatorSystem.instance().sendAPDU(buffer, offset, length);
        sent += length;
    }

    public void sendBytesLong(byte[] data, short offset, short length) {
        short at = offset;
        short rest = length;
        while (rest > 0) {
            short piece = (short) Math.min(rest, BUFFER_SIZE);
            System.arraycopy(data, at, buffer, 0, piece);
            sendBytes((short) 0, piece);
            at += piece;
            rest -= piece;
        }
    }

    public void setOutgoingAndSend(short offset, short length) {
        setOutgoing();
        setOutgoingLength(length);
        sendBytes(offset, length);
    }

    public byte getCurrentState() {
        return STATE_INITIAL;
    }

    public static APDU getCurrentAPDU() {
        return SimulatorSystem.instance().getCurrentAPDU();
    }

    public static byte[] getCurrentAPDUBuffer() {
        return getCurrentAPDU().getBuffer();
    }

    public static byte getCLAChannel() {
        return 0;
    }

    public static void waitExtension() {
        // The simulator has all the time.
    }

    public boolean isCommandChainingCLA() {
        return (buffer[0] & 0x10) != 0;
    }

    public boolean isSecureMessagingCLA() {
        return (buffer[0] & 0x0C) != 0;
    }

    public boolean isISOInterindustryCLA() {
        return (buffer[0] & 0x80) == 0;
    }

    public boolean isValidCLA() {
        return buffer[0] != (byte) 0xFF;
    }

    private static void require(boolean condition, short reason) {
        if (!condition) {
            APDUException.throwIt(reason);
        }
    }
}
