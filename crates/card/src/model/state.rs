//! What the model remembers: for good, and until the next SELECT.

use super::status;
use crate::ids::{CardId, Point, TerminalId};

/// Slots for terminals.
pub(super) const SLOTS: usize = 16;
/// Length of a head record.
pub(super) const HEAD: usize = 81;
/// Length of what names its writer.
pub(super) const WRITER: usize = 12;

/// How far a card's life has come; the byte that SELECT answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Life {
    /// The applet is on the card.
    Installed = 0x01,
    /// It knows its owner.
    Personalised = 0x03,
    /// The server knows it.
    Enrolled = 0x07,
    /// It is of no use any more.
    Terminated = 0x7F,
}

/// A value that is given to be compared, with tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guarded<const N: usize> {
    value: [u8; N],
    limit: u8,
    pub(super) tries: u8,
}

impl<const N: usize> Guarded<N> {
    pub(super) fn new(value: [u8; N], limit: u8) -> Self {
        Self {
            value,
            limit,
            tries: limit,
        }
    }

    /// Compares; the status word of the refusal if it is not the value.
    pub(super) fn check(&mut self, given: &[u8]) -> Result<(), u16> {
        if self.tries == 0 {
            return Err(status::BLOCKED);
        }
        if given == self.value {
            self.tries = self.limit;
            return Ok(());
        }
        self.tries -= 1;
        Err(self.refusal())
    }

    /// What is answered when it was not given.
    pub(super) fn refusal(&self) -> u16 {
        match self.tries {
            0 => status::BLOCKED,
            left => status::TRIES | u16::from(left),
        }
    }
}

/// A paired terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) id: TerminalId,
    pub(super) point: Point,
    pub(super) label: Vec<u8>,
}

/// What outlives power.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) life: Life,
    pub(super) transport: Guarded<16>,
    pub(super) card: CardId,
    pub(super) subscriber: Vec<u8>,
    pub(super) label: Vec<u8>,
    pub(super) server: Vec<u8>,
    pub(super) ca_pin: [u8; 32],
    pub(super) pin: Guarded<8>,
    pub(super) puk: Guarded<8>,
    pub(super) pin_due: bool,
    pub(super) keys: Option<(Point, Point)>,
    pub(super) counter: u32,
    pub(super) unsettled: [u32; SLOTS],
    pub(super) slots: [Option<Slot>; SLOTS],
    pub(super) head: Option<[u8; HEAD]>,
    pub(super) writer: [u8; WRITER],
}

impl Memory {
    pub(super) fn new(transport: [u8; 16]) -> Self {
        Self {
            life: Life::Installed,
            transport: Guarded::new(transport, 10),
            card: CardId([0; 16]),
            subscriber: Vec::new(),
            label: Vec::new(),
            server: Vec::new(),
            ca_pin: [0; 32],
            pin: Guarded::new([0; 8], 3),
            puk: Guarded::new([0; 8], 10),
            pin_due: false,
            keys: None,
            counter: 0,
            unsettled: [0; SLOTS],
            slots: [const { None }; SLOTS],
            head: None,
            writer: [0; WRITER],
        }
    }

    /// Slots whose terminal has a session to settle, bit 0 for slot 0.
    pub(super) fn unsettled(&self) -> u16 {
        (0..SLOTS)
            .filter(|i| self.unsettled[*i] != 0 && self.slots[*i].is_some())
            .fold(0, |map, i| map | 1 << i)
    }

    /// A record that is equal to the stored one is not written again.
    pub(super) fn put_head(&mut self, head: [u8; HEAD], writer: [u8; WRITER]) {
        if self.head != Some(head) {
            (self.head, self.writer) = (Some(head), writer);
        }
    }

    pub(super) fn settle(&mut self, map: u16) {
        for (i, n) in self.unsettled.iter_mut().enumerate() {
            if map & 1 << i != 0 {
                *n = 0;
            }
        }
    }

    pub(super) fn find(&self, id: &TerminalId) -> Option<usize> {
        self.slots
            .iter()
            .position(|s| s.as_ref().is_some_and(|s| s.id == *id))
    }
}

/// What an OPEN SESSION opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) token: [u8; 16],
    pub(super) n: u32,
    pub(super) terminal: TerminalId,
}

/// What dies with another SELECT.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) verified: bool,
    pub(super) direct: bool,
    /// "restore" was signed, and no PUT HEAD came after it.
    pub(super) restored: bool,
    pub(super) challenge: Option<[u8; 16]>,
    pub(super) open: Option<Open>,
}
