//! What the status tells from the database, in memory. It is read anew, by others than the loop, whenever something was written:
//! so the loop waits for no disk, and a card that is pulled is heard whatever the disk does.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use simsync_vault::keyobject::KeyObject;
use tokio::sync::{Notify, watch};

use crate::outstanding::Outstanding;
use crate::store::{Collection, OwnSession, Store, StoreError};

/// Between two readings, in times of what the last one took: a sync that writes all the time does not keep a core busy with this.
const REST: u32 = 5;
/// The same, at most.
const REST_MAX: Duration = Duration::from_millis(100);
/// It is read anew after this time even if nothing was written: a database can be damaged from outside.
const AGE_MAX: Duration = Duration::from_secs(60);
/// How long whoever wants to see their own writing in it waits for that.
const CATCH_UP: Duration = Duration::from_secs(2);

/// What the status tells from the database.
#[derive(Debug, Default)]
pub struct Stored {
    /// All collections.
    pub collections: Vec<Collection>,
    /// What the owner has to decide.
    pub questions: Vec<Outstanding>,
    /// The newest key object.
    pub key_object: Option<KeyObject>,
    /// Sequence of the newest verified commit.
    pub sequence: u64,
    /// Tails that wait for the server.
    pub tails_waiting: usize,
    /// Paths in them.
    pub sealed_changes: u64,
    /// Versions that were kept aside.
    pub conflicts: u64,
}

impl Stored {
    fn read(store: &Store) -> Result<Self, StoreError> {
        let waits = |s: &&OwnSession| s.tail.is_some() && !s.delivered;
        Ok(Self {
            collections: store.collections()?,
            questions: store.questions()?,
            key_object: store.newest_key_object()?,
            sequence: store.witness()?.sequence,
            tails_waiting: store.own_sessions()?.iter().filter(waits).count(),
            sealed_changes: store.sealed_changes()?,
            conflicts: store.conflict_count()?,
        })
    }
}

/// What the database held when it was read, and after which write that was.
#[derive(Debug, Clone)]
pub struct Reading {
    generation: u64,
    /// What was read, or why nothing could be.
    pub stored: Result<Arc<Stored>, String>,
}

impl Reading {
    fn of(store: &Store) -> Self {
        // Before it is read: what is written meanwhile is read once more.
        let generation = store.generation();
        let stored = Stored::read(store).map(Arc::new).map_err(|e| e.to_string());
        Self { generation, stored }
    }
}

/// The newest reading, for everybody.
#[derive(Clone)]
pub struct View {
    newest: watch::Receiver<Reading>,
    again: Arc<Notify>,
}

impl View {
    /// Reads once, and from now on after each change.
    pub fn keep(store: &Arc<Store>) -> Self {
        let changes = store.changes();
        let (tx, newest) = watch::channel(Reading::of(store));
        let again = Arc::new(Notify::new());
        tokio::spawn(follow(Arc::downgrade(store), changes, again.clone(), tx));
        Self { newest, again }
    }

    /// The newest reading.
    pub fn now(&self) -> Reading {
        self.newest.borrow().clone()
    }

    /// Waits for the next one. It never ends where there is none.
    pub async fn changed(&mut self) {
        if self.newest.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Somebody looks closely: it is read anew, whether or not anything was written.
    pub fn refresh(&self) {
        self.again.notify_one();
    }

    /// Waits until what was written so far is in it.
    pub async fn catch_up(&self, store: &Store) {
        let written = store.generation();
        let mut newest = self.newest.clone();
        let caught_up = newest.wait_for(|r| r.generation >= written);
        if tokio::time::timeout(CATCH_UP, caught_up).await.is_err() {
            tracing::warn!("the database is slow: the status is behind it");
        }
    }
}

async fn follow(
    store: Weak<Store>,
    mut changes: watch::Receiver<u64>,
    again: Arc<Notify>,
    newest: watch::Sender<Reading>,
) {
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = again.notified() => {}
            () = tokio::time::sleep(AGE_MAX) => {}
        }
        changes.mark_unchanged();
        let Some(store) = store.upgrade() else {
            return;
        };
        let began = Instant::now();
        let read = tokio::task::spawn_blocking(move || Reading::of(&store));
        let Ok(reading) = read.await else {
            return;
        };
        if newest.send(reading).is_err() {
            return;
        }
        let rest = began.elapsed().saturating_mul(REST).min(REST_MAX);
        tokio::time::sleep(rest).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use simsync_vault::ids::CollectionId;

    #[tokio::test]
    async fn what_is_written_is_seen_without_anybody_asking_the_database() {
        let store = Arc::new(Store::in_memory().unwrap());
        let mut view = View::keep(&store);
        assert!(view.now().stored.unwrap().collections.is_empty());
        store
            .put_collection(&CollectionId([1; 16]), "files", "Documents")
            .unwrap();
        view.changed().await;
        view.catch_up(&store).await;
        let stored = view.now().stored.unwrap();
        assert_eq!(stored.collections.len(), 1);
        // Reading is no change.
        let before = store.generation();
        Stored::read(&store).unwrap();
        assert_eq!(store.generation(), before);
    }
}
