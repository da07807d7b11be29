//! Where chunks and directories come from: the local database, packs on disk, the server.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

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
use crate::store::{PackState, StoredObject};

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
    fn pack_path(&self, id: &PackId) -> PathBuf {
        self.config.pack_cache.join(id.to_string())
    }

    /// Fetches packs that are not on disk, checks them and keeps their indexes. What was fetched ahead of the card
    /// (B7) is on disk already and only indexed here. A pack that cannot be used is left out: whoever misses what is in it
    /// says so.
    pub fn fetch_packs(&self, session: &Session, packs: &[PackRef]) -> Result<(), EngineError> {
        let mut missing = Vec::new();
        for p in packs {
            let path = self.pack_path(&p.id);
            let here = std::fs::metadata(&path).is_ok_and(|m| m.len() == p.size);
            let bytes = here.then(|| std::fs::read(&path).ok()).flatten();
            let indexed = match bytes {
                Some(bytes) => self.index_pack(p, &bytes)?.is_ok(),
                None => false,
            };
            if !indexed {
                missing.push(*p);
            }
        }
        for ids in split_fetch(missing.iter().copied()) {
            for pack in self.net(session.conn.fetch_packs(ids))? {
                self.progress.bytes(pack.bytes.len() as u64);
                let Some(p) = missing.iter().find(|p| p.id == pack.id) else {
                    continue;
                };
                match self.index_pack(p, &pack.bytes)? {
                    Ok(()) => self.keep_pack_if_room(&pack.id, &pack.bytes)?,
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

    /// Puts a pack's bytes where [`Self::fetch_packs`] finds them. They are ciphertext.
    pub fn keep_pack_file(&self, id: &PackId, bytes: &[u8]) -> Result<(), EngineError> {
        let path = self.pack_path(id);
        let temp = path.with_extension("part");
        let kept = std::fs::write(&temp, bytes).and_then(|()| std::fs::rename(&temp, &path));
        kept.map_err(|e| {
            // Half a pack is of no use, and takes room.
            let _ = std::fs::remove_file(&temp);
            EngineError::io(&path)(e)
        })
    }

    /// The same, but a full disk is no reason to stop: what is needed is fetched again.
    fn keep_pack_if_room(&self, id: &PackId, bytes: &[u8]) -> Result<(), EngineError> {
        match self.keep_pack_file(id, bytes) {
            Err(error) if error.is_full() => {
                tracing::warn!(%error, "a pack is not kept");
                Ok(())
            }
            other => other,
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

    /// Removes packs from disk: everything that was needed from them is applied.
    pub fn clear_pack_files(&self) {
        let Ok(entries) = std::fs::read_dir(&self.config.pack_cache) else {
            return;
        };
        for entry in entries.flatten() {
            let _ = std::fs::remove_file(entry.path());
        }
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
    /// What was opened, by pack, and whether it was what it is called.
    opened: Vec<(i64, ObjectId, bool)>,
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
            if !self.files.contains_key(&pack.id) && !self.engine.pack_path(&pack.id).exists() {
                needed.entry(pack).or_default().insert(at.offset, at.stored);
            }
        }
        self.parts.clear();
        let (mut whole, mut room) = (Vec::new(), PARTS_MAX);
        for (pack, parts) in needed {
            let bytes: u64 = parts.values().map(|n| u64::from(*n)).sum();
            if is_whole_better(bytes, pack.size) || bytes > room {
                whole.push(pack);
                continue;
            }
            room -= bytes;
            self.fetch_parts(&pack, &parts)?;
        }
        self.engine.fetch_packs(self.session, &whole)
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
            let bytes = self.engine.net(conn.fetch_range(pack.id, start, len))?;
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

    fn stored_bytes(&mut self, at: &StoredObject) -> Result<Vec<u8>, EngineError> {
        let pack = at.pack.reference;
        if let Some(part) = self.parts.get(&(pack.id, at.offset)) {
            return Ok(part.clone());
        }
        let path = self.engine.pack_path(&pack.id);
        if !self.files.contains_key(&pack.id) {
            if !path.exists() && is_whole_better(u64::from(at.stored), pack.size) {
                self.engine.fetch_packs(self.session, &[pack])?;
            }
            if !path.exists() {
                let one = BTreeMap::from([(at.offset, at.stored)]);
                self.fetch_parts(&pack, &one)?;
                let part = self.parts.remove(&(pack.id, at.offset));
                return part.ok_or_else(|| EngineError::MissingObject("a pack".to_owned()));
            }
            if self.files.len() > 64 {
                self.files.clear();
            }
            let file = File::open(&path).map_err(EngineError::io(&path))?;
            self.files.insert(pack.id, file);
        }
        let file = self
            .files
            .get(&pack.id)
            .ok_or_else(|| EngineError::MissingObject("a pack".to_owned()))?;
        let mut bytes = vec![0; at.stored as usize];
        file.read_exact_at(&mut bytes, u64::from(at.offset))
            .map_err(EngineError::io(&path))?;
        Ok(bytes)
    }

    /// The plaintext of one object, from wherever it really is. What was kept on disk may have been damaged there: then it is
    /// fetched once more.
    fn open(
        &mut self,
        kind: Kind,
        id: &ObjectId,
        what: &str,
    ) -> Result<Zeroizing<Vec<u8>>, EngineError> {
        let all = self.engine.store.locations(&self.collection, id)?;
        let mut last = EngineError::MissingObject(what.to_owned());
        for at in all {
            for _ in 0..2 {
                match self.try_open(&at, kind, id) {
                    Err(error)
                        if error.concerns_one_path() || matches!(error, EngineError::Io { .. }) =>
                    {
                        let pack = at.pack.reference.id;
                        self.files.remove(&pack);
                        self.parts.remove(&(pack, at.offset));
                        let _ = std::fs::remove_file(self.engine.pack_path(&pack));
                        let another = matches!(error, EngineError::NotThis);
                        last = error;
                        if another {
                            break;
                        }
                    }
                    other => return other,
                }
            }
        }
        Err(last)
    }

    fn try_open(
        &mut self,
        at: &StoredObject,
        kind: Kind,
        id: &ObjectId,
    ) -> Result<Zeroizing<Vec<u8>>, EngineError> {
        let bytes = self.stored_bytes(at)?;
        let keys = &self.engine.keys;
        let plain = keys.with(|k| open_object(k, kind, id, &bytes))??;
        // Whoever sealed it could have sealed anything under this ID.
        let really = keys.with(|k| match kind {
            Kind::Directory => directory_id(k, &plain),
            _ => chunk_id(k, &plain),
        })?;
        self.note_opened(at.pack.pk, *id, really == *id)?;
        if really == *id {
            Ok(plain)
        } else {
            Err(EngineError::NotThis)
        }
    }

    fn note_opened(&mut self, pack: i64, id: ObjectId, good: bool) -> Result<(), EngineError> {
        self.opened.push((pack, id, good));
        if self.opened.len() >= OPENED_MAX || !good {
            self.write_opened()?;
        }
        Ok(())
    }

    /// Writes down what was opened: it can be relied on from now on.
    pub fn write_opened(&mut self) -> Result<(), EngineError> {
        let opened = std::mem::take(&mut self.opened);
        Ok(self.engine.store.set_proven(&opened)?)
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
            return Ok(Directory::from_bytes(&bytes)?);
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
