//! Where chunks and directories come from: the local database, packs on disk, the server.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use simsync_sync::dir::WORK_FOLDER;
use simsync_sync::node::RelPath;
use simsync_vault::commit::PackRef;
use simsync_vault::ids::{CollectionId, ObjectId, PackId};
use simsync_vault::pack::open_object;
use simsync_vault::seal::Kind;
use simsync_vault::tree::{Directory, chunk_id, directory_id};
use simsync_vault::treeops::DirSource;
use zeroize::Zeroizing;

use super::fetch::Packs;
use crate::engine::EngineError;
use crate::engine::cancel::{Cancel, KeyCell};
use crate::engine::session::Session;
use crate::outstanding::Report;
use crate::store::{Found, Store, StoredObject};

/// Packs up to this size are fetched as a whole whatever is needed of them, in bytes.
const SMALL_PACK: u64 = 256 << 10;
/// Paths that two roots may differ in, in bytes with what each of them costs: about two million.
const PATHS_MAX: usize = 256 << 20;
/// What a path costs besides its bytes.
const PATH_COST: usize = 64;
/// Paths that are named as set aside in one collection.
const ASIDE_MAX: usize = 1_000;
/// What was opened is written down in batches of this many: each writes nearly every page of the index once.
const OPENED_MAX: usize = 65_536;
/// Parts of packs that are kept in memory at most, in bytes; what is more is fetched as whole packs.
const PARTS_MAX: u64 = 64 << 20;

/// Chunks that are about to be read.
#[derive(Default)]
pub struct Prepared {
    /// Where each is said to be, at first.
    pub places: HashMap<ObjectId, StoredObject>,
    /// Sealed objects that were fetched without their pack, by pack and offset.
    pub parts: HashMap<(PackId, u32), Vec<u8>>,
}

/// The objects of the vault, as far as this terminal may read them.
#[derive(Clone)]
pub struct Vault {
    store: Arc<Store>,
    keys: KeyCell,
    packs: Packs,
    cancel: Cancel,
}

impl Vault {
    /// What these packs hold and these keys open, until this stops it.
    pub fn new(store: Arc<Store>, keys: KeyCell, packs: Packs, cancel: Cancel) -> Self {
        Self {
            store,
            keys,
            packs,
            cancel,
        }
    }

    /// For one session: the objects of one collection.
    pub fn objects<'a>(&self, session: &'a Session, collection: CollectionId) -> Objects<'a> {
        Objects {
            vault: self.clone(),
            session,
            collection,
            files: HashMap::new(),
            prepared: Prepared::default(),
            aside: Vec::new(),
            room: PATHS_MAX,
            opened: Vec::new(),
            keeps_nothing: false,
        }
    }
}

/// Reads the objects of one collection; keeps the packs that it reads from open.
pub struct Objects<'a> {
    vault: Vault,
    session: &'a Session,
    collection: CollectionId,
    files: HashMap<PackId, File>,
    prepared: Prepared,
    aside: Vec<Report>,
    /// What may still be named by differences, in bytes of paths.
    room: usize,
    /// What was opened, by pack, and what it was.
    opened: Vec<(i64, ObjectId, Found)>,
    /// Packs do not stay on this disk: only parts are fetched.
    keeps_nothing: bool,
}

