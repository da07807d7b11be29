//! The commit that this terminal sent last. What its files are then is written down before it is sent: whether the answer was
//! heard or not, once the chain has the commit, the rows say so.

use rusqlite::{Connection, OptionalExtension, params};
use simsync_card::ids::Hash;
use simsync_sync::node::RelPath;
use simsync_vault::ids::ObjectId;

use super::files::{columns_of, path_of, to_i64};
use super::{CollectionPk, FileRow, Result, RowChange, Store, damaged};

/// What becomes of a collection with a commit.
#[derive(Debug, Clone)]
pub struct SentCollection {
    /// Row number.
    pub pk: CollectionPk,
    /// Root of the vault that the rows stand for after the commit.
    pub base: ObjectId,
    /// Rows to write once the commit is taken.
    pub rows: Vec<RowChange>,
    /// Paths that are still to be applied.
    pub pending: Vec<RelPath>,
}

/// The kind of a row that goes.
const GONE: i64 = -1;

/// Pages, of 4 KB, that stay free for what comes.
const FREE_PAGES: i64 = 512;

const CLEAR: &str = "DELETE FROM sent; DELETE FROM sent_collections; DELETE FROM sent_files; DELETE FROM sent_pending;";

impl Store {
    /// Before a commit is sent: what is to be written down once it is known that the chain has it. What was noted of an earlier
    /// commit goes.
    pub fn note_sent(&self, commit: &Hash, collections: &[SentCollection]) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.sent");
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        tx.execute_batch(CLEAR)?;
        tx.execute("INSERT INTO sent VALUES(?1)", [commit.0])?;
        for c in collections {
            tx.execute(
                "INSERT INTO sent_collections VALUES(?1, ?2)",
                params![c.pk, c.base.0],
            )?;
            let mut put = tx.prepare_cached(
                "INSERT OR REPLACE INTO sent_files VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?;
            for (path, row) in &c.rows {
                let Some(FileRow { node, stat }) = row else {
                    put.execute(params![c.pk, path.as_bytes(), GONE, 0, 0, 0, 0, 0, ""])?;
                    continue;
                };
                let (kind, content) = columns_of(node);
                put.execute(params![
                    c.pk,
                    path.as_bytes(),
                    kind,
                    stat.mode,
                    to_i64(stat.size),
                    stat.mtime,
                    stat.ctime,
                    to_i64(stat.ino),
                    content
                ])?;
            }
            for path in &c.pending {
                tx.execute(
                    "INSERT OR IGNORE INTO sent_pending VALUES(?1, ?2)",
                    params![c.pk, path.as_bytes()],
                )?;
            }
        }
        tx.commit()?;
        Ok(())
    }

    /// The commit that was sent last, if it is not settled whether the chain has it.
    pub fn sent(&self) -> Result<Option<Hash>> {
        let bytes: Option<Vec<u8>> = self
            .lock()
            .prepare_cached("SELECT hash FROM sent")?
            .query_row([], |r| r.get(0))
            .optional()?;
        bytes
            .map(|b| Hash::from_slice(&b).map_err(|e| damaged(&e.to_string())))
            .transpose()
    }

    /// Paths whose rows settling the commit would write, by collection.
    pub fn sent_paths(&self) -> Result<Vec<(CollectionPk, RelPath)>> {
        let conn = self.lock();
        let mut stmt = conn.prepare_cached("SELECT collection, path FROM sent_files")?;
        let rows = stmt.query_map([], |r| Ok((r.get(0)?, r.get::<_, Vec<u8>>(1)?)))?;
        rows.map(|row| {
            let (pk, path) = row?;
            Ok((pk, path_of(path)?))
        })
        .collect()
    }

    /// The chain has the commit that was sent last: rows, bases and pending paths are as was noted before, nothing is being
    /// written, and what was read and sent is in a commit.
    pub fn settle_sent(&self) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.settled");
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        {
            // One by one: in one statement SQLite would look at every row of the collection.
            let mut gone =
                tx.prepare_cached("SELECT collection, path FROM sent_files WHERE kind = ?1")?;
            let mut delete =
                tx.prepare_cached("DELETE FROM files WHERE collection = ?1 AND path = ?2")?;
            let mut less = tx.prepare_cached(
                "UPDATE collections SET row_count = row_count - ?2 WHERE pk = ?1",
            )?;
            let mut rows = gone.query([GONE])?;
            while let Some(r) = rows.next()? {
                let pk: i64 = r.get(0)?;
                if delete.execute(params![pk, r.get::<_, Vec<u8>>(1)?])? > 0 {
                    less.execute([pk, 1])?;
                }
            }
        }
        for statement in [
            "UPDATE collections SET row_count = row_count + (
                SELECT COUNT(*) FROM sent_files s WHERE s.collection = pk AND s.kind <> -1 AND NOT EXISTS(
                    SELECT 1 FROM files f WHERE f.collection = s.collection AND f.path = s.path))
             WHERE pk IN (SELECT collection FROM sent_collections)",
            "INSERT OR REPLACE INTO files SELECT * FROM sent_files WHERE kind <> -1",
            "DELETE FROM pending WHERE collection IN (SELECT collection FROM sent_collections)",
            "INSERT INTO pending SELECT * FROM sent_pending",
            "UPDATE collections SET applying = NULL,
             base_root = (SELECT s.base_root FROM sent_collections s WHERE s.collection = pk)
             WHERE pk IN (SELECT collection FROM sent_collections)",
            "DELETE FROM uploaded",
        ] {
            tx.execute(statement, [])?;
        }
        tx.execute_batch(CLEAR)?;
        tx.commit()?;
        if let Err(error) = give_back(&conn) {
            tracing::warn!(%error, "the database keeps room that it does not need");
        }
        Ok(())
    }
}

/// Gives room back to the disk that a large commit needed for a moment, since its rows stood in the database twice.
fn give_back(conn: &Connection) -> Result<()> {
    let free: i64 = conn.pragma_query_value(None, "freelist_count", |r| r.get(0))?;
    if free > FREE_PAGES {
        let mut give = conn.prepare("PRAGMA incremental_vacuum")?;
        // Each row is a page.
        let mut pages = give.query([])?;
        while pages.next()?.is_some() {}
    }
    Ok(())
}
