//! Packs, the objects in them, and listings of directories.

use std::cmp::Reverse;
use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
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
    /// It opens, and is what the ID stands for.
    Good,
    /// It opens, to something else: it is forgotten.
    Other,
    /// It does not open. The server may be mended one day.
    Damaged,
}

/// Objects that are looked up in one go.
const LOOKUPS: usize = 1024;

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

/// Copies of an object, those first that are to be tried first. At most 16 are tried at once: those that do not open are tried
/// last the next time.
const LOCATIONS: &str =
    "SELECT p.pk, p.id, p.collection, p.size, o.kind, o.start, o.stored, o.plain
     FROM objects o JOIN packs p ON p.pk = o.pack WHERE o.id = ?1
     ORDER BY o.proven < 0, p.collection = ?2 DESC, o.proven DESC, o.pack DESC LIMIT 16";

/// A pack by its row number, of those that were looked up before or of the database.
fn pack_by_pk(
    conn: &Connection,
    known: &mut HashMap<i64, PackRow>,
    pk: i64,
) -> Result<Option<PackRow>> {
    if let Some(pack) = known.get(&pk) {
        return Ok(Some(*pack));
    }
    let row = conn
        .prepare_cached("SELECT pk, id, collection, size FROM packs WHERE pk = ?1")?
        .query_row([pk], pack_row)
        .optional()?;
    let pack = row.map(to_pack).transpose()?;
    known.extend(pack.map(|pack| (pk, pack)));
    Ok(pack)
}