impl Objects<'_> {
    /// Whether more was named than is followed. What was found until then is of no use: half of a difference is none.
    pub fn is_exhausted(&self) -> bool {
        self.room == 0
    }

    /// Begins to count anew.
    pub fn begin_anew(&mut self) {
        self.room = PATHS_MAX;
        self.aside.clear();
    }

    /// Paths that were set aside since the last call: of what is at and below them nothing is known.
    pub fn take_aside(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.aside)
    }

    fn locate(&self, id: &ObjectId, what: &str) -> Result<StoredObject, EngineError> {
        let all = self.vault.store.locations(&self.collection, id)?;
        let first = all.into_iter().next();
        first.ok_or_else(|| EngineError::MissingObject(what.to_owned()))
    }

    /// Fetches what holds these chunks and is not on disk, in few requests: a pack as a whole where much of it is needed, else
    /// the parts of it. Chunks that nobody knows are passed over.
    pub fn prepare<'i>(
        &mut self,
        ids: impl Iterator<Item = &'i ObjectId>,
    ) -> Result<(), EngineError> {
        let ids: Vec<ObjectId> = ids.copied().collect();
        self.prepared = Prepared {
            places: self.vault.store.first_locations(&self.collection, &ids)?,
            parts: HashMap::new(),
        };
        let mut needed: BTreeMap<PackRef, BTreeMap<u32, u32>> = BTreeMap::new();
        for at in self.prepared.places.values() {
            let parts = needed.entry(at.pack.reference).or_default();
            parts.insert(at.offset, at.stored);
        }
        needed.retain(|pack, _| !self.is_here(pack));
        let (mut whole, mut room) = (Vec::new(), PARTS_MAX);
        for (pack, parts) in needed {
            let bytes: u64 = parts.values().map(|n| u64::from(*n)).sum();
            let is_whole = is_whole_better(bytes, pack.size) || bytes > room;
            if is_whole && !self.keeps_nothing {
                whole.push(pack);
                continue;
            }
            if bytes > room {
                continue;
            }
            room -= bytes;
            self.fetch_parts(&pack, &parts)?;
        }
        self.fetch_whole(&whole)
    }

    /// What was prepared last.
    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    fn is_here(&self, pack: &PackRef) -> bool {
        self.files.contains_key(&pack.id) || self.vault.packs.kept(pack).is_some()
    }

    fn fetch_whole(&mut self, packs: &[PackRef]) -> Result<(), EngineError> {
        self.vault.packs.fetch(self.session, packs)?;
        // To fetch them whole again and again, for each object in them, would be worse than to fetch objects.
        self.keeps_nothing |= !packs.is_empty() && !packs.iter().any(|p| self.is_here(p));
        Ok(())
    }

    /// Ranges of one pack; neighbours in one request.
    fn fetch_parts(
        &mut self,
        pack: &PackRef,
        parts: &BTreeMap<u32, u32>,
    ) -> Result<(), EngineError> {
        let mut runs: Vec<Vec<(u32, u32)>> = Vec::new();
        for (offset, stored) in parts {
            let next = |run: &Vec<(u32, u32)>| run.last().map(|(o, n)| o.saturating_add(*n));
            match runs.last_mut() {
                Some(run) if next(run) == Some(*offset) => run.push((*offset, *stored)),
                _ => runs.push(vec![(*offset, *stored)]),
            }
        }
        for run in runs {
            let start = run.first().map_or(0, |(o, _)| u64::from(*o));
            let len: u64 = run.iter().map(|(_, n)| u64::from(*n)).sum();
            let got = self.vault.packs.range(self.session, pack.id, start, len)?;
            let Some(bytes) = got else {
                continue;
            };
            let mut rest = &bytes[..];
            for (offset, stored) in run {
                let Some((part, after)) = rest.split_at_checked(stored as usize) else {
                    break;
                };
                self.prepared.parts.insert((pack.id, offset), part.to_vec());
                rest = after;
            }
        }
        Ok(())
    }

    /// The sealed bytes, and whether they come from this disk.
    fn stored_bytes(&mut self, at: &StoredObject) -> Result<(Vec<u8>, bool), EngineError> {
        let pack = at.pack.reference;
        if let Some(part) = self.prepared.parts.get(&(pack.id, at.offset)) {
            return Ok((part.clone(), false));
        }
        if let Some(bytes) = self.kept_bytes(at) {
            return Ok((bytes, true));
        }
        if !self.keeps_nothing && is_whole_better(u64::from(at.stored), pack.size) {
            self.fetch_whole(&[pack])?;
            if let Some(bytes) = self.kept_bytes(at) {
                return Ok((bytes, false));
            }
        }
        self.fetch_parts(&pack, &BTreeMap::from([(at.offset, at.stored)]))?;
        let part = self.prepared.parts.remove(&(pack.id, at.offset));
        let part = part.ok_or_else(|| EngineError::MissingObject("a pack".to_owned()))?;
        Ok((part, false))
    }

    /// From a pack on this disk. What cannot be read there is as good as not there.
    fn kept_bytes(&mut self, at: &StoredObject) -> Option<Vec<u8>> {
        let pack = at.pack.reference;
        if !self.files.contains_key(&pack.id) {
            let file = self.vault.packs.kept(&pack)?;
            if self.files.len() > 64 {
                self.files.clear();
            }
            self.files.insert(pack.id, file);
        }
        let mut bytes = vec![0; at.stored as usize];
        let file = self.files.get(&pack.id)?;
        match file.read_exact_at(&mut bytes, u64::from(at.offset)) {
            Ok(()) => Some(bytes),
            Err(error) => {
                tracing::warn!(pack = %pack.id, %error, "a pack on disk cannot be read");
                self.forget_kept(&pack.id);
                None
            }
        }
    }

    fn forget_kept(&mut self, pack: &PackId) {
        self.files.remove(pack);
        self.vault.packs.forget(pack);
    }

    /// The plaintext of one object, from wherever it really is. What was kept on disk may have been damaged there: then it is
    /// fetched once more. What does not open as the server has it is tried last from now on, and what opens to something else
    /// not at all: whoever puts many such copies before the good one hides it from nobody for long.
    fn open(
        &mut self,
        kind: Kind,
        id: &ObjectId,
        what: &str,
    ) -> Result<Zeroizing<Vec<u8>>, EngineError> {
        let all = self.vault.store.locations(&self.collection, id)?;
        let mut last = EngineError::MissingObject(what.to_owned());
        for at in all {
            loop {
                let (bytes, is_from_disk) = match self.stored_bytes(&at) {
                    Ok(found) => found,
                    Err(error) if error.concerns_one_path() => {
                        last = error;
                        break;
                    }
                    Err(error) => return Err(error),
                };
                match self.opened(&at, kind, id, &bytes) {
                    Err(error) if error.concerns_one_path() => {
                        let pack = at.pack.reference.id;
                        self.forget_kept(&pack);
                        self.prepared.parts.remove(&(pack, at.offset));
                        if is_from_disk {
                            continue;
                        }
                        let found = match error {
                            EngineError::NotThis => Found::Other,
                            _ => Found::Damaged,
                        };
                        self.note_opened(at.pack.pk, *id, found)?;
                        last = error;
                        break;
                    }
                    other => return other,
                }
            }
        }
        Err(last)
    }

    fn opened(
        &mut self,
        at: &StoredObject,
        kind: Kind,
        id: &ObjectId,
        bytes: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, EngineError> {
        let keys = &self.vault.keys;
        let plain = keys.with(|k| open_object(k, kind, id, bytes))??;
        // Whoever sealed it could have sealed anything under this ID.
        let really = keys.with(|k| match kind {
            Kind::Directory => directory_id(k, &plain),
            _ => chunk_id(k, &plain),
        })?;
        if really != *id {
            return Err(EngineError::NotThis);
        }
        self.note_opened(at.pack.pk, *id, Found::Good)?;
        Ok(plain)
    }

    fn note_opened(&mut self, pack: i64, id: ObjectId, found: Found) -> Result<(), EngineError> {
        self.opened.push((pack, id, found));
        if self.opened.len() >= OPENED_MAX || found != Found::Good {
            self.write_opened()?;
        }
        Ok(())
    }

    /// The same, for objects that were opened elsewhere.
    pub fn note_all_opened(
        &mut self,
        opened: Vec<(i64, ObjectId, Found)>,
    ) -> Result<(), EngineError> {
        self.opened.extend(opened);
        if self.opened.len() >= OPENED_MAX {
            self.write_opened()?;
        }
        Ok(())
    }

    /// Writes down what was opened: it can be relied on from now on.
    pub fn write_opened(&mut self) -> Result<(), EngineError> {
        let mut opened = std::mem::take(&mut self.opened);
        // In the order of the index.
        opened.sort_unstable_by_key(|(pack, id, _)| (*id, *pack));
        Ok(self.vault.store.set_found(&opened)?)
    }

    /// A chunk's plaintext.
    pub fn chunk(&mut self, id: &ObjectId) -> Result<Zeroizing<Vec<u8>>, EngineError> {
        self.open(Kind::Chunk, id, "a file")
    }

    /// Length of a chunk's plaintext, in bytes, if the vault's packs tell.
    pub fn chunk_len(&self, id: &ObjectId) -> Option<u64> {
        self.locate(id, "a file").ok().map(|at| u64::from(at.plain))
    }
}

