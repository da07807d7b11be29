//! The reader: slot, keys, and the book of what crossed to the computer.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::card::{Power, Slot};
use crate::keys::{Keys, Pressed};
use crate::pad::{self, Order};

/// Why a call gave nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// Not something that this reader does.
    NotSupported,
    /// The card does not answer, or is out.
    Communication,
}

impl From<std::io::Error> for Failure {
    fn from(_: std::io::Error) -> Self {
        Self::Communication
    }
}

/// A virtual reader: its slot, its keys, and the file in which it writes down all that crossed.
pub struct Reader {
    slot: Slot,
    keys: Keys,
    wire: File,
    atr: Vec<u8>,
}

impl Reader {
    /// By its device name: `FOLDER:PORT`, the port in hexadecimal with 0x.
    pub fn open(device: &str) -> Option<Self> {
        let (folder, port) = device.rsplit_once(':')?;
        let port = u16::from_str_radix(port.strip_prefix("0x")?, 16).ok()?;
        let folder = Path::new(folder);
        let mut wire = File::options();
        Some(Self {
            slot: Slot::open(port).ok()?,
            keys: Keys::open(&folder.join(crate::KEYS)).ok()?,
            wire: wire
                .create(true)
                .append(true)
                .open(folder.join(crate::WIRE))
                .ok()?,
            atr: Vec::new(),
        })
    }

    /// Writes down what crossed. A test that reads it must not be told less than there was.
    fn note(&mut self, what: &str, way: char, data: &[u8]) -> Result<(), Failure> {
        let line = Zeroizing::new(format!("{what} {way} {}\n", hex::encode(data)));
        Ok(self.wire.write_all(line.as_bytes())?)
    }

    /// Whether a card is in.
    pub fn is_present(&mut self) -> bool {
        self.slot.is_present()
    }

    /// The answer to reset of the card that has power.
    pub fn atr(&self) -> &[u8] {
        &self.atr
    }

    /// Changes the card's power; answers the answer to reset.
    pub fn power(&mut self, power: Power) -> Result<&[u8], Failure> {
        self.atr = self.slot.power(power)?;
        Ok(&self.atr)
    }

    /// A command from the computer.
    pub fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, Failure> {
        self.note("transmit", '>', command)?;
        let answer = self.slot.exchange(command)?;
        self.note("transmit", '<', &answer)?;
        Ok(answer)
    }

    /// An order to the reader itself.
    pub fn control(&mut self, code: u32, data: &[u8]) -> Result<Vec<u8>, Failure> {
        let what = format!("control {code:08x}");
        self.note(&what, '>', data)?;
        let answer = match code {
            pad::GET_FEATURES => pad::FEATURES.to_vec(),
            pad::PROPERTIES => pad::PROPERTIES_ANSWER.to_vec(),
            pad::VERIFY => self.entry(data, false)?,
            pad::MODIFY => self.entry(data, true)?,
            _ => return Err(Failure::NotSupported),
        };
        self.note(&what, '<', &answer)?;
        Ok(answer)
    }

    /// Has PINs typed and the card told; answers two bytes.
    fn entry(&mut self, structure: &[u8], modify: bool) -> Result<Vec<u8>, Failure> {
        let Some(order) = Order::parse(structure, modify) else {
            return Ok(pad::REFUSED.to_be_bytes().to_vec());
        };
        let command = match self.typed(&order)? {
            Ok(command) => command,
            Err(word) => return Ok(word.to_be_bytes().to_vec()),
        };
        // As from any card: a status word, here without data.
        let answer = self.slot.exchange(&command)?;
        match answer.as_slice() {
            [_, _] => Ok(answer),
            _ => Err(Failure::Communication),
        }
    }

    fn typed(&self, order: &Order) -> Result<Result<Zeroizing<Vec<u8>>, u16>, Failure> {
        let mut pins = Vec::new();
        let wanted = [
            order.asks_present,
            order.asks_new(),
            order.asks_new() && order.confirms,
        ];
        for _ in wanted.iter().filter(|w| **w) {
            match self.one(order)? {
                Ok(digits) => pins.push(digits),
                Err(word) => return Ok(Err(word)),
            }
        }
        if order.confirms {
            let repeated = pins.pop();
            if repeated.as_ref() != pins.last() {
                return Ok(Err(pad::DIFFER));
            }
        }
        let pins: Vec<&[u8]> = pins.iter().map(|p| p.as_slice()).collect();
        Ok(Ok(order.command(&pins)))
    }

    fn one(&self, order: &Order) -> Result<Result<Zeroizing<Vec<u8>>, u16>, Failure> {
        let card = self.slot.card().ok_or(Failure::Communication)?;
        let patience = Duration::from_secs(order.patience.into());
        Ok(match self.keys.wait(card, patience)? {
            Pressed::Digits(digits) if order.takes(&digits) => Ok(digits),
            Pressed::Digits(_) => Err(pad::LENGTH),
            Pressed::Cancel => Err(pad::CANCELLED),
            Pressed::Nothing => Err(pad::TIMED_OUT),
            Pressed::CardGone => return Err(Failure::Communication),
        })
    }
}
