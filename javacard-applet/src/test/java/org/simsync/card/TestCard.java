package org.simsync.card;

import java.io.ByteArrayOutputStream;
import org.simsync.bridge.fault.FaultyApplet;
import org.simsync.bridge.fault.FaultyCard;
import org.simsync.bridge.fault.FaultyNv;

/** A simulated card with the applet, spoken to in bytes. {@link Host} speaks to it in commands. */
final class TestCard {
    static final byte[] TRANSPORT = Host.filled(16, 0x5A);

    final FaultyNv nv;
    final FaultyApplet applet;
    private final FaultyCard card;

    TestCard() {
        this("T=1");
    }

    TestCard(String protocol) {
        this(protocol, TRANSPORT);
    }

    TestCard(String protocol, byte[] parameter) {
        card = new FaultyCard(protocol, parameter);
        applet = card.applet();
        nv = card.nv();
    }

    Answer raw(byte... command) {
        return Answer.of(card.transmit(command));
    }

    /** A command with data and the wish for any answer. */
    Answer send(int cla, int ins, int p1, int p2, byte... data) {
        ByteArrayOutputStream command = new ByteArrayOutputStream();
        command.write(cla);
        command.write(ins);
        command.write(p1);
        command.write(p2);
        if (data.length > 0) {
            command.write(data.length);
            command.writeBytes(data);
        }
        command.write(0);
        return raw(command.toByteArray());
    }

    void powerCycle() {
        card.powerCycle();
    }

    void changeProtocol(String protocol) {
        card.changeProtocol(protocol);
    }
}
