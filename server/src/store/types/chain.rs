//! Key objects, commits, and what a terminal may touch by them.

use simsync_card::ids::{ServerId, SubscriberId, TerminalId};
use simsync_protocol::api::{HeadInfo, Revoked};
use simsync_vault::commit::{Commit, SessionRef};
use simsync_vault::ids::CollectionId;
use simsync_vault::keyobject::{KeyObject, Wrap};

use super::time::Seconds;

/// The newest key object.
#[derive(Debug, Clone)]
pub struct KeyObjectView {
    /// The key object with its signature.
    pub signed: Vec<u8>,
    /// The vault's key, wrapped for each recipient.
    pub wraps: Vec<Wrap>,
    /// A re-key is due.
    pub rekey_required: bool,
    /// What it names and was revoked since.
    pub revoked: Revoked,
}

/// Commits and tails after a sequence number.
#[derive(Debug, Clone, Default)]
pub struct CommitsView {
    /// The newest commit.
    pub head: Option<HeadInfo>,
    /// Signed commits.
    pub commits: Vec<Vec<u8>>,
    /// Signed tails that no commit names.
    pub tails: Vec<Vec<u8>>,
}

/// What a terminal may touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// Is there a vault?
    pub vault: bool,
    /// The terminal's collections in the key object in force.
    pub collections: Vec<CollectionId>,
}

/// A commit, read and checked as far as it needs no store.
#[derive(Debug, Clone)]
pub struct PutCommit {
    /// The subscriber whose vault it is for.
    pub subscriber: SubscriberId,
    /// Which terminal sends it.
    pub terminal: TerminalId,
    /// The session of its grant.
    pub session: SessionRef,
    /// ID of this server: a commit that ends a card's record must name it.
    pub server: ServerId,
    /// The commit, as it was sent: what needs the store is still to be checked.
    pub commit: Commit,
    /// The key object that takes effect with it.
    pub key_object: Option<(KeyObject, Vec<Wrap>)>,
    /// Time of the call, in seconds since 1970.
    pub now: Seconds,
}
