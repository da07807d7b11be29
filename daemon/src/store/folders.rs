//! What is remembered of a collection's folder on this terminal: which one it was, what was mounted below it, and what is
//! being done to it.

use rusqlite::params;
use simsync_sync::dir::{FsId, Mount};
use simsync_sync::node::RelPath;
use simsync_vault::ids::ObjectId;

use super::{CollectionPk, Folder, Result, Store, damaged};

fn path_of(bytes: Vec<u8>) -> Result<RelPath> {
    RelPath::new(bytes).map_err(|e| damaged(&e.to_string()))
}

impl Store {
    /// Remembers which folder the root is, or (none) that nobody knows.
    pub fn set_folder(&self, pk: CollectionPk, folder: Option<Folder>) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.folder");
        self.lock().execute(
            "UPDATE collections SET root_fs = ?2, root_ino = ?3 WHERE pk = ?1",
            params![
                pk,
                folder.map(|f| f.fs.0.cast_signed()),
                folder.map(|f| f.ino.cast_signed())
            ],
        )?;
        Ok(())
    }

    /// Mount points below the root that were there when it was looked at.
    pub fn mounts(&self, pk: CollectionPk) -> Result<Vec<Mount>> {
        let conn = self.lock();
        let mut stmt = conn.prepare_cached("SELECT path, fs FROM mounts WHERE collection = ?1")?;
        let mut rows = stmt.query([pk])?;
        let mut out = Vec::new();
        while let Some(r) = rows.next()? {
            out.push(Mount {
                path: path_of(r.get(0)?)?,
                fs: FsId(r.get::<_, i64>(1)?.cast_unsigned()),
            });
        }
        Ok(out)
    }

    /// Remembers these mount points in place of all others.
    pub fn set_mounts(&self, pk: CollectionPk, mounts: &[Mount]) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.mounts");
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        tx.execute("DELETE FROM mounts WHERE collection = ?1", [pk])?;
        for m in mounts {
            tx.execute(
                "INSERT OR REPLACE INTO mounts VALUES(?1, ?2, ?3)",
                params![pk, m.path.as_bytes(), m.fs.0.cast_signed()],
            )?;
        }
        tx.commit()?;
        Ok(())
    }

    /// Notes, before anything of it is written to disk, that this root of the vault is; or (none) that it was finished.
    pub fn set_applying(&self, pk: CollectionPk, root: Option<&ObjectId>) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.applying");
        self.lock().execute(
            "UPDATE collections SET applying = ?2 WHERE pk = ?1",
            params![pk, root.map(|r| r.0)],
        )?;
        Ok(())
    }

    /// Notes whether everything that the vault's tree names is in packs of this collection.
    pub fn set_whole(&self, pk: CollectionPk, whole: bool) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.whole");
        self.lock().execute(
            "UPDATE collections SET whole = ?2 WHERE pk = ?1",
            params![pk, whole],
        )?;
        Ok(())
    }

    /// Notes, before it is made writable for the moment, that a directory (none: the root) had these permission bits.
    pub fn add_opened_dir(
        &self,
        pk: CollectionPk,
        path: Option<&RelPath>,
        mode: u16,
    ) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.opened-dir");
        self.lock().execute(
            "INSERT OR IGNORE INTO opened_dirs VALUES(?1, ?2, ?3)",
            params![pk, path.map_or(&b""[..], RelPath::as_bytes), mode],
        )?;
        Ok(())
    }

    /// Directories that were made writable and not put back yet; none is the root.
    pub fn opened_dirs(&self, pk: CollectionPk) -> Result<Vec<(Option<RelPath>, u16)>> {
        let conn = self.lock();
        let mut stmt =
            conn.prepare_cached("SELECT path, mode FROM opened_dirs WHERE collection = ?1")?;
        let mut rows = stmt.query([pk])?;
        let mut out = Vec::new();
        while let Some(r) = rows.next()? {
            let path: Vec<u8> = r.get(0)?;
            let path = if path.is_empty() {
                None
            } else {
                Some(path_of(path)?)
            };
            out.push((path, r.get(1)?));
        }
        Ok(out)
    }

    /// All of them are as they were.
    pub fn clear_opened_dirs(&self, pk: CollectionPk) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.opened-dirs-cleared");
        self.lock()
            .execute("DELETE FROM opened_dirs WHERE collection = ?1", [pk])?;
        Ok(())
    }
}
