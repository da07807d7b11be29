//! A card that was reached, wherever it is: in a reader, or in a modem.
//!
//! Every call may block, so one thread owns such a value.

use crate::modem::ModemCard;
use crate::pcsc::{PcscCard, PcscTransaction};
use crate::pinpad::{Control, PinPad};
use crate::transport::{Transport, TransportError};

/// A card that was reached.
pub enum Connection {
    /// In a card reader, through pcscd.
    Reader(PcscCard),
    /// In a modem: its applet only, on a logical channel.
    Modem(Box<ModemCard>),
}

impl Connection {
    /// Takes the card for this program alone until the value returned is dropped; see [`PcscCard::begin`]. A modem's channel
    /// is this program's alone as it is.
    pub fn begin(&mut self) -> Result<Taken<'_>, TransportError> {
        Ok(match self {
            Self::Reader(card) => Taken::Reader(card.begin()?),
            Self::Modem(channel) => Taken::Modem(channel),
        })
    }

    /// The PIN pad of its reader, if it has one.
    pub fn pin_pad(&self) -> Option<PinPad> {
        match self {
            Self::Reader(card) => card.pin_pad(),
            Self::Modem(_) => None,
        }
    }
}

/// The card while it is this program's alone.
pub enum Taken<'card> {
    /// By a transaction of the reader's.
    Reader(PcscTransaction<'card>),
    /// By its logical channel, which no other program uses.
    Modem(&'card mut ModemCard),
}

impl Transport for Taken<'_> {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TransportError> {
        match self {
            Self::Reader(transaction) => transaction.transmit(apdu),
            Self::Modem(channel) => channel.transmit(apdu),
        }
    }
}

impl Control for Taken<'_> {
    fn features(&mut self) -> Result<Vec<u8>, TransportError> {
        match self {
            Self::Reader(transaction) => transaction.features(),
            Self::Modem(channel) => channel.features(),
        }
    }

    fn control(&mut self, code: u32, data: &[u8]) -> Result<Vec<u8>, TransportError> {
        match self {
            Self::Reader(transaction) => transaction.control(code, data),
            Self::Modem(channel) => channel.control(code, data),
        }
    }
}
