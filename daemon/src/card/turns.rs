//! Waiting for one's turn at a card: whoever waits long waits for another program, and the owner is told.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

/// Nothing that is done here with a card keeps others from it that long.
pub(super) const LONG: Duration = Duration::from_secs(1);

/// Of all readers.
#[derive(Default)]
pub(super) struct Turns {
    /// Since when a reader's thread waits.
    since: Mutex<HashMap<String, Instant>>,
    held: watch::Sender<BTreeSet<String>>,
}

impl Turns {
    fn since<T>(&self, change: impl FnOnce(&mut HashMap<String, Instant>) -> T) -> T {
        change(&mut self.since.lock())
    }

    /// Waits for a turn by `begin`, which blocks.
    pub(super) fn wait<T>(&self, reader: &str, begin: impl FnOnce() -> T) -> T {
        self.since(|all| all.insert(reader.to_owned(), Instant::now()));
        let taken = begin();
        self.since(|all| all.remove(reader));
        self.held.send_if_modified(|held| held.remove(reader));
        taken
    }

    /// Notes the reader if its thread waits long: by somebody else, for it cannot do so itself.
    pub(super) fn note_long(&self, reader: &str) {
        self.held.send_if_modified(|held| {
            // Asked in here: it may just have ended.
            let since = self.since(|all| all.get(reader).copied());
            since.is_some_and(|t| t.elapsed() >= LONG) && held.insert(reader.to_owned())
        });
    }

    /// The readers whose thread waits long.
    pub(super) fn held(&self) -> watch::Receiver<BTreeSet<String>> {
        self.held.subscribe()
    }
}
