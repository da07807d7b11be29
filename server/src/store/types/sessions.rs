//! Sessions and their grants.

use serde::{Deserialize, Serialize};
use simsync_card::byte_id;
use simsync_card::ids::{Hash, SubscriberId, TerminalId};
use simsync_protocol::api::{HeadInfo, SessionInfo, SessionState};
use simsync_vault::commit::SessionRef;
use simsync_vault::keyobject::Wrap;
use simsync_vault::statement::SessionStatement;

use super::pairings::KeyState;
use super::time::Seconds;

byte_id!(
    /// A connection of one run of the server: random, so that a grant outlives neither.
    ConnectionId, 16, "connection ID"
);

/// A grant to be written down.
#[derive(Debug, Clone, Copy)]
pub struct NewGrant {
    /// Hash of the grant.
    pub hash: Hash,
    /// The only connection that it is good for.
    pub connection: ConnectionId,
    /// Hash of the only certificate that it is good for.
    pub certificate: Hash,
    /// When it ends.
    pub expires: Seconds,
}

/// What the terminal knows already.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Sequence of its newest commit, or 0.
    pub sequence: u64,
    /// Number of its newest key object, or 0.
    pub list: u32,
}

/// A session to be opened; everything that needs no store was checked.
#[derive(Debug, Clone)]
pub struct OpenSession {
    /// The subscriber of the terminal that asks.
    pub subscriber: SubscriberId,
    /// The card's statement.
    pub statement: SessionStatement,
    /// The grant that the session begins with.
    pub grant: NewGrant,
    /// What needs no answer.
    pub known: Known,
    /// Time of the call, in seconds since 1970.
    pub now: Seconds,
}

/// A session that goes on; the card's signature was checked.
#[derive(Debug, Clone)]
pub struct RenewSession {
    /// The subscriber of the terminal that asks.
    pub subscriber: SubscriberId,
    /// The terminal that asks; only the one that opened the session may.
    pub terminal: TerminalId,
    /// The session that goes on: card and number.
    pub session: SessionRef,
    /// The grant that it goes on with.
    pub grant: NewGrant,
    /// What needs no answer.
    pub known: Known,
    /// Time of the call, in seconds since 1970.
    pub now: Seconds,
}

/// What a terminal learns when its session is open.
#[derive(Debug, Clone, Default)]
pub struct SessionView {
    /// The newest commit.
    pub head: Option<HeadInfo>,
    /// Signed commits after the known one.
    pub commits: Vec<Vec<u8>>,
    /// Signed key objects after the known one.
    pub key_objects: Vec<Vec<u8>>,
    /// Wraps of the newest.
    pub wraps: Vec<Wrap>,
    /// Signed tails that no commit names.
    pub tails: Vec<Vec<u8>>,
    /// For each terminal its newest session on this card.
    pub sessions: Vec<SessionInfo>,
    /// A re-key is due.
    pub rekey_required: bool,
}

/// To what a grant was narrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Everything that the terminal may do.
    Full,
    /// Nothing: the card was removed. No grant is widened again.
    Nothing,
}

/// A grant as it was written down, and what became of its session since.
#[derive(Debug, Clone)]
pub struct GrantRow {
    /// The session that it is of: card and number.
    pub session: SessionRef,
    /// The only terminal that it is good for.
    pub terminal: TerminalId,
    /// The only connection.
    pub connection: ConnectionId,
    /// Hash of the only certificate.
    pub certificate: Hash,
    /// When it ends.
    pub expires: Seconds,
    /// What it still covers.
    pub scope: Scope,
    /// Newest session number of the card.
    pub last_n: u32,
    /// State of the session's card now: a revoked card's grants are good for nothing.
    pub card_state: KeyState,
}

/// What the rules need to know about a session.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// Card and number.
    pub session: SessionRef,
    /// The terminal that opened it.
    pub terminal: TerminalId,
    /// The card's statement.
    pub statement: SessionStatement,
    /// How far it is settled.
    pub state: SessionState,
    /// What is left of its grant.
    pub scope: Scope,
}
