//! The end of a record that nobody can prove.
//!
//! A card's head record may be ahead of every commit that can be shown: the server was set back and no terminal has what is
//! missing, or a terminal wrote into the card what was never committed. Nobody can tell the two apart. The owner's card ends it
//! by a signature: the chain goes on from the server's head, under a new epoch, one above the record.

use serde::{Deserialize, Serialize};
use simsync_card::ids::{CardId, Hash, Point, ServerId};
use simsync_card::sign::{self, Sig};
use simsync_card::text::{Domain, fields};

use crate::signed::FormatError;

/// What a commit says of the record that it ends, signed by the card of its session (domain "restore").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// The server whose head the chain goes on from.
    pub server: ServerId,
    /// Hash that the record names.
    pub head: Hash,
    /// The higher one of the record's sequence and the server's.
    pub sequence: u64,
    /// The card's signature over [`Restore::to_sign`].
    pub sig: Sig,
}

impl Restore {
    /// The 32 bytes that the card signs: SHA-256 over the fields (each with its length in 2 bytes) server ID, record's head,
    /// sequence (8), head that the chain goes on from, new epoch (4).
    pub fn to_sign(
        server: &ServerId,
        head: &Hash,
        sequence: u64,
        goes_on_from: &Hash,
        epoch: u32,
    ) -> Hash {
        Hash::of(&fields(&[
            &server.0,
            &head.0,
            &sequence.to_be_bytes(),
            &goes_on_from.0,
            &epoch.to_be_bytes(),
        ]))
    }

    /// Checks the signature of the session's card.
    pub fn verify(
        &self,
        card: &CardId,
        card_sig_key: &Point,
        goes_on_from: &Hash,
        epoch: u32,
    ) -> Result<(), FormatError> {
        let hash = Self::to_sign(&self.server, &self.head, self.sequence, goes_on_from, epoch);
        let text = Domain::Restore.text(card, &[&hash.0]);
        sign::verify(card_sig_key, &text, &self.sig)
            .map_err(|_| FormatError::Signature("the end of a record that nobody can prove"))
    }
}
