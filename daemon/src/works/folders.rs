//! What others hear of the collections: which folders are to be watched, and what in them is not where it should be.

use std::sync::Arc;

use tokio::sync::watch;

use crate::core::Event;
use crate::database::Database;
use crate::events::Events;
use crate::watch::data::Roots;

/// Tells watchers and rules of the collections.
pub struct Folders {
    database: Arc<Database>,
    events: Events,
    roots: watch::Sender<Roots>,
}

impl Folders {
    /// Of the collections of this database.
    pub fn new(database: Arc<Database>, events: Events) -> Self {
        Self {
            database,
            events,
            roots: watch::Sender::default(),
        }
    }

    /// For the watcher of data.
    pub fn roots(&self) -> watch::Receiver<Roots> {
        self.roots.subscribe()
    }

    /// Tells the watcher of data which folders count.
    pub fn changed(&self) {
        match self.database.stored(|s| s.collections()) {
            Ok(all) => {
                let wanted = all.into_iter().filter_map(|c| c.root).collect();
                self.roots.send_modify(|r| r.wanted = wanted);
            }
            Err(error) => tracing::error!(%error, "the folders to watch cannot be told"),
        }
    }

    /// Tells the watcher of data which folders a sync found: they may be new, and gone again before anybody watched them.
    pub fn found(&self) {
        match self.database.stored(|s| s.roots_in_place()) {
            Ok(found) => self.roots.send_modify(|r| r.found = found),
            Err(error) => tracing::error!(%error, "the folders that a sync found cannot be told"),
        }
    }

    /// Tells the rules what is not where it should be.
    pub fn tell_outstanding(&self) {
        match self.database.stored(|s| s.outstanding_summary()) {
            Ok(summary) => self.events.emit(Event::Outstanding(summary)),
            Err(error) => tracing::error!(%error, "what is outstanding cannot be told"),
        }
    }
}