fn put_packs(
    conn: &Connection,
    packs: &[(PackRef, &[IndexEntry])],
    state: PackState,
) -> Result<()> {
    let mut entries: Vec<(i64, &IndexEntry)> = Vec::new();
    for (pack, index) in packs {
        conn.prepare_cached(
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
        let pk: i64 = conn
            .prepare_cached("SELECT pk FROM packs WHERE id = ?1")?
            .query_row([pack.id.0], |r| r.get(0))?;
        entries.extend(index.iter().map(|e| (pk, e)));
    }
    // In the order of the index.
    entries.sort_unstable_by_key(|(pk, e)| (e.id, *pk));
    let mut insert = conn.prepare_cached(
        "INSERT INTO objects VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(id, pack) DO NOTHING",
    )?;
    let own = state == PackState::Uploaded;
    for (pk, e) in entries {
        insert.execute(params![
            e.id.0, pk, e.kind, e.offset, e.stored, e.plain, own
        ])?;
    }
    Ok(())
}

impl Store {
    /// Keeps a pack and its index in one transaction. One that we uploaded, and that is read back before a commit names it,
    /// is still to be named.
    pub fn add_pack(&self, pack: &PackRef, state: PackState, index: &[IndexEntry]) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.pack");
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        put_packs(&tx, std::slice::from_ref(&(*pack, index)), state)?;
        tx.commit()?;
        Ok(())
    }

    /// Keeps packs that were fetched, with their indexes, in one transaction: each writes nearly every page of the index of
    /// objects. They can be fetched again.
    pub fn add_fetched(&self, packs: &[(PackRef, Vec<IndexEntry>)]) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.packs-fetched");
        let packs: Vec<(PackRef, &[IndexEntry])> = packs
            .iter()
            .map(|(pack, index)| (*pack, &index[..]))
            .collect();
        self.write_unhurried(|tx| put_packs(tx, &packs, PackState::Indexed))
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
        let mut stmt = conn.prepare_cached(LOCATIONS)?;
        let mut rows = stmt.query(params![id.0, collection.0])?;
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

    /// The first of [`Self::locations`] of each object that is known.
    pub fn first_locations(
        &self,
        collection: &CollectionId,
        ids: &[ObjectId],
    ) -> Result<HashMap<ObjectId, StoredObject>> {
        let mut out = HashMap::with_capacity(ids.len());
        let mut packs: HashMap<i64, PackRow> = HashMap::new();
        // Nobody else waits long for the connection.
        for some in ids.chunks(LOOKUPS) {
            let conn = self.lock();
            // Of one transaction: else each look takes the locks of its own.
            let tx = conn.unchecked_transaction()?;
            let mut copies = tx.prepare_cached(
                "SELECT pack, kind, start, stored, plain, proven FROM objects WHERE id = ?1",
            )?;
            for id in some {
                let mut best = None;
                let mut rows = copies.query([id.0])?;
                while let Some(r) = rows.next()? {
                    let (pk, proven): (i64, i64) = (r.get(0)?, r.get(5)?);
                    let Some(pack) = pack_by_pk(&tx, &mut packs, pk)? else {
                        continue;
                    };
                    let is_others = pack.reference.collection != *collection;
                    let order = (proven < 0, is_others, Reverse(proven), Reverse(pk));
                    if best.as_ref().is_none_or(|(best, _)| order < *best) {
                        let (kind, offset) = (r.get(1)?, r.get(2)?);
                        let (stored, plain) = (r.get(3)?, r.get(4)?);
                        let at = StoredObject {
                            pack,
                            kind,
                            offset,
                            stored,
                            plain,
                        };
                        best = Some((order, at));
                    }
                }
                out.extend(best.map(|(_, at)| (*id, at)));
            }
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
                 WHERE o.id = ?1 AND p.collection = ?2 AND o.proven = 1",
            )?
            .exists(params![id.0, collection.0])?)
    }

    /// What objects were found to be, by pack.
    pub fn set_found(&self, found: &[(i64, ObjectId, Found)]) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.found");
        if found.is_empty() {
            return Ok(());
        }
        self.write_unhurried(|tx| {
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
            Ok(())
        })
    }

    /// Whether an object is known in the packs of this collection, and not known to be damaged.
    pub fn has_object(&self, collection: &CollectionId, id: &ObjectId) -> Result<bool> {
        Ok(self
            .lock()
            .prepare_cached(
                "SELECT 1 FROM objects o JOIN packs p ON p.pk = o.pack
                 WHERE o.id = ?1 AND p.collection = ?2 AND o.proven <> -1",
            )?
            .exists(params![id.0, collection.0])?)
    }

    /// Those of these objects that are not in the packs of this collection, as [`Self::has_object`] tells.
    pub fn lacking(&self, collection: &CollectionId, ids: &[ObjectId]) -> Result<Vec<ObjectId>> {
        let mut out = Vec::new();
        let mut packs: HashMap<i64, PackRow> = HashMap::new();
        for some in ids.chunks(LOOKUPS) {
            let conn = self.lock();
            let tx = conn.unchecked_transaction()?;
            let mut copies =
                tx.prepare_cached("SELECT pack FROM objects WHERE id = ?1 AND proven <> -1")?;
            for id in some {
                let mut rows = copies.query([id.0])?;
                let mut is_there = false;
                while let (false, Some(r)) = (is_there, rows.next()?) {
                    let pack = pack_by_pk(&tx, &mut packs, r.get(0)?)?;
                    is_there = pack.is_some_and(|p| p.reference.collection == *collection);
                }
                if !is_there {
                    out.push(*id);
                }
            }
        }
        Ok(out)
    }

    /// Keeps listings of directories, in place of what stands there: an ID is of one content only.
    pub fn add_dirs(&self, dirs: &[(ObjectId, Vec<u8>)]) -> Result<()> {
        let _step = simsync_failpoint::step("daemon.store.listings");
        self.write_unhurried(|tx| {
            let mut insert = tx.prepare_cached("INSERT OR REPLACE INTO dirs VALUES(?1, ?2)")?;
            for (id, bytes) in dirs {
                insert.execute(params![id.0, bytes])?;
            }
            Ok(())
        })
    }

    /// Bytes of the listing with this ID, not sealed; none if it was not fetched or written here. The caller checks the hash.
    pub fn dir(&self, id: &ObjectId) -> Result<Option<Vec<u8>>> {
        Ok(self
            .lock()
            .prepare_cached("SELECT bytes FROM dirs WHERE id = ?1")?
            .query_row([id.0], |r| r.get(0))
            .optional()?)
    }
}
