//! Cards and terminals, and what lets them in.

use serde::{Deserialize, Serialize};
use simsync_card::ids::{CardId, Hash, Point, SubscriberId, TerminalId};
use simsync_card::text::CardKeys;

use super::subscribers::SubscriberState;
use super::time::Seconds;

/// Whether a card or terminal may do anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// It may, as long as its subscriber may.
    Active,
    /// Never again.
    Revoked,
}

/// An enrolled card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardRow {
    /// The subscriber for whom it was enrolled; it never changes hands.
    pub subscriber: SubscriberId,
    /// ID, which the card drew when it was first personalised.
    pub card: CardId,
    /// What people call the card.
    pub label: String,
    /// Its public keys.
    pub keys: CardKeys,
    /// May it do anything?
    pub state: KeyState,
    /// When it was enrolled.
    pub enrolled: Seconds,
    /// Newest session number seen.
    pub last_n: u32,
}

/// A paired terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalRow {
    /// The subscriber whose card accepted it.
    pub subscriber: SubscriberId,
    /// ID of the terminal: the hash of its key.
    pub terminal: TerminalId,
    /// Its public key.
    pub key: Point,
    /// Label, as its owner chose it.
    pub label: String,
    /// Attributes that it asked for.
    pub attributes: Vec<String>,
    /// May it do anything?
    pub state: KeyState,
    /// When it was first paired.
    pub paired: Seconds,
}

/// Who holds a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The subscriber whose terminal it is.
    pub subscriber: SubscriberId,
    /// Whether the subscriber may come in.
    pub subscriber_state: SubscriberState,
    /// ID of the terminal: the hash of its key.
    pub terminal: TerminalId,
    /// Its public key.
    pub key: Point,
    /// Whether the terminal was revoked.
    pub terminal_state: KeyState,
}

/// A card introduces itself; its signature was checked.
#[derive(Debug, Clone)]
pub struct Enrol {
    /// The subscriber whose it becomes, and for whom the code was made.
    pub subscriber: SubscriberId,
    /// Hash of the code's bits.
    pub code: Hash,
    /// ID of the card, as its signature covers it.
    pub card: CardId,
    /// What people call the card.
    pub label: String,
    /// Its public keys.
    pub keys: CardKeys,
    /// Time of the call, in seconds since 1970.
    pub now: Seconds,
}

/// A card accepted a terminal; the statement was checked.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The subscriber whose the card is and the terminal becomes.
    pub subscriber: SubscriberId,
    /// The card that accepted the terminal.
    pub card: CardId,
    /// The terminal's public key.
    pub key: Point,
    /// Label, as its owner chose it.
    pub label: String,
    /// Attributes that it asks for.
    pub attributes: Vec<String>,
    /// The certificate made for it, DER; kept if the terminal is new.
    pub certificate: Vec<u8>,
    /// The binding that the card signed.
    pub binding: Hash,
    /// The card's signature, DER.
    pub statement: Vec<u8>,
    /// Time of the call, in seconds since 1970.
    pub now: Seconds,
}

/// A spare card accepted terminals; its statements were checked.
#[derive(Debug, Clone)]
pub struct AddPairings {
    /// The subscriber whose card and terminals they are.
    pub subscriber: SubscriberId,
    /// The spare card that accepted them.
    pub card: CardId,
    /// What the card signed with each terminal: the hash of the key object in force.
    pub binding: Hash,
    /// Terminals, each with the card's signature, DER.
    pub pairings: Vec<(TerminalId, Vec<u8>)>,
    /// Time of the call, in seconds since 1970.
    pub now: Seconds,
}
