//! Where chunks and directories come from: the local database, packs on disk, the server.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;

use simsync_protocol::client::split_fetch;
use simsync_sync::dir::WORK_FOLDER;
use simsync_sync::node::RelPath;
use simsync_vault::commit::PackRef;
use simsync_vault::ids::{CollectionId, ObjectId, PackId};
use simsync_vault::pack::{PackError, open_object, read_index};
use simsync_vault::seal::Kind;
use simsync_vault::tree::{Directory, chunk_id, directory_id};
use simsync_vault::treeops::DirSource;
use zeroize::Zeroizing;

use super::{Engine, EngineError, Session};
use crate::outstanding::Report;
use crate::store::{Found, PackState, StoredObject};

/// Packs up to this size are fetched as a whole whatever is needed of them, in bytes.
const SMALL_PACK: u64 = 256 << 10;
/// Paths that two roots may differ in, in bytes with what each of them costs: about two million.
const PATHS_MAX: usize = 256 << 20;
/// What a path costs besides its bytes.
const PATH_COST: usize = 64;
/// Paths that are named as set aside in one collection.
const ASIDE_MAX: usize = 1_000;
/// What was opened is written down in batches of this many.
const OPENED_MAX: usize = 4096;
/// Parts of packs that are kept in memory at most, in bytes; what is more is fetched as whole packs.
const PARTS_MAX: u64 = 64 << 20;

impl Engine {
    /// Fetches packs that are not on disk, checks them and keeps their indexes. What was fetched ahead of the card
    /// (B7) is on disk already and only indexed here. A pack that cannot be used is left out: whoever misses what is in it
    /// says so.
    pub fn fetch_packs(&self, session: &Session, packs: &[PackRef]) -> Result<(), EngineError> {
        let mut missing = Vec::new();
        for p in packs {
            let indexed = match self.config.pack_cache.read(p) {
                Some(bytes) => self.index_pack(p, &bytes)?.is_ok(),
                None => false,
            };
            if !indexed {
                missing.push(*p);
            }
        }
        let mut asked = split_fetch(missing.iter().copied());
        asked.reverse();
        while let Some(mut ids) = asked.pop() {
            let conn = &session.conn;
            let Some(packs) = self.net_if_there(conn, conn.fetch_packs(ids.clone()))? else {
                // One of them is to blame: the others are had without it.
                let rest = ids.split_off(ids.len() / 2);
                if ids.is_empty() {
                    tracing::warn!(pack = ?rest, "a pack is left out");
                } else {
                    asked.extend([rest, ids]);
                }
                continue;
            };
            for pack in packs {
                self.progress.bytes(pack.bytes.len() as u64);
                let Some(p) = missing.iter().find(|p| p.id == pack.id) else {
                    continue;
                };
                match self.index_pack(p, &pack.bytes)? {
                    Ok(()) => self.keep_pack(&pack.id, &pack.bytes),
                    Err(error) => tracing::warn!(pack = %p.id, %error, "a pack is left out"),
                }
            }
        }
        Ok(())
    }

