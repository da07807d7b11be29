//! The card's PIN of one operation, and what became of it.

use simsync_card::client::{Applet, Pin};
use simsync_card::connection::Taken;
use simsync_card::pinpad::PinPad;
use simsync_card::status::{Pad, Status};

use crate::api::{Failure, Reason};
use crate::card::CardError;
use crate::reasons::{card_failure, card_reason};
use crate::rules::OpenFailure;

/// The PIN of an operation.
#[derive(Debug, Clone)]
pub enum CardPin {
    /// An agent gave it.
    Typed(Pin),
    /// It will be typed on the reader.
    Pad(PadEntry),
}

/// What is known of an entry to come.
#[derive(Debug, Clone, Copy)]
pub struct PadEntry {
    pub pad: PinPad,
    pub tries_left: Option<u8>,
    pub retry: bool,
}

impl From<Pin> for CardPin {
    fn from(pin: Pin) -> Self {
        Self::Typed(pin)
    }
}

impl CardPin {
    /// VERIFY. With a pad it blocks until the person is done; if nobody waits for the outcome then (the card was given up
    /// meanwhile), nothing follows.
    pub fn verify(
        &self,
        applet: &mut Applet<Taken<'_>>,
        wanted: &dyn Fn() -> bool,
    ) -> Result<(), CardError> {
        match self {
            Self::Typed(pin) => Ok(applet.verify(pin)?),
            Self::Pad(entry) => {
                applet.verify_on_pad(&entry.pad)?;
                if wanted() {
                    Ok(())
                } else {
                    Err(CardError::Unwanted)
                }
            }
        }
    }

    /// Verified once: what was said of wrong ones before is over.
    pub fn proven(self) -> Self {
        match self {
            Self::Pad(entry) => Self::Pad(PadEntry {
                tries_left: None,
                retry: false,
                ..entry
            }),
            typed => typed,
        }
    }
}

/// Why a command with a PIN gave nothing.
#[derive(Debug)]
pub enum PinError {
    /// There is no PIN.
    NotGiven(Reason),
    /// The card, or its reader, said no.
    Card(CardError),
}

impl From<CardError> for PinError {
    fn from(e: CardError) -> Self {
        Self::Card(e)
    }
}

impl PinError {
    /// What the card says of the PIN, or the reader of its pad.
    pub fn status(&self) -> Option<Status> {
        match self {
            Self::Card(CardError::Client(e)) => e.status(),
            _ => None,
        }
    }

    /// How often a wrong PIN may be tried again, if it was that.
    pub fn tries_left(&self) -> Option<u8> {
        match self.status() {
            Some(Status::Wrong { tries_left, .. }) if tries_left > 0 => Some(tries_left),
            _ => None,
        }
    }
}

impl From<PinError> for Reason {
    fn from(e: PinError) -> Self {
        match e {
            PinError::NotGiven(reason) => reason,
            PinError::Card(e) => card_reason(&e),
        }
    }
}

impl From<PinError> for Failure {
    fn from(e: PinError) -> Self {
        Reason::from(e).into()
    }
}

impl From<PinError> for OpenFailure {
    fn from(e: PinError) -> Self {
        let person = matches!(
            e.status(),
            Some(Status::Pad(Pad::Cancelled | Pad::TimedOut | Pad::Length))
        );
        match e {
            PinError::NotGiven(reason) => Self::NotGiven(reason),
            PinError::Card(e) if person => Self::NotGiven(card_reason(&e)),
            PinError::Card(e) => card_failure(&e),
        }
    }
}
