//! Packs, the objects in them, and listings of directories.

use rusqlite::{OptionalExtension, params};
use simsync_vault::commit::PackRef;
use simsync_vault::ids::{CollectionId, ObjectId, PackId};
use simsync_vault::pack::IndexEntry;

use super::{Result, Store, damaged};

/// What became of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackState {
    /// Durable at the server, named by no commit yet.
    Uploaded = 0,
    /// Named by a commit; its index is known here.
    Indexed = 1,
    /// Named by a commit; not fetched yet.
    Wanted = 2,
}

/// A pack as this terminal knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackRow {
    /// Row number.
    pub pk: i64,
    /// Name, collection, size.
    pub reference: PackRef,
}

/// What stands in a pack under an object's ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// What it is called.
    Good,
    /// It opens, to something else: it is forgotten.
    Other,
    /// It does not open. The server may be mended one day.
    Damaged,
}

/// Copies of an object that are tried at once. Those that do not open are tried last the next time.
const COPIES_MAX: i64 = 16;

/// Column `proven`: opened, or put there by this terminal.
const PROVEN: i64 = 1;
/// Column `proven`: did not open.
const DAMAGED: i64 = -1;

/// Where an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredObject {
    /// The pack that holds it.
    pub pack: PackRow,
    /// Kind as in [`IndexEntry`].
    pub kind: u8,
    /// Offset in the pack, in bytes.
    pub offset: u32,
    /// Stored length, in bytes.
    pub stored: u32,
    /// Length of the plaintext, in bytes.
    pub plain: u32,
}

fn pack_row(r: &rusqlite::Row<'_>) -> rusqlite::Result<(i64, Vec<u8>, Vec<u8>, i64)> {
    Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
}

fn to_pack(row: (i64, Vec<u8>, Vec<u8>, i64)) -> Result<PackRow> {
    let (pk, id, collection, size) = row;
    Ok(PackRow {
        pk,
        reference: PackRef {
            id: PackId::from_slice(&id).map_err(|e| damaged(&e.to_string()))?,
            collection: CollectionId::from_slice(&collection)
                .map_err(|e| damaged(&e.to_string()))?,
            size: u64::try_from(size).unwrap_or(0),
        },
    })
}