fn is_whole_better(needed: u64, size: u64) -> bool {
    size <= SMALL_PACK || needed.saturating_mul(2) >= size
}

impl DirSource for Objects<'_> {
    type Error = EngineError;

    fn directory(&mut self, id: &ObjectId) -> Result<Directory, EngineError> {
        self.vault.cancel.check()?;
        if self.room == 0 {
            return Err(EngineError::TooMuch);
        }
        if let Some(bytes) = self.vault.store.dir(id)? {
            if self.vault.keys.with(|k| directory_id(k, &bytes))? == *id {
                return Ok(Directory::from_bytes(&bytes)?);
            }
            tracing::warn!("a listing is damaged in this terminal's database; it is fetched anew");
        }
        let plain = self.open(Kind::Directory, id, "a directory")?;
        let dir = Directory::from_bytes(&plain)?;
        self.vault.store.add_dirs(&[(*id, plain.to_vec())])?;
        Ok(dir)
    }

    fn admit(&mut self, path: &[u8]) -> Result<(), EngineError> {
        let path = RelPath::new(path)?;
        if path.names().any(|name| name == WORK_FOLDER.as_bytes()) {
            return Err(EngineError::Reserved(path.to_string()));
        }
        // A few listings that name each other again and again make as many paths as one likes.
        self.room = self.room.saturating_sub(path.as_bytes().len() + PATH_COST);
        if self.room == 0 {
            return Err(EngineError::TooMuch);
        }
        Ok(())
    }

    fn set_aside(&mut self, path: &[u8], error: EngineError) -> Result<(), EngineError> {
        let Some(code) = error.of_one_path() else {
            return Err(error);
        };
        if self.aside.len() >= ASIDE_MAX {
            return Ok(());
        }
        tracing::warn!(path = %String::from_utf8_lossy(path), %error, "set aside");
        self.aside.push(Report {
            code,
            path: path.to_vec(),
            detail: error.to_string(),
        });
        Ok(())
    }
}
