//! What an owner answers when much of a collection is missing.

use simsync_vault::ids::CollectionId;

/// The answer for one collection, where deletions look like a mishap. (The third one, to stop syncing it here, is no sync.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// They are gone on purpose: delete them everywhere.
    Delete,
    /// They are not: give them back.
    GiveBack,
}

/// Answers that come with an order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// For every collection.
    pub all: Option<Answer>,
    /// For single ones, before that.
    pub one: Option<(CollectionId, Answer)>,
}

impl Answers {
    /// The answer for a collection.
    pub fn of(&self, collection: &CollectionId) -> Option<Answer> {
        match self.one {
            Some((id, answer)) if id == *collection => Some(answer),
            _ => self.all,
        }
    }
}
