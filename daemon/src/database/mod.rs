//! The terminal's own database, for everybody but the loop; and what the status tells from it, in memory, for the loop too.

mod view;

use std::path::Path;
use std::sync::Arc;

use simsync_card::ids::TerminalId;
use simsync_vault::keyobject::{FLAG_REKEY_REQUIRED, KeyObject, TerminalEntry};

use crate::store::{Store, StoreError};
pub use view::{Stored, View};

/// The database, and the newest reading of it.
pub struct Database {
    store: Arc<Store>,
    view: View,
}

impl Database {
    /// Opens the file, makes sure that it is whole, and reads it once. Within a runtime: it is read anew by a task.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let store = Store::open(path)?;
        store.check()?;
        let store = Arc::new(store);
        let view = View::keep(&store);
        Ok(Self { store, view })
    }

    /// A call of the database. It may take as long as a disk takes, and holds up nobody but its caller: never from the loop.
    pub fn stored<T>(&self, call: impl FnOnce(&Store) -> T) -> T {
        tokio::task::block_in_place(|| call(&self.store))
    }

    /// For an engine, which calls it from threads of its own.
    pub fn store(&self) -> Arc<Store> {
        self.store.clone()
    }

    /// What the status tells from it: no call of the database.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Waits until the status tells what was written so far.
    pub async fn status_catches_up(&self) {
        self.view.catch_up(&self.store).await;
    }

    /// The newest verified key object.
    pub fn newest_list(&self) -> Result<Option<KeyObject>, StoreError> {
        Ok(self.stored(Store::key_objects)?.pop())
    }

    /// Whether the newest key object asks for a new epoch.
    pub fn is_rekey_flagged(&self) -> Result<bool, StoreError> {
        let newest = self.newest_list()?;
        Ok(newest.is_some_and(|o| o.body.flags & FLAG_REKEY_REQUIRED != 0))
    }

    /// The terminal whose ID begins with these bytes, among all that key objects ever named.
    pub fn terminal_by_prefix(&self, prefix: &[u8; 8]) -> Option<TerminalId> {
        let objects = self.stored(Store::key_objects).ok()?;
        objects
            .iter()
            .rev()
            .flat_map(|o| &o.body.terminals)
            .map(TerminalEntry::id)
            .find(|id| id.0[..8] == *prefix)
    }

    /// Whether tails wait to be delivered.
    pub fn tails_waiting(&self) -> Result<bool, StoreError> {
        let sessions = self.stored(Store::own_sessions)?;
        Ok(sessions.iter().any(|s| s.tail.is_some() && !s.delivered))
    }
}
