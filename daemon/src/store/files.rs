//! Collections and the state of their files at the last sync.

use std::collections::HashMap;
use std::path::PathBuf;

use rusqlite::params;
use simsync_sync::dir::{FsId, Stat};
use simsync_sync::node::{Node, RelPath};
use simsync_vault::ids::{CollectionId, ObjectId};

use super::{Result, Store, damaged};
use crate::engine::content::Content;

/// Row number of a collection.
pub type CollectionPk = i64;

/// A collection as this terminal knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// Row number.
    pub pk: CollectionPk,
    /// ID in the vault.
    pub id: CollectionId,
    /// Kind of data.
    pub attribute: String,
    /// The owner's name for it.
    pub name: String,
    /// Where it lives on this terminal; none while it is not synced here.
    pub root: Option<PathBuf>,
    /// Root directory in the vault that the rows stand for.
    pub base_root: ObjectId,
    /// Everything that the vault's tree names is known to be in packs of this very collection.
    pub whole: bool,
    /// Root directory in the vault that was being written to disk when somebody last looked; none if that was finished.
    pub applying: Option<ObjectId>,
    /// Which folder the root was at the last scan.
    pub folder: Option<Folder>,
}

/// What tells a folder from another one of the same path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folder {
    /// Its file system.
    pub fs: FsId,
    /// Its inode number.
    pub ino: u64,
}

/// A path's state at the last sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// What stood at the path: directory, file or link.
    pub node: Node<Content>,
    /// How it looked on disk.
    pub stat: Stat,
}

/// What becomes of a row; none deletes it.
pub type RowChange = (RelPath, Option<FileRow>);

/// Content that was read and uploaded, but is in no commit yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// How the file looked when it was read.
    pub stat: Stat,
    /// Chunks of what was read, with size and time.
    pub content: Content,
}

/// Two versions that were both kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictRow {
    /// Number, for the owner.
    pub pk: i64,
    /// Row number of the collection.
    pub collection: CollectionPk,
    /// The path that both sides wrote.
    pub path: Vec<u8>,
    /// Where the one that gave way is.
    pub aside: Vec<u8>,
    /// When it was found, milliseconds since 1970.
    pub time_ms: i64,
}

pub(super) const DIR: i64 = 0;
pub(super) const FILE: i64 = 1;
pub(super) const SYMLINK: i64 = 2;

/// Kind and content of a row.
pub(super) fn columns_of(node: &Node<Content>) -> (i64, Vec<u8>) {
    match node {
        Node::Dir { .. } => (DIR, Vec::new()),
        Node::File { content, .. } => (FILE, content.to_bytes()),
        Node::Symlink { target } => (SYMLINK, target.clone()),
    }
}

pub(super) fn to_i64(n: u64) -> i64 {
    // Sizes and inode numbers use all 64 bits; the cast is undone when reading.
    n.cast_signed()
}

pub(super) fn path_of(bytes: Vec<u8>) -> Result<RelPath> {
    RelPath::new(bytes).map_err(|e| damaged(&e.to_string()))
}

/// Rows of a collection, `?1`, as [`file_row`] reads them.
macro_rules! file_rows {
    ($and:literal) => {
        concat!(
            "SELECT path, kind, mode, size, mtime, ctime, ino, content FROM files WHERE collection = ?1 ",
            $and
        )
    };
}

const COLLECTION_COLUMNS: &str =
    "pk, id, attribute, name, root, base_root, whole, applying, root_fs, root_ino";

