//! The end of a record that nobody can prove.
//!
//! A card's head record may be ahead of every commit that can be shown: the server was set back and no terminal has what is
//! missing, or a terminal wrote into the card what was never committed. Nobody can tell the two apart. The owner's card ends it
//! by a signature: the chain goes on from the server's head, under a new epoch, one above the record.

use serde::{Deserialize, Serialize};
use simsync_card::ids::{CardId, Hash, Point, ServerId};
use simsync_card::sign::{self, Sig};
use simsync_card::text::{Domain, fields};

use crate::commit::{Commit, CommitBody};
use crate::signed::FormatError;

/// So far may a record be above the server's head. A first record of a card is below 2^32, and each further one costs its
/// writer a command for every 1,024.
pub const JUMP_MAX: u64 = 1 << 33;

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

/// Checks that a commit's numbers follow those of the commit before it: by one each; or, with a [`Restore`], from the record
/// that it ends, with the next epoch and list, at the server with this ID.
pub fn follows(
    commit: &Commit,
    before: Option<&CommitBody>,
    server: &ServerId,
    card_sig_key: &Point,
) -> Result<(), FormatError> {
    let rule = |why: String| FormatError::Rule {
        what: "a commit",
        why,
    };
    let body = &commit.body;
    let sequence = before.map_or(0, |b| b.sequence);
    let Some(restore) = &body.restore else {
        if Some(body.sequence) == sequence.checked_add(1) {
            return Ok(());
        }
        return Err(rule(format!(
            "its sequence is {} after {sequence}",
            body.sequence
        )));
    };
    let jump = restore.sequence.checked_sub(sequence);
    let Some(before) = before.filter(|_| jump.is_some_and(|n| n <= JUMP_MAX)) else {
        return Err(rule(format!(
            "it ends a record of {} after {sequence}",
            restore.sequence
        )));
    };
    let next = |n: u32| n.checked_add(1);
    if (Some(body.epoch), Some(body.list_number)) != (next(before.epoch), next(before.list_number))
    {
        return Err(rule(
            "it ends a record without a new key of the vault".to_owned(),
        ));
    }
    if restore.server != *server {
        return Err(rule("it ends a record for another server".to_owned()));
    }
    restore.verify(&body.session.card, card_sig_key, &body.previous, body.epoch)
}
