"""Another client of the card, written by docs/card.md alone: pairs a terminal and opens a session.

Lines on standard input: PIN, new PIN, new PUK. Prints what it found as JSON; any disagreement ends it with an error.
"""
import hashlib
import json
import os
import struct
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from smartcard.System import readers

P256, ECDSA = ec.SECP256R1(), ec.ECDSA(hashes.SHA256())
APPLET = bytes.fromhex("F0 53 49 4D 53 59 4E 43 01")
CARD = next(r for r in readers()).createConnection()


def command(cla, ins, p1=0, p2=0, data=b"", answers=True):
    """One command APDU; its answer, if the card did it."""
    apdu = bytes([cla, ins, p1, p2]) + (bytes([len(data)]) + data if data else b"") + (b"\0" if answers else b"")
    answer, sw1, sw2 = CARD.transmit(list(apdu))
    if (sw1, sw2) != (0x90, 0x00):
        raise SystemExit(f"{cla:02X} {ins:02X}: {sw1:02X}{sw2:02X}")
    return bytes(answer)


def fields(*values):
    """Fields, each preceded by its length in 2 bytes."""
    return b"".join(struct.pack(">H", len(v)) + v for v in values)


def lv(data, at):
    """The LV field there, and where the next one begins."""
    end = at + 1 + data[at]
    return data[at + 1:end], end


def padded(pin):
    return pin.encode("ascii").ljust(8, b"\xff")


def point(key):
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


pin, new_pin, new_puk = (line.strip() for line in sys.stdin)
CARD.connect()
selected = command(0x00, 0xA4, 0x04, 0x00, APPLET)
if len(selected) != 38 or selected[0] != 1 or selected[2] != 0x07:
    raise SystemExit(f"not an enrolled card of version 1: {selected.hex()}")
if selected[5] & 2:
    command(0x00, 0x24, 0x00, 0x81, padded(pin) + padded(new_pin) + padded(new_puk), answers=False)
command(0x00, 0x20, 0x00, 0x81, padded(new_pin), answers=False)

# Who is it? The pseudonym of SELECT must be that of the card ID and the subscriber.
info = command(0x80, 0x20)
card_id, (subscriber, at) = info[:16], lv(info, 16)
label, at = lv(info, at)
server, at = lv(info, at)
challenge, pseudonym = selected[6:22], selected[22:]
if hashlib.sha256(fields(card_id, subscriber, challenge)).digest()[:16] != pseudonym:
    raise SystemExit("the pseudonym is another card's")


def text(domain, *further):
    return fields(b"simsync/1/" + domain.encode("ascii"), card_id, *further)


nonce = os.urandom(32)
keys = command(0x80, 0x22, data=nonce)
sig = ec.EllipticCurvePublicKey.from_encoded_point(P256, keys[:65])
kem = ec.EllipticCurvePublicKey.from_encoded_point(P256, keys[65:130])
sig.verify(lv(keys, 130)[0], text("keys", keys[:65], keys[65:130], nonce), ECDSA)

# Pairing: VERIFY must be the command just before.
terminal, binding = ec.generate_private_key(P256), os.urandom(32)
terminal_id = hashlib.sha256(point(terminal)).digest()
command(0x00, 0x20, 0x00, 0x81, padded(new_pin), answers=False)
added = command(0x80, 0x30, data=point(terminal) + b"\x06python" + binding)
sig.verify(lv(added, 1)[0], text("pair", terminal_id, binding), ECDSA)

# A session.
challenge, hpke, binding = command(0x80, 0x84), ec.generate_private_key(P256), os.urandom(32)
signature = terminal.sign(text("terminal", challenge, binding, point(hpke)), ECDSA)
opened = command(0x80, 0x40, data=terminal_id + binding + point(hpke) + signature)
n = opened[:4]
signature, at = lv(opened, 4)
sig.verify(signature, text("session", n, terminal_id, binding), ECDSA)
if hpke.exchange(ec.ECDH(), kem) != opened[at:at + 32]:
    raise SystemExit("the card agreed on another secret")
has_head, token = opened[at + 32] & 1, opened[-16:]
renewed = command(0x80, 0x42, data=token + binding)
sig.verify(lv(renewed, 0)[0], text("renew", n, terminal_id, binding), ECDSA)
print(json.dumps({"slot": added[0], "n": int.from_bytes(n, "big"), "has_head": has_head, "label": label.decode(),
                  "server": server.decode(), "subscriber": subscriber.decode()}))