impl Store {
    /// All collections that are known here, registered or not.
    pub fn collections(&self) -> Result<Vec<Collection>> {
        let conn = self.lock();
        let mut stmt = conn.prepare_cached(&format!(
            "SELECT {COLLECTION_COLUMNS} FROM collections ORDER BY name, id"
        ))?;
        let mut rows = stmt.query([])?;
        let mut out = Vec::new();
        while let Some(r) = rows.next()? {
            let id: Vec<u8> = r.get(1)?;
            let base_root: Vec<u8> = r.get(5)?;
            out.push(Collection {
                pk: r.get(0)?,
                id: CollectionId::from_slice(&id).map_err(|e| damaged(&e.to_string()))?,
                attribute: r.get(2)?,
                name: r.get(3)?,
                root: r.get::<_, Option<String>>(4)?.map(PathBuf::from),
                base_root: ObjectId::from_slice(&base_root).map_err(|e| damaged(&e.to_string()))?,
                whole: r.get(6)?,
                applying: r
                    .get::<_, Option<Vec<u8>>>(7)?
                    .map(|id| ObjectId::from_slice(&id).map_err(|e| damaged(&e.to_string())))
                    .transpose()?,
                folder: match (r.get::<_, Option<i64>>(8)?, r.get::<_, Option<i64>>(9)?) {
                    (Some(fs), Some(ino)) => Some(Folder {
                        fs: FsId(fs.cast_unsigned()),
                        ino: ino.cast_unsigned(),
                    }),
                    _ => None,
                },
            });
        }
        Ok(out)
    }

