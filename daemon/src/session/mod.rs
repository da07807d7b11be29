//! Cards, and sessions on them: what is done with a card, with which PIN, and what of it lives while a session is open.

mod access;
pub mod card_ops;
mod heads;
mod introduce;
mod pin;
mod pins;
mod refused_pins;
mod sessions;

pub use access::{CardAccess, CardView, random};
pub use heads::{CardHead, record_of, steps_up, witness_of};
pub use introduce::{Known, Prepared};
pub use pin::{CardPin, PinError};
pub use pins::CardPins;
pub use sessions::{CardSessions, OpenSession};
