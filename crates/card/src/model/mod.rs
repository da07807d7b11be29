//! The applet as a pure function of its memory, a command and chance: what docs/card.md says, in Rust.
//!
//! It serves twice. Held against the real applet by random sequences of commands, it finds where one of the two is
//! wrong. And with [`SoftChip`] it is a card without a simulator, for tests that need many of them. It protects nothing.

mod chip;
mod commands;
mod cut;
mod state;
mod status;

pub use chip::{Chip, SoftChip};
pub use state::Life;

use zeroize::Zeroizing;

use crate::apdu::{Command, Response, without_channel};
use crate::client::APPLET_AID;
use crate::transport::{Transport, TransportError};

use state::{Memory, Session};
use status::*;

/// An answer's data, or the status word of a refusal.
type Answer = Result<Vec<u8>, u16>;

/// A card with our applet.
#[derive(Clone)]
pub struct Model<C> {
    /// Its chance and keys.
    pub chip: C,
    memory: Memory,
    session: Session,
}

impl Model<SoftChip> {
    /// A blank card in memory.
    pub fn soft(transport: [u8; 16]) -> Self {
        Self::new(SoftChip::default(), transport)
    }
}

impl<C: Chip> Model<C> {
    /// A blank card with this transport secret.
    pub fn new(chip: C, transport: [u8; 16]) -> Self {
        Self {
            chip,
            memory: Memory::new(transport),
            session: Session::default(),
        }
    }

    /// Takes the power away and gives it back.
    pub fn reset(&mut self) {
        self.session = Session::default();
    }

    /// How far its life has come.
    pub fn life(&self) -> Life {
        self.memory.life
    }

    /// Tries left of PIN and PUK.
    pub fn tries(&self) -> (u8, u8) {
        (self.memory.pin.tries, self.memory.puk.tries)
    }

    /// The number of the newest session.
    pub fn counter(&self) -> u32 {
        self.memory.counter
    }

    /// The newest head, 81 bytes as in PUT HEAD; none before the first.
    pub fn head(&self) -> Option<&[u8]> {
        self.memory.head.as_ref().map(<[u8; state::HEAD]>::as_slice)
    }

    /// IDs of the paired terminals, by slot.
    pub fn terminals(&self) -> Vec<Option<crate::ids::TerminalId>> {
        let slots = self.memory.slots.iter();
        slots.map(|s| s.as_ref().map(|s| s.id)).collect()
    }

    /// Does what a command says. The answer has at most as many bytes as Le asks for, as with T=1; without Le it is whole.
    pub fn process(&mut self, command: &Command) -> Response {
        let (mut data, sw) = match self.answer(command) {
            Ok(data) => (data, DONE),
            Err(sw) => (Vec::new(), sw),
        };
        if let Some(expected) = command.expected() {
            data.truncate(expected.into());
        }
        Response {
            data: Zeroizing::new(data),
            sw,
        }
    }

    fn answer(&mut self, command: &Command) -> Answer {
        let [cla, ins, p1, p2] = command.header();
        let data = command.data();
        if [cla, ins, p1, p2] == [0x00, 0xA4, 0x04, 0x00] && data == APPLET_AID {
            self.session = Session::default();
            return Ok(self.select());
        }
        let direct = std::mem::take(&mut self.session.direct);
        let exactly = |wanted: (u8, u8)| {
            if (p1, p2) == wanted {
                Ok(())
            } else {
                Err(BAD_P1P2)
            }
        };
        match (without_channel(cla), ins) {
            // By name, the first occurrence or the next one: there is no other.
            (0x00, 0xA4) if p1 == 4 && (p2 == 0 || p2 == 2) => Err(NOT_FOUND),
            (0x00, 0xA4) => Err(BAD_P1P2),
            (0x00, 0x20) => exactly((0, 0x81)).and_then(|()| self.verify(data)),
            (0x00, 0x24) => exactly((0, 0x81)).and_then(|()| self.change(data)),
            (0x00, 0x2C) => exactly((0, 0x81)).and_then(|()| self.unblock(data)),
            (0x80, 0x32) if p1 < 16 && p2 == 0 => self.list(p1.into()),
            (0x80, 0x46) if (1..=3).contains(&p1) && p2 == 0 => self.sign(p1, data, direct),
            (0x80, 0x32 | 0x46) => Err(BAD_P1P2),
            (0x80, ins) => {
                let act: fn(&mut Self, &[u8], bool) -> Answer = match ins {
                    0x84 => |m, _, _| m.challenge(),
                    0x10 => |m, d, _| m.personalise(d),
                    0x12 => |m, d, _| m.generate_keys(d),
                    0x14 => |m, d, _| m.enrolled(d),
                    0x20 => |m, _, _| m.read_info(),
                    0x22 => |m, d, _| m.read_keys(d),
                    0x24 => Self::set_server,
                    0x30 => Self::add_terminal,
                    0x34 => |m, _, _| m.read_sessions(),
                    0x36 => Self::remove_terminal,
                    0x40 => |m, d, _| m.open_session(d),
                    0x42 => |m, d, _| m.renew(d),
                    0x44 => |m, d, _| m.put_head(d),
                    0x50 => |m, d, _| m.terminate(d),
                    _ => return Err(BAD_INS),
                };
                exactly((0, 0)).and_then(|()| act(self, data, direct))
            }
            (0x00, _) => Err(BAD_INS),
            _ => Err(refused_class(cla)),
        }
    }
}

/// What a class that is none of ours is refused with (ISO 7816-4, 5.4.1).
fn refused_class(cla: u8) -> u16 {
    let further = cla & 0x40 != 0;
    let secured = if further { 0x20 } else { 0x0C };
    if cla == 0xFF || !further && cla & 0x20 != 0 {
        BAD_CLA
    } else if cla & 0x10 != 0 {
        NO_CHAINING
    } else if cla & secured != 0 {
        NO_SECURE_MESSAGING
    } else {
        BAD_CLA
    }
}

/// In the hand of a client, as a card in a reader.
impl<C: Chip> Transport for Model<C> {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TransportError> {
        let response = match Command::decode(apdu) {
            Ok(command) => self.process(&command),
            Err(_) => Response {
                data: Zeroizing::new(Vec::new()),
                sw: WRONG_LENGTH,
            },
        };
        let mut bytes = response.data.to_vec();
        bytes.extend_from_slice(&response.sw.to_be_bytes());
        Ok(bytes)
    }
}
