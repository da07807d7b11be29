//! Which commit may follow which.

use simsync_card::ids::{Point, ServerId};

use crate::commit::{Commit, CommitBody};
use crate::signed::FormatError;

/// So far may a record be above the server's head. A first record of a card is below 2^32, and each further one costs its
/// writer a command for every 1,024.
pub const JUMP_MAX: u64 = 1 << 33;

/// Checks that a commit's numbers follow those of the commit before it: by one each; or, with a [`Restore`](crate::restore::Restore), from the record
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
