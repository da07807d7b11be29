//! The way onto a card: GlobalPlatform's host side over any [`simsync_card::transport::Transport`].
//!
//! Sources: GlobalPlatform Card Specification 2.3.1 (GPCS), its Amendment D 1.1.2 for SCP03 (Amd D), Java Card 3.0.4
//! Virtual Machine Specification, chapter 6, for CAP files. Randomness is handed in; nothing here knows a file or a clock.
//!
//! What this crate promises: the card's cryptogram is verified before EXTERNAL AUTHENTICATE is sent, so that wrong keys
//! cost no try; EXTERNAL AUTHENTICATE is sent once and never repeated; no secret leaves for the card unless the channel
//! encrypts; keys are wiped when dropped.
#![forbid(unsafe_code)]

pub mod aid;
pub mod cap;
pub mod card_data;
mod channel;
mod content;
mod crypto;
pub mod domain;
pub mod error;
pub mod install;
pub mod kdf;
pub mod keys;
pub mod registry;
mod scp02;
mod scp03;
mod secure_messaging;
pub mod session;
mod tlv;
