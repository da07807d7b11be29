//! The card: identifiers, signed texts, the APDU layer, transports and the applet's client.
//!
//! The wire format is in `docs/card.md`, byte by byte.
#![forbid(unsafe_code)]

pub mod apdu;
pub mod client;
pub mod connection;
pub mod ids;
#[cfg(feature = "model")]
pub mod model;
pub mod modem;
pub mod pcsc;
pub mod pinpad;
pub mod sign;
pub mod sim;
pub mod status;
pub mod text;
pub mod transport;
#[cfg(feature = "verified-once")]
mod verified;