impl Store {
    /// Keeps a pack and its index in one transaction. One that we uploaded, and that is read back before a commit names it,
    /// is still to be named.
    pub fn add_pack(&self, pack: &PackRef, state: PackState, index: &[IndexEntry]) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.pack");
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        tx.prepare_cached(
            "INSERT INTO packs(id, collection, size, state) VALUES(?1, ?2, ?3, ?4)
             ON CONFLICT(id) DO UPDATE SET state = excluded.state WHERE state <> ?5",
        )?
        .execute(params![
            pack.id.0,
            pack.collection.0,
            i64::try_from(pack.size).unwrap_or(i64::MAX),
            state as i64,
            PackState::Uploaded as i64
        ])?;
        let pk: i64 = tx.query_row("SELECT pk FROM packs WHERE id = ?1", [pack.id.0], |r| {
            r.get(0)
        })?;
        {
            let mut insert = tx.prepare_cached(
                "INSERT INTO objects VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(id, pack) DO NOTHING",
            )?;
            for e in index {
                let own = state == PackState::Uploaded;
                insert.execute(params![
                    e.id.0, pk, e.kind, e.offset, e.stored, e.plain, own
                ])?;
            }
        }
        tx.commit()?;
        Ok(())
    }

    /// Packs in a state, in the order in which they came.
    pub fn packs_in(&self, state: PackState) -> Result<Vec<PackRow>> {
        let conn = self.lock();
        let mut stmt = conn.prepare_cached(
            "SELECT pk, id, collection, size FROM packs WHERE state = ?1 ORDER BY pk",
        )?;
        let rows = stmt.query_map([state as i64], pack_row)?;
        rows.map(|r| to_pack(r?)).collect()
    }

    /// Moves packs to a state.
    pub fn set_pack_state(&self, packs: &[PackId], state: PackState) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.pack-state");
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        for p in packs {
            tx.execute(
                "UPDATE packs SET state = ?2 WHERE id = ?1",
                params![p.0, state as i64],
            )?;
        }
        tx.commit()?;
        Ok(())
    }

    /// A commit names these: those that were uploaded by us are part of the vault now.
    pub fn packs_committed(&self, packs: &[PackId]) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.packs-committed");
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        for p in packs {
            tx.execute(
                "UPDATE packs SET state = ?2 WHERE id = ?1 AND state = ?3",
                params![p.0, PackState::Indexed as i64, PackState::Uploaded as i64],
            )?;
        }
        tx.commit()?;
        Ok(())
    }

    /// Forgets packs and what they hold: the server does not have them (any longer).
    pub fn forget_packs(&self, packs: &[PackId]) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.packs-forgotten");
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        for p in packs {
            tx.execute(
                "DELETE FROM objects WHERE pack IN (SELECT pk FROM packs WHERE id = ?1)",
                [p.0],
            )?;
            tx.execute("DELETE FROM packs WHERE id = ?1", [p.0])?;
        }
        tx.commit()?;
        Ok(())
    }

    /// Whether a pack is known here, in whatever state.
    pub fn has_pack(&self, id: &PackId) -> Result<bool> {
        Ok(self
            .lock()
            .prepare_cached("SELECT 1 FROM packs WHERE id = ?1")?
            .exists([id.0])?)
    }

    /// Where an object is in the packs of this collection, if it is known there.
    pub fn object(&self, collection: &CollectionId, id: &ObjectId) -> Result<Option<StoredObject>> {
        let all = self.locations(collection, id)?;
        Ok(all
            .into_iter()
            .find(|at| at.pack.reference.collection == *collection))
    }

    /// Where an object is said to be: packs of this collection first, what is proven, and last what did not open. Equal IDs are equal bytes,
    /// so other collections' packs are good for reading; only what is in packs of the collection itself can be had by every
    /// terminal that syncs it.
    pub fn locations(&self, collection: &CollectionId, id: &ObjectId) -> Result<Vec<StoredObject>> {
        let conn = self.lock();
        let mut stmt = conn.prepare_cached(
            "SELECT p.pk, p.id, p.collection, p.size, o.kind, o.start, o.stored, o.plain
             FROM objects o JOIN packs p ON p.pk = o.pack WHERE o.id = ?1
             ORDER BY o.proven < 0, p.collection = ?2 DESC, o.proven DESC, o.pack DESC LIMIT ?3",
        )?;
        let mut rows = stmt.query(params![id.0, collection.0, COPIES_MAX])?;
        let mut out = Vec::new();
        while let Some(r) = rows.next()? {
            out.push(StoredObject {
                pack: to_pack(pack_row(r)?)?,
                kind: r.get(4)?,
                offset: r.get(5)?,
                stored: r.get(6)?,
                plain: r.get(7)?,
            });
        }
        Ok(out)
    }

    /// Whether an object is in the packs of this collection for certain: whoever sealed it could have sealed anything under
    /// its ID, so what nobody here opened is not relied on.
    pub fn has_proven(&self, collection: &CollectionId, id: &ObjectId) -> Result<bool> {
        Ok(self
            .lock()
            .prepare_cached(
                "SELECT 1 FROM objects o JOIN packs p ON p.pk = o.pack
                 WHERE o.id = ?1 AND p.collection = ?2 AND o.proven = ?3",
            )?
            .exists(params![id.0, collection.0, PROVEN])?)
    }

    /// What objects were found to be, by pack.
    pub fn set_found(&self, found: &[(i64, ObjectId, Found)]) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.found");
        if found.is_empty() {
            return Ok(());
        }
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        {
            let mut mark = tx.prepare_cached(
                "UPDATE objects SET proven = ?3 WHERE id = ?1 AND pack = ?2 AND proven <> ?3",
            )?;
            let mut forget =
                tx.prepare_cached("DELETE FROM objects WHERE id = ?1 AND pack = ?2")?;
            for (pack, id, found) in found {
                match found {
                    Found::Good => mark.execute(params![id.0, pack, PROVEN])?,
                    Found::Damaged => mark.execute(params![id.0, pack, DAMAGED])?,
                    Found::Other => forget.execute(params![id.0, pack])?,
                };
            }
        }
        tx.commit()?;
        Ok(())
    }

    /// Whether an object is known in the packs of this collection, and not known to be damaged.
    pub fn has_object(&self, collection: &CollectionId, id: &ObjectId) -> Result<bool> {
        Ok(self
            .lock()
            .prepare_cached(
                "SELECT 1 FROM objects o JOIN packs p ON p.pk = o.pack
                 WHERE o.id = ?1 AND p.collection = ?2 AND o.proven <> ?3",
            )?
            .exists(params![id.0, collection.0, DAMAGED])?)
    }

    /// Keeps listings of directories, in place of what stands there: an ID is of one content only.
    pub fn add_dirs(&self, dirs: &[(ObjectId, Vec<u8>)]) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.listings");
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        {
            let mut insert = tx.prepare_cached("INSERT OR REPLACE INTO dirs VALUES(?1, ?2)")?;
            for (id, bytes) in dirs {
                insert.execute(params![id.0, bytes])?;
            }
        }
        tx.commit()?;
        Ok(())
    }

    /// A listing.
    pub fn dir(&self, id: &ObjectId) -> Result<Option<Vec<u8>>> {
        Ok(self
            .lock()
            .prepare_cached("SELECT bytes FROM dirs WHERE id = ?1")?
            .query_row([id.0], |r| r.get(0))
            .optional()?)
    }
}
