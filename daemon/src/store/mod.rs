//! What a terminal remembers: one SQLite file. Everything in it can be had again from the vault and the data, but for
//! the witness and the unsent tails, which are why it is written durably.

mod chain;
mod error;
mod files;
mod folders;
mod outstanding;
mod packs;
mod schema;
mod sent;
mod sessions;

use std::path::Path;

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, Transaction};
use tokio::sync::watch;

pub use chain::RootThen;
pub use error::StoreError;
use error::{Result, damaged};
pub use files::{Collection, CollectionPk, ConflictRow, FileRow, Folder, RowChange, Uploaded};
pub use packs::{Found, PackRow, PackState, StoredObject};
pub use sent::SentCollection;
pub use sessions::{OwnSession, Sealed, SealedContent, TailItem};

/// The local database. Methods block; call them from blocking code.
pub struct Store {
    conn: Mutex<Connection>,
    /// How many transactions wrote something.
    written: watch::Sender<u64>,
}

impl Store {
    /// Opens or makes the database.
    pub fn open(path: &Path) -> Result<Self> {
        Self::with(Connection::open(path)?)
    }

    fn with(mut conn: Connection) -> Result<Self> {
        schema::prepare(&conn)?;
        let written = watch::Sender::new(0);
        let count = written.clone();
        // Called before the transaction is over; whoever looks then waits for the connection, and so for its end.
        conn.commit_hook(Some(move || {
            count.send_modify(|n| *n += 1);
            false
        }))?;
        Ok(Self {
            conn: Mutex::new(conn),
            written,
        })
    }

    /// How many transactions wrote something so far.
    pub fn generation(&self) -> u64 {
        *self.written.borrow()
    }

    /// The same number, for whoever waits for it to change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Reads what everything hangs on, so that damage is told at the start and not in the middle of something.
    pub fn check(&self) -> Result<()> {
        let verdict: String = self
            .lock()
            .query_row("PRAGMA quick_check(1)", [], |r| r.get(0))?;
        if verdict != "ok" {
            return Err(damaged(&verdict));
        }
        self.key_objects()?;
        self.newest_commit()?;
        self.own_sessions()?;
        self.collections()?;
        Ok(())
    }

    /// A database that lives in memory, for tests.
    pub fn in_memory() -> Result<Self> {
        Self::with(Connection::open_in_memory()?)
    }

    /// Nobody else gets anything from it while this is held: a disk that hangs.
    #[cfg(test)]
    pub(crate) fn hang(&self) -> MutexGuard<'_, Connection> {
        self.lock()
    }

    /// Writes what can be had again, without waiting for the disk. Transactions become durable in their order: the next one that
    /// waits takes this one along.
    fn write_unhurried<T>(&self, write: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let mut conn = self.lock();
        set_durable(&conn, false)?;
        let written = conn.transaction().map_err(StoreError::from).and_then(|tx| {
            let out = write(&tx)?;
            tx.commit()?;
            Ok(out)
        });
        set_durable(&conn, true)?;
        written
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic elsewhere leaves at worst an open transaction, which rusqlite rolled back.
        self.conn.lock()
    }
}

/// Whether a transaction is on disk once it is over, as all are but those that say otherwise.
fn set_durable(conn: &Connection, is: bool) -> Result<()> {
    let level = if is { "FULL" } else { "NORMAL" };
    Ok(conn.pragma_update(None, "synchronous", level)?)
}

#[cfg(test)]
mod tests;
