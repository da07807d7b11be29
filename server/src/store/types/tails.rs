//! Tails and what becomes of them.

use serde::{Deserialize, Serialize};
use simsync_card::ids::{Hash, SubscriberId, TerminalId};
use simsync_vault::commit::SessionRef;
use simsync_vault::tail::Tail;

use super::time::Seconds;

/// A tail, read; signatures are checked in the store's transaction with the keys found there.
#[derive(Debug, Clone)]
pub struct PutTail {
    /// The subscriber of the terminal that delivers it.
    pub subscriber: SubscriberId,
    /// Which terminal delivers it.
    pub terminal: TerminalId,
    /// The tail, as it was delivered: its signatures are still to be checked.
    pub tail: Tail,
    /// Time of the call, in seconds since 1970.
    pub now: Seconds,
}

/// What became of a tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TailStatus {
    /// Waits to be merged.
    Waiting,
    /// A commit names it, or one that replaces it.
    Merged,
    /// Came from a revoked terminal or card.
    Quarantined,
    /// The owner gave it up.
    Forgotten,
}

/// What the rules need to know about a tail.
#[derive(Debug, Clone)]
pub struct TailRow {
    /// The session whose changes it has: card and number.
    pub session: SessionRef,
    /// The terminal that sealed it.
    pub terminal: TerminalId,
    /// Hash of its body.
    pub hash: Hash,
    /// Whether it waits, or how it ended.
    pub status: TailStatus,
    /// Earlier tails that it holds too.
    pub replaces: Vec<SessionRef>,
}