    /// Adds a collection or updates its names; its root on this terminal stays as it is.
    pub fn put_collection(&self, id: &CollectionId, attribute: &str, name: &str) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.collection");
        self.lock().execute(
            "INSERT INTO collections(id, attribute, name, root, base_root) VALUES(?1, ?2, ?3, NULL, ?4)
             ON CONFLICT(id) DO UPDATE SET attribute = excluded.attribute, name = excluded.name",
            params![id.0, attribute, name, ObjectId::ZERO.0],
        )?;
        Ok(())
    }

    /// Registers a collection on this terminal, or (none) stops syncing it here. Its files stay; its rows go, so that
    /// deselecting can never become deleting.
    pub fn set_root(&self, pk: CollectionPk, root: Option<&str>) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.root");
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        tx.execute(
            "UPDATE collections SET root = ?2, base_root = ?3, whole = 0, applying = NULL,
             root_fs = NULL, root_ino = NULL, row_count = 0 WHERE pk = ?1",
            params![pk, root, ObjectId::ZERO.0],
        )?;
        for table in [
            "files",
            "pending",
            "uploaded",
            "mounts",
            "opened_dirs",
            "outstanding",
            "sent_collections",
            "sent_files",
            "sent_pending",
        ] {
            tx.execute(&format!("DELETE FROM {table} WHERE collection = ?1"), [pk])?;
        }
        tx.commit()?;
        Ok(())
    }

    /// All rows of a collection.
    pub fn files(&self, pk: CollectionPk) -> Result<HashMap<RelPath, FileRow>> {
        let conn = self.lock();
        let count: i64 = conn.query_row(
            "SELECT count(*) FROM files WHERE collection = ?1",
            [pk],
            |r| r.get(0),
        )?;
        let mut out = HashMap::with_capacity(usize::try_from(count).unwrap_or(0));
        let mut stmt = conn.prepare_cached(file_rows!(""))?;
        let mut rows = stmt.query([pk])?;
        while let Some(r) = rows.next()? {
            out.insert(path_of(r.get(0)?)?, file_row(r)?);
        }
        Ok(out)
    }

    /// The rows of these paths and of all below them.
    pub fn files_at(
        &self,
        pk: CollectionPk,
        paths: &mut dyn Iterator<Item = &RelPath>,
    ) -> Result<HashMap<RelPath, FileRow>> {
        let conn = self.lock();
        let mut out = HashMap::new();
        let mut one = conn.prepare_cached(file_rows!("AND path = ?2"))?;
        let mut below = conn.prepare_cached(file_rows!("AND path > ?2 AND path < ?3"))?;
        for path in paths {
            let path = path.as_bytes();
            // '0' is what follows '/'.
            let (from, to) = ([path, b"/"].concat(), [path, b"0"].concat());
            let mut put = |r: &rusqlite::Row<'_>| -> Result<()> {
                out.insert(path_of(r.get(0)?)?, file_row(r)?);
                Ok(())
            };
            let mut rows = one.query(params![pk, path])?;
            while let Some(r) = rows.next()? {
                put(r)?;
            }
            let mut rows = below.query(params![pk, from, to])?;
            while let Some(r) = rows.next()? {
                put(r)?;
            }
        }
        Ok(out)
    }

    /// How many rows a collection has.
    pub fn row_count(&self, pk: CollectionPk) -> Result<usize> {
        let conn = self.lock();
        let mut stmt = conn.prepare_cached("SELECT row_count FROM collections WHERE pk = ?1")?;
        let count: i64 = stmt.query_row([pk], |r| r.get(0))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// Shows all rows of files, one after the other, without keeping any.
    pub fn each_file(
        &self,
        pk: CollectionPk,
        see: &mut dyn FnMut(&RelPath, &FileRow),
    ) -> Result<()> {
        let conn = self.lock();
        let mut stmt = conn.prepare_cached(file_rows!("AND kind = ?2"))?;
        let mut rows = stmt.query(params![pk, FILE])?;
        while let Some(r) = rows.next()? {
            see(&path_of(r.get(0)?)?, &file_row(r)?);
        }
        Ok(())
    }

    /// The row of one path; none if nothing was there at the last sync.
    pub fn file(&self, pk: CollectionPk, path: &RelPath) -> Result<Option<FileRow>> {
        let conn = self.lock();
        let mut stmt = conn.prepare_cached(file_rows!("AND path = ?2"))?;
        let mut rows = stmt.query(params![pk, path.as_bytes()])?;
        rows.next()?.map(file_row).transpose()
    }

    /// After a sync: new rows, the root that they stand for, and the paths that could not be applied yet.
    pub fn synced(
        &self,
        pk: CollectionPk,
        base_root: &ObjectId,
        changes: &[RowChange],
        pending: &[RelPath],
    ) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.synced");
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        let mut more = 0i64;
        {
            let mut is_there =
                tx.prepare_cached("SELECT 1 FROM files WHERE collection = ?1 AND path = ?2")?;
            let mut put = tx.prepare_cached(
                "INSERT OR REPLACE INTO files VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?;
            let mut delete =
                tx.prepare_cached("DELETE FROM files WHERE collection = ?1 AND path = ?2")?;
            for (path, row) in changes {
                let Some(FileRow { node, stat }) = row else {
                    let gone = delete.execute(params![pk, path.as_bytes()])?;
                    more -= i64::try_from(gone).unwrap_or(0);
                    continue;
                };
                if !is_there.exists(params![pk, path.as_bytes()])? {
                    more += 1;
                }
                let (kind, content) = columns_of(node);
                put.execute(params![
                    pk,
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
        }
        tx.execute("DELETE FROM pending WHERE collection = ?1", [pk])?;
        for path in pending {
            tx.execute(
                "INSERT INTO pending VALUES(?1, ?2)",
                params![pk, path.as_bytes()],
            )?;
        }
        tx.execute(
            "UPDATE collections SET base_root = ?2, row_count = row_count + ?3 WHERE pk = ?1",
            params![pk, base_root.0, more],
        )?;
        tx.commit()?;
        Ok(())
    }

    /// Paths whose vault version could not be applied yet.
    pub fn pending(&self, pk: CollectionPk) -> Result<Vec<RelPath>> {
        let conn = self.lock();
        let mut stmt = conn.prepare_cached("SELECT path FROM pending WHERE collection = ?1")?;
        let rows = stmt.query_map([pk], |r| r.get::<_, Vec<u8>>(0))?;
        rows.map(|r| path_of(r?)).collect()
    }

    /// Remembers content that was read, so that a tail, or the next session, need not read and send it again.
    pub fn add_uploaded(&self, pk: CollectionPk, entries: &[(RelPath, Uploaded)]) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.journal");
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        {
            let mut put = tx.prepare_cached(
                "INSERT OR REPLACE INTO uploaded VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for (path, u) in entries {
                put.execute(params![
                    pk,
                    path.as_bytes(),
                    to_i64(u.stat.size),
                    u.stat.mtime,
                    u.stat.ctime,
                    to_i64(u.stat.ino),
                    u.content.to_bytes()
                ])?;
            }
        }
        tx.commit()?;
        Ok(())
    }

    /// Content that was read and is in no commit yet.
    pub fn uploaded(&self, pk: CollectionPk) -> Result<HashMap<RelPath, Uploaded>> {
        let conn = self.lock();
        let mut stmt = conn.prepare_cached(
            "SELECT path, size, mtime, ctime, ino, content FROM uploaded WHERE collection = ?1",
        )?;
        let mut rows = stmt.query([pk])?;
        let mut out = HashMap::new();
        while let Some(r) = rows.next()? {
            let stat = Stat {
                size: r.get::<_, i64>(1)?.cast_unsigned(),
                mtime: r.get(2)?,
                ctime: r.get(3)?,
                ino: r.get::<_, i64>(4)?.cast_unsigned(),
                mode: 0,
            };
            let content = Content::from_bytes(&r.get::<_, Vec<u8>>(5)?, stat.size, stat.mtime)
                .ok_or_else(|| damaged("content of an uploaded file"))?;
            out.insert(path_of(r.get(0)?)?, Uploaded { stat, content });
        }
        Ok(out)
    }

    /// All uploaded content is in a commit now.
    pub fn clear_uploaded(&self) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.journal-cleared");
        self.lock().execute("DELETE FROM uploaded", [])?;
        Ok(())
    }

    /// Keeps a conflict for the owner's list, once.
    pub fn add_conflict(
        &self,
        pk: CollectionPk,
        path: &RelPath,
        aside: &RelPath,
        side: i64,
        time_ms: i64,
    ) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.conflict");
        self.lock().execute(
            "INSERT INTO conflicts(collection, path, aside, side, time_ms) SELECT ?1, ?2, ?3, ?4, ?5
             WHERE NOT EXISTS(SELECT 1 FROM conflicts WHERE collection = ?1 AND aside = ?3)",
            params![pk, path.as_bytes(), aside.as_bytes(), side, time_ms],
        )?;
        Ok(())
    }

    /// A conflict is none any more.
    pub fn remove_conflict(&self, pk: i64) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.conflict-ended");
        self.lock()
            .execute("DELETE FROM conflicts WHERE pk = ?1", [pk])?;
        Ok(())
    }

    /// How many versions are kept aside.
    pub fn conflict_count(&self) -> Result<u64> {
        let count: i64 = self
            .lock()
            .query_row("SELECT COUNT(*) FROM conflicts", [], |r| r.get(0))?;
        Ok(count.cast_unsigned())
    }

    /// All conflicts, oldest first.
    pub fn conflicts(&self) -> Result<Vec<ConflictRow>> {
        let conn = self.lock();
        let mut stmt = conn.prepare_cached(
            "SELECT pk, collection, path, aside, time_ms FROM conflicts ORDER BY pk",
        )?;
        let rows = stmt.query_map([], |r| {
            Ok(ConflictRow {
                pk: r.get(0)?,
                collection: r.get(1)?,
                path: r.get(2)?,
                aside: r.get(3)?,
                time_ms: r.get(4)?,
            })
        })?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }
}

fn file_row(r: &rusqlite::Row<'_>) -> Result<FileRow> {
    let stat = Stat {
        mode: r.get(2)?,
        size: r.get::<_, i64>(3)?.cast_unsigned(),
        mtime: r.get(4)?,
        ctime: r.get(5)?,
        ino: r.get::<_, i64>(6)?.cast_unsigned(),
    };
    let content: Vec<u8> = r.get(7)?;
    let node = match r.get::<_, i64>(1)? {
        DIR => Node::Dir { mode: stat.mode },
        FILE => Node::File {
            mode: stat.mode,
            content: Content::from_bytes(&content, stat.size, stat.mtime)
                .ok_or_else(|| damaged("content of a file"))?,
        },
        SYMLINK => Node::Symlink { target: content },
        _ => return Err(damaged("kind of a file")),
    };
    Ok(FileRow { node, stat })
}
