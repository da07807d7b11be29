//! What an owner answers when much of a collection is missing.

use simsync_vault::ids::CollectionId;

use crate::engine::EngineError;
use crate::outstanding::Report;

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
    /// The questions that the answer for a single one is to: what they do not say is asked about anew.
    pub asked: Vec<Report>,
}

impl Answers {
    /// The answer for a collection.
    pub fn of(&self, collection: &CollectionId) -> Option<Answer> {
        match self.one {
            Some((id, answer)) if id == *collection => Some(answer),
            _ => self.all,
        }
    }

    /// Whether a yes for this collection is only to what was asked.
    pub fn is_to_questions(&self, collection: &CollectionId) -> bool {
        self.one == Some((*collection, Answer::Delete))
    }

    /// Whether this error is a question that was asked.
    pub fn covers(&self, open: &EngineError) -> bool {
        open.of_one_collection()
            .is_some_and(|code| self.asked.contains(&Report::whole(code, open.to_string())))
    }
}
