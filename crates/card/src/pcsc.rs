//! A card in a reader of the PC/SC daemon.
//!
//! Every call blocks, and beginning a transaction blocks for as long as another program holds one: one thread of its own
//! owns these values.

use std::ffi::CStr;

use pcsc::{Card, Context, Disposition, Error, MAX_BUFFER_SIZE, Protocols, ShareMode};
use zeroize::Zeroizing;

use crate::pinpad::{ANSWER_MAX, Control, GET_FEATURE_REQUEST, PinPad};
use crate::transport::{Transport, TransportError};

/// The PIN pad of a reader, with a card in or not. Not for asking again and again while cards come and go: pcscd 1.9.9 can
/// lose sight of a card that comes just when somebody is connected to its reader alone.
pub fn pin_pad(context: &Context, reader: &CStr) -> Option<PinPad> {
    let reader = PcscCard::connect(context, reader).or_else(|_| {
        // The reader alone.
        let direct = context.connect(reader, ShareMode::Direct, Protocols::UNDEFINED);
        direct.map(|card| PcscCard { card })
    });
    let reader = reader.ok()?;
    let pad = reader.pin_pad();
    // A reader that went away in this moment has no pad.
    reader.leave().ok()?;
    pad
}

/// A connected card, shared with other programs. When it is dropped the card is reset, so that no PIN stays verified.
pub struct PcscCard {
    card: Card,
}

impl PcscCard {
    /// Connects to the card in this reader.
    pub fn connect(context: &Context, reader: &CStr) -> Result<Self, TransportError> {
        let card = context.connect(reader, ShareMode::Shared, Protocols::ANY)?;
        Ok(Self { card })
    }

    /// Takes the card for this program alone until the value returned is dropped. The card is left as it is then: PIN
    /// state and session go on in the next transaction, unless another program resets or selects in between.
    ///
    /// [`TransportError::ResetByOther`]: another program did; the connection was renewed, the session on the card is
    /// lost, the next call succeeds and has to begin with SELECT.
    pub fn transaction(&mut self) -> Result<PcscTransaction<'_>, TransportError> {
        match self.card.transaction2() {
            Ok(transaction) => Ok(PcscTransaction { transaction }),
            Err((card, Error::ResetCard)) => {
                card.reconnect(ShareMode::Shared, Protocols::ANY, Disposition::LeaveCard)?;
                Err(TransportError::ResetByOther)
            }
            Err((_, error)) => Err(error.into()),
        }
    }

    /// A transaction; a reset by another program is over then, and what it ended begins with SELECT.
    pub fn begin(&mut self) -> Result<PcscTransaction<'_>, TransportError> {
        match self.transaction() {
            Ok(_) | Err(TransportError::ResetByOther) => {}
            Err(e) => return Err(e),
        }
        self.transaction()
    }

    /// The PIN pad of its reader.
    pub fn pin_pad(&self) -> Option<PinPad> {
        PinPad::find(&mut Controlled(&self.card))
    }

    /// The answer to reset.
    pub fn atr(&self) -> Result<Vec<u8>, TransportError> {
        Ok(self.card.status2_owned()?.atr().to_vec())
    }

    /// Ends the connection and leaves the card as it is, PIN state included: for a program that verified nothing.
    pub fn leave(self) -> Result<(), TransportError> {
        self.card
            .disconnect(Disposition::LeaveCard)
            .map_err(|(_, error)| error.into())
    }
}

/// The card while it is this program's alone.
pub struct PcscTransaction<'card> {
    transaction: pcsc::Transaction<'card>,
}

impl Transport for PcscTransaction<'_> {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TransportError> {
        let mut buffer = Zeroizing::new(vec![0; MAX_BUFFER_SIZE]);
        let answer = self.transaction.transmit(apdu, &mut buffer)?;
        if answer.len() < 2 {
            return Err(TransportError::NoAnswer(answer.len()));
        }
        Ok(answer.to_vec())
    }
}

impl Control for PcscTransaction<'_> {
    fn features(&mut self) -> Result<Vec<u8>, TransportError> {
        Controlled(&self.transaction).features()
    }

    fn control(&mut self, code: u32, data: &[u8]) -> Result<Vec<u8>, TransportError> {
        Controlled(&self.transaction).control(code, data)
    }
}

/// What the reader itself is told, in a transaction or not.
struct Controlled<'a>(&'a Card);

impl Control for Controlled<'_> {
    fn features(&mut self) -> Result<Vec<u8>, TransportError> {
        let mut buffer = [0; ANSWER_MAX];
        let code = pcsc::ctl_code(GET_FEATURE_REQUEST.into());
        Ok(self.0.control(code, &[], &mut buffer)?.to_vec())
    }

    fn control(&mut self, code: u32, data: &[u8]) -> Result<Vec<u8>, TransportError> {
        let mut buffer = Zeroizing::new([0; ANSWER_MAX]);
        Ok(self.0.control(code.into(), data, &mut *buffer)?.to_vec())
    }
}

impl From<Error> for TransportError {
    fn from(error: Error) -> Self {
        match error {
            Error::RemovedCard | Error::NoSmartcard => Self::RemovedCard,
            Error::UnknownReader | Error::ReaderUnavailable | Error::NoReadersAvailable => {
                Self::ReaderGone
            }
            // After pcscd died a context still says that it is valid: these three are how one learns of it.
            Error::NoService | Error::ServiceStopped | Error::CommError | Error::InvalidHandle => {
                Self::ServiceGone
            }
            Error::ResetCard => Self::ResetByOther,
            Error::SharingViolation => Self::SharingViolation,
            Error::NotTransacted | Error::CommDataLost => Self::BrokenOff,
            Error::UnresponsiveCard | Error::UnpoweredCard => Self::Unresponsive,
            Error::UnsupportedFeature => Self::Unsupported,
            other => Self::Other(Box::new(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_types() {
        let of = |error: Error| format!("{:?}", TransportError::from(error));
        assert_eq!(of(Error::RemovedCard), "RemovedCard");
        assert_eq!(of(Error::NoSmartcard), "RemovedCard");
        assert_eq!(of(Error::UnknownReader), "ReaderGone");
        assert_eq!(of(Error::ReaderUnavailable), "ReaderGone");
        assert_eq!(of(Error::NoService), "ServiceGone");
        assert_eq!(of(Error::CommError), "ServiceGone");
        assert_eq!(of(Error::InvalidHandle), "ServiceGone");
        assert_eq!(of(Error::ResetCard), "ResetByOther");
        assert_eq!(of(Error::SharingViolation), "SharingViolation");
        assert_eq!(of(Error::NotTransacted), "BrokenOff");
        assert_eq!(of(Error::UnresponsiveCard), "Unresponsive");
        assert_eq!(of(Error::UnsupportedFeature), "Unsupported");
        assert!(of(Error::NoMemory).starts_with("Other"));
    }
}
