//! Connections to the one file, and transactions.

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use simsync_card::ids::SubscriberId;

use crate::store::events::{Hub, Notice};
use crate::store::{Result, StoreError};

/// How long to wait for another process (the command line beside the server).
const BUSY: Duration = Duration::from_secs(10);

/// A writing transaction and what is to be published after it.
pub(crate) struct Tx<'a> {
    db: Transaction<'a>,
    notices: RefCell<Vec<(SubscriberId, Notice)>>,
}

impl std::ops::Deref for Tx<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.db
    }
}

impl Tx<'_> {
    pub(super) fn publish(&self, subscriber: &SubscriberId, notice: Notice) {
        self.notices.borrow_mut().push((subscriber.clone(), notice));
    }
}

/// Runs `work` as one transaction, and publishes its notices once it is durable.
pub(super) fn run<T>(
    db: &mut Connection,
    hub: &Hub,
    work: impl FnOnce(&Tx<'_>) -> Result<T>,
) -> Result<T> {
    let tx = Tx {
        db: db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?,
        notices: RefCell::default(),
    };
    let result = work(&tx)?;
    let Tx { db, notices } = tx;
    db.commit().map_err(failed)?;
    for (subscriber, notice) in notices.into_inner() {
        hub.publish(&subscriber, notice);
    }
    Ok(result)
}

/// Opens the file.
pub(super) fn connect(path: &Path, writer: bool) -> Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags |= if writer {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
    } else {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    };
    let db = Connection::open_with_flags(path, flags).map_err(failed)?;
    db.busy_timeout(BUSY).map_err(failed)?;
    // Without it, a statement is planned anew each time that its parameters are bound.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(failed)?;
    db.set_prepared_statement_cache_capacity(128);
    if writer {
        db.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
        )
        .map_err(failed)?;
    }
    Ok(db)
}

/// Sorts SQLite's errors: no room, or a failure.
pub(super) fn failed(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        _ => StoreError::failed(error),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        failed(error)
    }
}
