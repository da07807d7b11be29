//! What a sync is told, and what it tells.

use simsync_card::ids::Hash;
use simsync_vault::restore::Restore;

use super::answers::Answers;
use super::planned::ReviewEntry;
use crate::outstanding::Summary;

/// What a sync may do.
#[derive(Debug, Clone, Default)]
pub struct SyncOptions {
    /// This is the session's last commit.
    pub closing: bool,
    /// What the owner answers where much is missing.
    pub answers: Answers,
    /// Give only, take nothing.
    pub upload_only: bool,
    /// Key object that this commit is the first to name.
    pub key_object: Option<(
        simsync_vault::keyobject::KeyObject,
        Vec<simsync_vault::keyobject::Wrap>,
    )>,
    /// The commit ends a card's record that nobody can prove; it must follow the commit with this hash. Together with a key
    /// object of the next epoch.
    pub restore: Option<(Restore, Hash)>,
    /// Show what would be taken, and ask.
    pub review: bool,
}

/// Asks the owner what to take (M3). Answers whether to go on.
pub type Review<'a> = &'a dyn Fn(&[ReviewEntry]) -> bool;

/// What a sync did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Paths changed on this terminal.
    pub applied: usize,
    /// Bytes written on this terminal.
    pub bytes_applied: u64,
    /// Paths changed in the vault.
    pub published: usize,
    /// Versions kept aside.
    pub conflicts: usize,
    /// Tails merged.
    pub tails: usize,
    /// Sequence number of the commit that was made, if any.
    pub commit: Option<u64>,
    /// What is not where it should be now.
    pub outstanding: Summary,
    /// Why the card was not told of the newest state, where it was to be.
    pub card_untold: Option<String>,
}
