//! What others hear of the collections: which folders are to be watched, and what in them is not where it should be.

use std::sync::Arc;

use tokio::sync::watch;

use crate::database::Database;
use crate::engine::Adapters;
use crate::events::Events;
use crate::rules::Event;
use crate::store::Collection;
use crate::vouch::Vouches;
use crate::watch::data::Roots;

/// Tells watchers and rules of the collections.
pub struct Folders {
    database: Arc<Database>,
    events: Events,
    adapters: Adapters,
    vouches: Vouches,
    roots: watch::Sender<Roots>,
}

impl Folders {
    /// Of the collections of this database.
    pub fn new(
        database: Arc<Database>,
        events: Events,
        adapters: Adapters,
        vouches: Vouches,
    ) -> Self {
        Self {
            database,
            events,
            adapters,
            vouches,
            roots: watch::Sender::default(),
        }
    }

    /// For the watcher of data.
    pub fn roots(&self) -> watch::Receiver<Roots> {
        self.roots.subscribe()
    }

    /// What the watcher of data vouches for.
    pub fn vouches(&self) -> &Vouches {
        &self.vouches
    }

    /// Tells the watcher of data which folders count.
    pub fn changed(&self) {
        match self.database.stored(|s| s.collections()) {
            Ok(all) => {
                let watched = |c: &Collection| {
                    let root = c.root.as_deref()?;
                    Some(self.adapters.watched(&c.attribute, root))
                };
                let wanted = all.iter().filter_map(watched).collect();
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
