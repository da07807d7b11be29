//! Tails: what a session had not committed when its card was pulled.

use serde::{Deserialize, Serialize};
use simsync_card::ids::{Hash, Point, TerminalId};
use simsync_card::sign::{self, SecretKey};
use simsync_card::text::Domain;

use crate::commit::{PackRef, SessionRef};
use crate::ids::VaultId;
use crate::signed::{FormatError, Signed, decode_versioned, encode};
use crate::statement::SessionStatement;

/// Newest format version of a tail's body.
pub const TAIL_VERSION: u8 = 1;

/// Most items of one tail.
pub const TAIL_ITEMS_MAX: usize = 100_000;

/// What a tail says in the clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailBody {
    /// [`TAIL_VERSION`].
    pub version: u8,
    /// The vault that is to merge the tail.
    pub vault: VaultId,
    /// Epoch of the outbox key that the items are sealed to.
    pub epoch: u32,
    /// The card's word for the session.
    pub session: SessionStatement,
    /// The newest commit that the terminal's base holds; zeros if none.
    pub parent: Hash,
    /// Hash of each sealed item, in order; they stand in this order in the outbox packs.
    pub items: Vec<Hash>,
    /// Outbox packs with the items, in order, then packs of collections that items refer to.
    pub packs: Vec<PackRef>,
    /// Earlier tails of this terminal whose items this one holds too.
    pub replaces: Vec<SessionRef>,
}

/// A tail with its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// The decoded form of `signed.body`.
    pub body: TailBody,
    /// The bytes as they were signed: the tail's hash and wire form come from these.
    pub signed: Signed,
}

const WHAT: &str = "a tail";

impl Tail {
    /// Signs `body` with the terminal's key.
    pub fn sign(body: TailBody, key: &SecretKey) -> Self {
        let bytes = encode(&body);
        let hash = Hash::of(&bytes);
        let sig = key.sign(&Domain::Tail.text(&body.session.card, &[&hash.0]));
        Self {
            body,
            signed: Signed { body: bytes, sig },
        }
    }

    /// Reads a tail and checks version and form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let signed = Signed::from_bytes(WHAT, bytes)?;
        let body: TailBody = decode_versioned(WHAT, TAIL_VERSION, &signed.body)?;
        if body.items.len() > TAIL_ITEMS_MAX {
            return Err(FormatError::TooLarge {
                what: "the list of a tail's items",
                max: TAIL_ITEMS_MAX,
            });
        }
        Ok(Self { body, signed })
    }

    /// The wire form.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.signed.to_bytes()
    }

    /// Hash of the body.
    pub fn hash(&self) -> Hash {
        self.signed.hash()
    }

    /// Card and number of the session.
    pub fn session(&self) -> SessionRef {
        SessionRef {
            card: self.body.session.card,
            n: self.body.session.n,
        }
    }

    /// Checks the terminal's signature and the card's session statement.
    pub fn verify(&self, terminal_key: &Point, card_sig_key: &Point) -> Result<(), FormatError> {
        if TerminalId::of(terminal_key) != self.body.session.terminal {
            return Err(FormatError::Signature(WHAT));
        }
        let hash = self.hash();
        let text = Domain::Tail.text(&self.body.session.card, &[&hash.0]);
        sign::verify(terminal_key, &text, &self.signed.sig)
            .map_err(|_| FormatError::Signature(WHAT))?;
        self.body
            .session
            .verify(card_sig_key)
            .map_err(|_| FormatError::Signature("the session of a tail"))
    }
}