    fn index_pack(&self, p: &PackRef, bytes: &[u8]) -> Result<Result<(), PackError>, EngineError> {
        match self.keys.with(|k| read_index(k, p, bytes))? {
            Ok(index) => {
                self.store.add_pack(p, PackState::Indexed, &index)?;
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// Keeps a pack on disk. That it cannot is no reason to stop: what is needed is fetched again.
    pub(super) fn keep_pack(&self, id: &PackId, bytes: &[u8]) {
        if let Err(error) = self.config.pack_cache.keep(id, bytes) {
            tracing::warn!(%error, "a pack is not kept");
        }
    }

    /// Fetches and indexes every pack that commits brought and this terminal wants.
    pub fn fetch_wanted(&self, session: &Session) -> Result<(), EngineError> {
        let wanted: Vec<PackRef> = self
            .store
            .packs_in(PackState::Wanted)?
            .into_iter()
            .map(|p| p.reference)
            .collect();
        self.progress.step("fetching", wanted.len());
        self.fetch_packs(session, &wanted)
    }
}

/// Reads the objects of one collection; keeps the packs that it reads from open.
pub struct Objects<'a> {
    engine: &'a Engine,
    session: &'a Session,
    collection: CollectionId,
    files: HashMap<PackId, File>,
    /// Sealed objects that were fetched without their pack, by pack and offset.
    parts: HashMap<(PackId, u32), Vec<u8>>,
    aside: Vec<Report>,
    /// What may still be named by differences, in bytes of paths.
    room: usize,
    /// What was opened, by pack, and what it was.
    opened: Vec<(i64, ObjectId, Found)>,
    /// Packs do not stay on this disk: only parts are fetched.
    keeps_nothing: bool,
}

impl<'a> Objects<'a> {
    /// For one session: the objects of one collection.
    pub fn new(engine: &'a Engine, session: &'a Session, collection: CollectionId) -> Self {
        Self {
            engine,
            session,
            collection,
            files: HashMap::new(),
            parts: HashMap::new(),
            aside: Vec::new(),
            room: PATHS_MAX,
            opened: Vec::new(),
            keeps_nothing: false,
        }
    }

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
        let all = self.engine.store.locations(&self.collection, id)?;
        let first = all.into_iter().next();
        first.ok_or_else(|| EngineError::MissingObject(what.to_owned()))
    }

    /// Fetches what holds these chunks and is not on disk, in few requests: a pack as a whole where much of it is needed, else
    /// the parts of it. Chunks that nobody knows are passed over.
    pub fn prepare<'i>(
        &mut self,
        ids: impl Iterator<Item = &'i ObjectId>,
    ) -> Result<(), EngineError> {
        let mut needed: BTreeMap<PackRef, BTreeMap<u32, u32>> = BTreeMap::new();
        for id in ids {
            let Ok(at) = self.locate(id, "a file") else {
                continue;
            };
            let pack = at.pack.reference;
            if !self.is_here(&pack) {
                needed.entry(pack).or_default().insert(at.offset, at.stored);
            }
        }
        self.parts.clear();
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

    fn is_here(&self, pack: &PackRef) -> bool {
        self.files.contains_key(&pack.id) || self.engine.config.pack_cache.open(pack).is_some()
    }

    fn fetch_whole(&mut self, packs: &[PackRef]) -> Result<(), EngineError> {
        self.engine.fetch_packs(self.session, packs)?;
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
            let conn = &self.session.conn;
            let call = conn.fetch_range(pack.id, start, len);
            let Some(bytes) = self.engine.net_if_there(conn, call)? else {
                continue;
            };
            self.engine.progress.bytes(bytes.len() as u64);
            let mut rest = &bytes[..];
            for (offset, stored) in run {
                let Some((part, after)) = rest.split_at_checked(stored as usize) else {
                    break;
                };
                self.parts.insert((pack.id, offset), part.to_vec());
                rest = after;
            }
        }
        Ok(())
    }

    /// The sealed bytes, and whether they come from this disk.
    fn stored_bytes(&mut self, at: &StoredObject) -> Result<(Vec<u8>, bool), EngineError> {
        let pack = at.pack.reference;
        if let Some(part) = self.parts.get(&(pack.id, at.offset)) {
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
        let part = self.parts.remove(&(pack.id, at.offset));
        let part = part.ok_or_else(|| EngineError::MissingObject("a pack".to_owned()))?;
        Ok((part, false))
    }

    /// From a pack on this disk. What cannot be read there is as good as not there.
    fn kept_bytes(&mut self, at: &StoredObject) -> Option<Vec<u8>> {
        let pack = at.pack.reference;
        if !self.files.contains_key(&pack.id) {
            let file = self.engine.config.pack_cache.open(&pack)?;
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
        self.engine.config.pack_cache.remove(pack);
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
        let all = self.engine.store.locations(&self.collection, id)?;
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
                        self.parts.remove(&(pack, at.offset));
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
        let keys = &self.engine.keys;
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

    /// Writes down what was opened: it can be relied on from now on.
    pub fn write_opened(&mut self) -> Result<(), EngineError> {
        let opened = std::mem::take(&mut self.opened);
        Ok(self.engine.store.set_found(&opened)?)
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
        self.engine.cancel.check()?;
        if self.room == 0 {
            return Err(EngineError::TooMuch);
        }
        if let Some(bytes) = self.engine.store.dir(id)? {
            if self.engine.keys.with(|k| directory_id(k, &bytes))? == *id {
                return Ok(Directory::from_bytes(&bytes)?);
            }
            tracing::warn!("a listing is damaged in this terminal's database; it is fetched anew");
        }
        let plain = self.open(Kind::Directory, id, "a directory")?;
        let dir = Directory::from_bytes(&plain)?;
        self.engine.store.add_dirs(&[(*id, plain.to_vec())])?;
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
