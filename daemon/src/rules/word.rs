//! The state in one word.

use simsync_codes::State as Word;

use super::event::Work;
use super::state::{SessionPhase, State};

impl State {
    /// The state in one word: what the bus and the command line know.
    pub fn word(&self) -> Word {
        if !self.paired {
            return if self.work.is_some() {
                Word::Pairing
            } else {
                Word::Unpaired
            };
        }
        match (&self.session, self.work) {
            (
                SessionPhase::Open {
                    read_only: Some(_), ..
                },
                _,
            ) => Word::ReadOnly,
            (SessionPhase::Open { .. }, Some(Work::Sync | Work::Command(_))) => Word::Syncing,
            (SessionPhase::Open { .. }, _) if self.is_about_to_sync() => Word::Syncing,
            (SessionPhase::Open { .. }, _) => self.not_in_sync().unwrap_or(Word::Synced),
            (SessionPhase::Opening { .. }, _) => Word::Opening,
            (SessionPhase::Ejected { .. }, _) => self.not_in_sync().unwrap_or(Word::Closed),
            (SessionPhase::None, Some(Work::Tail)) => Word::Closing,
            // It waits for the work that is under way. Whoever ordered it must not be told that nothing came of it.
            (SessionPhase::None, _) if self.card_to_open().is_some() => Word::Opening,
            (SessionPhase::None, _) if self.free_card().is_some() => Word::Locked,
            (SessionPhase::None, _) => Word::Waiting,
        }
    }
}
