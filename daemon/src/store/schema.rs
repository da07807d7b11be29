//! The schema and its migrations, one step for each version.

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::error::{Result, StoreError};

/// More statements than there are in this store: none is planned twice.
const STATEMENTS: usize = 256;

/// Each entry brings the database from the version of its index to the next.
const MIGRATIONS: &[&str] = &[V1, V2, V3, V4];

const V1: &str = "
CREATE TABLE key_objects(list_number INTEGER PRIMARY KEY, hash BLOB NOT NULL, bytes BLOB NOT NULL);
CREATE TABLE wraps(recipient BLOB PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE commits(
    sequence INTEGER PRIMARY KEY, hash BLOB NOT NULL,
    list_number INTEGER NOT NULL, list_hash BLOB NOT NULL, bytes BLOB NOT NULL);
CREATE TABLE closed(
    card BLOB NOT NULL, terminal BLOB NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY(card, terminal)) WITHOUT ROWID;
CREATE TABLE merged(card BLOB NOT NULL, n INTEGER NOT NULL, PRIMARY KEY(card, n)) WITHOUT ROWID;
CREATE TABLE tail_items(
    card BLOB NOT NULL, n INTEGER NOT NULL, collection INTEGER NOT NULL, path BLOB NOT NULL,
    gone INTEGER NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL, ino INTEGER NOT NULL,
    PRIMARY KEY(card, n, collection, path)) WITHOUT ROWID;
CREATE TABLE packs(
    pk INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, collection BLOB NOT NULL,
    size INTEGER NOT NULL, state INTEGER NOT NULL);
CREATE TABLE objects(
    id BLOB PRIMARY KEY, pack INTEGER NOT NULL, kind INTEGER NOT NULL,
    start INTEGER NOT NULL, stored INTEGER NOT NULL, plain INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE dirs(id BLOB PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE collections(
    pk INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, attribute TEXT NOT NULL, name TEXT NOT NULL,
    root TEXT, base_root BLOB NOT NULL);
CREATE TABLE files(
    collection INTEGER NOT NULL, path BLOB NOT NULL, kind INTEGER NOT NULL, mode INTEGER NOT NULL,
    size INTEGER NOT NULL, mtime INTEGER NOT NULL, ctime INTEGER NOT NULL, ino INTEGER NOT NULL,
    content BLOB NOT NULL, PRIMARY KEY(collection, path)) WITHOUT ROWID;
CREATE TABLE pending(collection INTEGER NOT NULL, path BLOB NOT NULL, PRIMARY KEY(collection, path)) WITHOUT ROWID;
CREATE TABLE uploaded(
    collection INTEGER NOT NULL, path BLOB NOT NULL,
    size INTEGER NOT NULL, mtime INTEGER NOT NULL, ctime INTEGER NOT NULL, ino INTEGER NOT NULL,
    content BLOB NOT NULL, PRIMARY KEY(collection, path)) WITHOUT ROWID;
CREATE TABLE sessions(
    card BLOB NOT NULL, n INTEGER NOT NULL, statement BLOB NOT NULL, ended INTEGER NOT NULL,
    tail BLOB, delivered INTEGER NOT NULL, PRIMARY KEY(card, n)) WITHOUT ROWID;
CREATE TABLE conflicts(
    pk INTEGER PRIMARY KEY, collection INTEGER NOT NULL, path BLOB NOT NULL, aside BLOB NOT NULL,
    side INTEGER NOT NULL, time_ms INTEGER NOT NULL);
";

/// Content is stored once in each collection: an object is known by where it is, not by its ID alone.
///
/// `proven`: what stands in the pack under this ID was put there by this terminal, or opened and found to be it.
/// `whole`: everything that the collection's tree names is known to be in packs of that collection.
/// `applying`: the root that is being written to disk. `root_fs`, `root_ino`: which folder the root was.
const V2: &str = "
CREATE TABLE objects2(
    id BLOB NOT NULL, pack INTEGER NOT NULL, kind INTEGER NOT NULL,
    start INTEGER NOT NULL, stored INTEGER NOT NULL, plain INTEGER NOT NULL, proven INTEGER NOT NULL,
    PRIMARY KEY(id, pack)) WITHOUT ROWID;
INSERT INTO objects2 SELECT id, pack, kind, start, stored, plain, 1 FROM objects;
DROP TABLE objects;
ALTER TABLE objects2 RENAME TO objects;
ALTER TABLE collections ADD COLUMN whole INTEGER NOT NULL DEFAULT 0;
ALTER TABLE collections ADD COLUMN applying BLOB;
ALTER TABLE collections ADD COLUMN root_fs INTEGER;
ALTER TABLE collections ADD COLUMN root_ino INTEGER;
CREATE TABLE mounts(
    collection INTEGER NOT NULL, path BLOB NOT NULL, fs INTEGER NOT NULL,
    PRIMARY KEY(collection, path)) WITHOUT ROWID;
CREATE TABLE opened_dirs(
    collection INTEGER NOT NULL, path BLOB NOT NULL, mode INTEGER NOT NULL,
    PRIMARY KEY(collection, path)) WITHOUT ROWID;
CREATE TABLE outstanding(
    producer INTEGER NOT NULL, code TEXT NOT NULL, collection INTEGER NOT NULL, path BLOB NOT NULL,
    detail TEXT NOT NULL, since_ms INTEGER NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY(collection, producer, code, path)) WITHOUT ROWID;
";

/// `sent`: the commit that was sent last, and what this terminal writes down once it knows that the chain has it: the same rows as
/// in `files` (`kind` -1: none any more), base and pending paths of each collection. `tail_items` tell what
/// was sealed: `content` is a link's target, or what tells a file's content from others; `kind` is null for what was sealed before.
const V3: &str = "
CREATE TABLE sent(hash BLOB NOT NULL);
CREATE TABLE sent_collections(collection INTEGER PRIMARY KEY, base_root BLOB NOT NULL);
CREATE TABLE sent_files(
    collection INTEGER NOT NULL, path BLOB NOT NULL, kind INTEGER NOT NULL, mode INTEGER NOT NULL,
    size INTEGER NOT NULL, mtime INTEGER NOT NULL, ctime INTEGER NOT NULL, ino INTEGER NOT NULL,
    content BLOB NOT NULL, PRIMARY KEY(collection, path)) WITHOUT ROWID;
CREATE TABLE sent_pending(collection INTEGER NOT NULL, path BLOB NOT NULL, PRIMARY KEY(collection, path)) WITHOUT ROWID;
ALTER TABLE tail_items ADD COLUMN kind INTEGER;
ALTER TABLE tail_items ADD COLUMN mode INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tail_items ADD COLUMN content BLOB NOT NULL DEFAULT x'';
";

/// `row_count`: how many there are in `files`, for whoever needs the number and not the rows.
const V4: &str = "
ALTER TABLE collections ADD COLUMN row_count INTEGER NOT NULL DEFAULT 0;
UPDATE collections SET row_count = (SELECT COUNT(*) FROM files WHERE collection = pk);
";

/// Sets the connection up and brings the schema to the newest version.
pub fn prepare(conn: &Connection) -> Result<()> {
    conn.busy_timeout(std::time::Duration::from_secs(10))?;
    // Without it, a statement is planned anew each time that its parameters are bound: that costs more than it does.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // Before anything that would write.
    let found: i64 = conn.pragma_query_value(None, "user_version", |r| r.get(0))?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    if found == 0 {
        // Before the first table: what a large commit needed for a moment can be given back.
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "cache_size", -8192)?;
    for (from, sql) in (0i64..)
        .zip(MIGRATIONS)
        .skip(usize::try_from(found).unwrap_or(0))
    {
        let to = from + 1;
        conn.execute_batch(&format!(
            "BEGIN IMMEDIATE; {sql} PRAGMA user_version = {to}; COMMIT;"
        ))?;
    }
    Ok(())
}
