//! What the commands of the applet take and answer.

use zeroize::Zeroizing;

use crate::client::secrets::{Pin, Puk, Token};
use crate::ids::{CardId, Hash, Point, SubscriberId, TerminalId};
use crate::sign::{self, Sig, SignError};
use crate::text::{self, CardKeys};

/// How far a card's life has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// Nothing is set yet.
    Installed,
    /// It has an owner and waits for enrolment.
    Personalised,
    /// In use. Only from here on a verified PIN gives rights.
    Enrolled,
    /// Wiped for good.
    Terminated,
}

/// What SELECT answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// Version of the applet: major, minor. The major one is what this client was written for.
    pub version: (u8, u8),
    /// How far the card's life has come.
    pub lifecycle: Lifecycle,
    /// PIN tries left, 0 to 3.
    pub pin_tries: u8,
    /// PUK tries left, 0 to 10.
    pub puk_tries: u8,
    /// A PIN is set. False without an owner: before personalisation, and after TERMINATE.
    pub pin_set: bool,
    /// The PIN must be changed before anything else.
    pub pin_due: bool,
    /// For the terminal's next signature; see [`crate::text::terminal`].
    pub challenge: [u8; 16],
    /// See [`Self::is_card_of`].
    pub pseudonym: [u8; 16],
}

impl Selected {
    /// Whether this is that card of that subscriber. Without a PIN a card says who it is only to who knows it.
    pub fn is_card_of(&self, card: &CardId, subscriber: &SubscriberId) -> bool {
        matches!(
            self.lifecycle,
            Lifecycle::Personalised | Lifecycle::Enrolled
        ) && self.pseudonym == text::pseudonym(card, subscriber, &self.challenge)
    }
}

/// What the operator writes onto a new card.
#[derive(Debug, Clone)]
pub struct Personalisation {
    /// ID of the person whom the server knows as the card's owner.
    pub subscriber: SubscriberId,
    /// The card's label for people, at most 32 bytes.
    pub label: String,
    /// Host name and port of the server, 1 to 64 bytes.
    pub server: String,
    /// SHA-256 of the public key info of the server's CA.
    pub ca_pin: Hash,
    /// The first PIN.
    pub pin: Pin,
    /// The first PUK.
    pub puk: Puk,
    /// Whether the card works without contacts too.
    pub contactless: bool,
    /// Whether the owner must change the PIN at first use.
    pub pin_due: bool,
}

/// The card's keys with the card's signature over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedKeys {
    keys: CardKeys,
    sig: Sig,
}

impl SignedKeys {
    pub(crate) fn new(keys: CardKeys, sig: Sig) -> Self {
        Self { keys, sig }
    }

    /// The keys of GENERATE KEYS, if the card signed them together with the caller's bytes; and its signature.
    pub fn enrolled_by(
        &self,
        card: &CardId,
        callers: &[u8; 32],
    ) -> Result<(CardKeys, Sig), SignError> {
        self.check(&text::enrol(card, &self.keys, callers))?;
        Ok((self.keys, self.sig.clone()))
    }

    /// The keys of READ KEYS, if the card signed them together with the nonce.
    pub fn of(&self, card: &CardId, nonce: &[u8; 32]) -> Result<CardKeys, SignError> {
        self.check(&text::keys(card, &self.keys, nonce))?;
        Ok(self.keys)
    }

    fn check(&self, text: &[u8]) -> Result<(), SignError> {
        sign::check_point(&self.keys.kem)?;
        sign::verify(&self.keys.sig, text, &self.sig)
    }
}

/// What VERIFY without data tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinState {
    /// Verified since SELECT.
    Verified,
    /// Not verified; so many tries are left.
    NotVerified {
        /// 1 to 3.
        tries_left: u8,
    },
    /// No tries left.
    Blocked,
}

/// What READ INFO answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The card's own number.
    pub card: CardId,
    /// ID of the card's owner at the server, as personalisation wrote it.
    pub subscriber: SubscriberId,
    /// The card's label for people.
    pub label: String,
    /// Host name and port of the server.
    pub server: String,
    /// SHA-256 of the public key info of the server's CA.
    pub ca_pin: Hash,
}

/// A terminal's place on the card, 0 to 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(u8);

impl Slot {
    /// Number of slots.
    pub const COUNT: u8 = 16;

    /// None from 16 on.
    pub fn new(number: u8) -> Option<Self> {
        (number < Self::COUNT).then_some(Self(number))
    }

    /// All slots, lowest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// The slot as commands name it, 0 to 15.
    pub fn number(self) -> u8 {
        self.0
    }
}

/// A set of slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slots(pub u16);

impl Slots {
    /// The set without any slot; `with` adds one.
    pub const EMPTY: Self = Self(0);

