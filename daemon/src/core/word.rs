//! The state in one word.

use super::event::Work;
use super::state::{SessionPhase, State};

impl State {
    /// The state in one word: what the bus and the command line know.
    pub fn word(&self) -> &'static str {
        if !self.paired {
            return if self.work.is_some() {
                "pairing"
            } else {
                "unpaired"
            };
        }
        match (&self.session, self.work) {
            (
                SessionPhase::Open {
                    read_only: Some(_), ..
                },
                _,
            ) => "read-only",
            (SessionPhase::Open { .. }, Some(Work::Sync(_) | Work::Order(_))) => "syncing",
            (SessionPhase::Open { .. }, _) if self.is_about_to_sync() => "syncing",
            (SessionPhase::Open { .. }, _) => self.not_in_sync().unwrap_or("synced"),
            (SessionPhase::Opening { .. }, _) => "opening",
            (SessionPhase::Ejected { .. }, _) => self.not_in_sync().unwrap_or("closed"),
            (SessionPhase::None, Some(Work::Tail)) => "closing",
            (SessionPhase::None, _) if self.free_card().is_some() => "locked",
            (SessionPhase::None, _) => "waiting",
        }
    }
}
