//! People with their codes.

use serde::{Deserialize, Serialize};
use simsync_card::ids::{Hash, SubscriberId};
use simsync_protocol::api::HeadInfo;

use super::time::Seconds;

/// Whether a subscriber may do anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubscriberState {
    /// Neither suspended nor removed.
    Active,
    /// Not for now.
    Suspended,
    /// Never again; the data waits to be collected.
    Removed,
}

/// A subscriber, for lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriberRow {
    /// ID, as cards and certificates carry it.
    pub subscriber: SubscriberId,
    /// What the operator calls it.
    pub label: String,
    /// May it do anything?
    pub state: SubscriberState,
    /// When it was added.
    pub created: Seconds,
    /// Enrolled cards that are not revoked.
    pub cards: u32,
    /// Paired terminals that are not revoked.
    pub terminals: u32,
    /// The newest commit.
    pub head: Option<HeadInfo>,
    /// A re-key is due.
    pub rekey_required: bool,
    /// Stored bytes of packs that are not dropped.
    pub bytes: u64,
}

/// A new subscriber with its first enrolment code.
#[derive(Debug, Clone)]
pub struct AddSubscriber {
    /// ID, drawn or the operator's choice. One that exists already is refused.
    pub subscriber: SubscriberId,
    /// What the operator calls it.
    pub label: String,
    /// Its first code.
    pub code: NewCode,
    /// Time of the call, in seconds since 1970.
    pub now: Seconds,
}

/// An enrolment code, hashed.
#[derive(Debug, Clone, Copy)]
pub struct NewCode {
    /// Hash of the code's bits.
    pub hash: Hash,
    /// When it ends.
    pub expires: Seconds,
}