    /// This set and a slot.
    pub fn with(self, slot: Slot) -> Self {
        Self(self.0 | 1 << slot.0)
    }

    /// Whether the slot is in it.
    pub fn contains(self, slot: Slot) -> bool {
        self.0 & 1 << slot.0 != 0
    }

    /// The slots in it, lowest first.
    pub fn iter(self) -> impl Iterator<Item = Slot> {
        Slot::all().filter(move |slot| self.contains(*slot))
    }
}

/// What ADD TERMINAL answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// Where the terminal is stored now.
    pub slot: Slot,
    /// The card's signature over terminal and binding; see [`crate::text::pair`].
    pub sig: Sig,
}

/// What LIST answers for a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTerminal {
    /// Where it is stored.
    pub slot: Slot,
    /// The whole ID; READ SESSIONS tells only its first 8 bytes.
    pub terminal: TerminalId,
    /// Its label for people.
    pub label: String,
    /// Number of its newest session that is not settled.
    pub unsettled: Option<u32>,
}

/// A session that is not settled, as READ SESSIONS tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsettledSession {
    /// Slot of the terminal that opened it.
    pub slot: Slot,
    /// The first 8 bytes of that terminal's ID.
    pub terminal: [u8; 8],
    /// Number of the session, counted by the card.
    pub n: u32,
}

/// What OPEN SESSION takes.
#[derive(Debug, Clone, Copy)]
pub struct OpenRequest<'a> {
    /// ID of this terminal. The card answers 6A82 if none of its slots holds it.
    pub terminal: TerminalId,
    /// What ties the session to a TLS connection; see [`crate::text::binding`].
    pub binding: Hash,
    /// The point of the wrap that the card shall open (HPKE's encapsulated key).
    pub hpke: Point,
    /// This terminal's signature over [`crate::text::terminal`] with the newest challenge.
    pub sig: &'a Sig,
}

/// The newest vault head that a card has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadRecord {
    /// Epoch of the head.
    pub epoch: u32,
    /// Sequence number of the head.
    pub sequence: u64,
    /// SHA-256 of the head's body, without its signature.
    pub head: Hash,
    /// Number of the newest key object.
    pub list_number: u32,
    /// Hash of the key object with that list number.
    pub list_hash: Hash,
    /// The session that wrote it was closed politely.
    pub closed: bool,
}

/// Who put a head record, by the card's own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadWriter {
    /// First 8 bytes of the terminal's ID.
    pub terminal: [u8; 8],
    /// Number of its session.
    pub n: u32,
}

/// What OPEN SESSION answers.
pub struct OpenedSession {
    /// The session's number, from 1.
    pub n: u32,
    /// The card's signature; see [`crate::text::session`].
    pub sig: Sig,
    /// x-coordinate of ECDH between the card's KEM key and the point of the wrap.
    pub secret: Zeroizing<Vec<u8>>,
    /// The head that the card has seen, if any.
    pub head: Option<HeadRecord>,
    /// Who put it, if there is one and the applet is of version 1.1 or newer.
    pub writer: Option<HeadWriter>,
    /// Slots whose sessions were not settled before this one.
    pub unsettled: Slots,
    /// For RENEW and PUT HEAD, until the next SELECT.
    pub token: Token,
}

impl std::fmt::Debug for OpenedSession {
    /// Without what opens the vault.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenedSession")
            .field("n", &self.n)
            .field("head", &self.head)
            .field("writer", &self.writer)
            .field("unsettled", &self.unsettled)
            .finish_non_exhaustive()
    }
}

/// What SIGN can sign for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignDomain {
    /// A new list of the vault's cards, terminals and keys.
    KeyObject,
    /// An erase order.
    Erase,
    /// The acceptance of a restored server.
    Restore,
}

impl SignDomain {
    pub(crate) fn p1(self) -> u8 {
        match self {
            Self::KeyObject => 1,
            Self::Erase => 2,
            Self::Restore => 3,
        }
    }

    /// The domain of the text that the card builds and signs.
    pub fn domain(self) -> text::Domain {
        match self {
            Self::KeyObject => text::Domain::KeyObject,
            Self::Erase => text::Domain::Erase,
            Self::Restore => text::Domain::Restore,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_a_set() {
        assert!(Slot::new(16).is_none());
        let (first, last) = (Slot::new(0).unwrap(), Slot::new(15).unwrap());
        let slots = Slots::EMPTY.with(first).with(last).with(first);
        assert_eq!(slots, Slots(0x8001));
        assert!(slots.contains(last) && !slots.contains(Slot::new(1).unwrap()));
        assert_eq!(slots.iter().collect::<Vec<_>>(), [first, last]);
        assert_eq!(Slot::all().count(), 16);
    }
}
