//! The schema, one migration per version. A version is never changed once it was released.

use rusqlite::{Connection, TransactionBehavior};

use super::connection::failed;
use crate::store::{Result, StoreError};

/// Migration `n` leads from version `n` to `n + 1`.
const MIGRATIONS: &[&str] = &[V1, V2];

const V1: &str = "
CREATE TABLE subscribers (
    subscriber TEXT PRIMARY KEY NOT NULL,
    label TEXT NOT NULL,
    state TEXT NOT NULL,
    created INTEGER NOT NULL
) STRICT;
CREATE TABLE codes (
    subscriber TEXT NOT NULL,
    hash BLOB NOT NULL,
    expires INTEGER NOT NULL,
    card BLOB,
    PRIMARY KEY (subscriber, hash)
) STRICT, WITHOUT ROWID;
CREATE TABLE cards (
    subscriber TEXT NOT NULL,
    card BLOB NOT NULL,
    label TEXT NOT NULL,
    sig_key BLOB NOT NULL,
    kem_key BLOB NOT NULL,
    state TEXT NOT NULL,
    enrolled INTEGER NOT NULL,
    last_n INTEGER NOT NULL,
    PRIMARY KEY (subscriber, card)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX cards_by_id ON cards (card);
CREATE TABLE terminals (
    subscriber TEXT NOT NULL,
    terminal BLOB NOT NULL,
    key BLOB NOT NULL,
    label TEXT NOT NULL,
    attributes TEXT NOT NULL,
    certificate BLOB NOT NULL,
    certificate_hash BLOB NOT NULL,
    state TEXT NOT NULL,
    paired INTEGER NOT NULL,
    PRIMARY KEY (subscriber, terminal)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX terminals_by_id ON terminals (terminal);
CREATE UNIQUE INDEX terminals_by_certificate ON terminals (certificate_hash);
CREATE TABLE pairings (
    subscriber TEXT NOT NULL,
    card BLOB NOT NULL,
    terminal BLOB NOT NULL,
    binding BLOB NOT NULL,
    statement BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (subscriber, card, terminal)
) STRICT, WITHOUT ROWID;
CREATE TABLE sessions (
    subscriber TEXT NOT NULL,
    card BLOB NOT NULL,
    n INTEGER NOT NULL,
    terminal BLOB NOT NULL,
    statement TEXT NOT NULL,
    state TEXT NOT NULL,
    opened INTEGER NOT NULL,
    scope TEXT NOT NULL,
    grant_hash BLOB,
    connection BLOB,
    certificate BLOB,
    expires INTEGER,
    last_commit BLOB,
    PRIMARY KEY (subscriber, card, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_grant ON sessions (subscriber, grant_hash) WHERE grant_hash IS NOT NULL;
CREATE INDEX sessions_by_terminal ON sessions (subscriber, terminal, state);
CREATE TABLE heads (
    subscriber TEXT PRIMARY KEY NOT NULL,
    vault BLOB,
    hash BLOB,
    sequence INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0,
    list_number INTEGER NOT NULL DEFAULT 0,
    rekey_required INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE commits (
    subscriber TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    hash BLOB NOT NULL,
    signed BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (subscriber, sequence)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX commits_by_hash ON commits (subscriber, hash);
CREATE TABLE key_objects (
    subscriber TEXT NOT NULL,
    list_number INTEGER NOT NULL,
    signed BLOB NOT NULL,
    wraps TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (subscriber, list_number)
) STRICT, WITHOUT ROWID;
CREATE TABLE packs (
    subscriber TEXT NOT NULL,
    pack BLOB NOT NULL,
    collection BLOB NOT NULL,
    size INTEGER NOT NULL,
    status TEXT NOT NULL,
    received INTEGER NOT NULL,
    hash BLOB,
    terminal BLOB NOT NULL,
    touched INTEGER NOT NULL,
    added INTEGER,
    place INTEGER,
    dropped INTEGER,
    PRIMARY KEY (subscriber, pack)
) STRICT, WITHOUT ROWID;
CREATE INDEX packs_by_collection ON packs (subscriber, collection, status, added, place);
CREATE TABLE tails (
    subscriber TEXT NOT NULL,
    card BLOB NOT NULL,
    n INTEGER NOT NULL,
    terminal BLOB NOT NULL,
    hash BLOB NOT NULL,
    signed BLOB NOT NULL,
    replaces TEXT NOT NULL,
    status TEXT NOT NULL,
    at INTEGER NOT NULL,
    merged INTEGER,
    PRIMARY KEY (subscriber, card, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX tails_by_status ON tails (subscriber, status);
CREATE TABLE audit (
    subscriber TEXT NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    detail TEXT NOT NULL,
    previous BLOB NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (subscriber, number)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
";

/// One row at most: where the server moves.
const V2: &str = "
CREATE TABLE moving (
    one INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),
    address TEXT NOT NULL,
    ca_pin BLOB NOT NULL
) STRICT;
";

/// Brings the database to the newest version; refuses one that is newer than this program.
pub(super) fn migrate(db: &mut Connection) -> Result<()> {
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    let tx = db
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    let found: u32 = tx
        .query_row("PRAGMA user_version", [], |r| r.get(0))
        .map_err(failed)?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for sql in MIGRATIONS.iter().skip(found as usize) {
        tx.execute_batch(sql).map_err(failed)?;
    }
    tx.execute_batch(&format!("PRAGMA user_version = {known}"))
        .map_err(failed)?;
    tx.commit().map_err(failed)
}
