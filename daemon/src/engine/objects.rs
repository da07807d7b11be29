//! Where chunks and directories come from: the local database, packs on disk, the server.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use simsync_protocol::client::split_fetch;
use simsync_vault::commit::PackRef;
use simsync_vault::ids::{ObjectId, PackId};
use simsync_vault::pack::{open_object, read_index};
use simsync_vault::seal::Kind;
use simsync_vault::tree::Directory;
use simsync_vault::treeops::DirSource;
use zeroize::Zeroizing;

use super::{Engine, EngineError, Session};
use crate::store::{PackState, StoredObject};

impl Engine {
    fn pack_path(&self, id: &PackId) -> PathBuf {
        self.config.pack_cache.join(id.to_string())
    }

    /// Fetches packs that are not on disk, checks them and keeps their indexes. What was fetched ahead of the card
    /// (B7) is on disk already and only indexed here.
    pub fn fetch_packs(&self, session: &Session, packs: &[PackRef]) -> Result<(), EngineError> {
        let missing: Vec<PackRef> = packs
            .iter()
            .filter(|p| {
                std::fs::metadata(self.pack_path(&p.id)).map_or(true, |m| m.len() != p.size)
            })
            .copied()
            .collect();
        for ids in split_fetch(missing) {
            for pack in self.net(session.conn.fetch_packs(ids))? {
                self.progress.bytes(pack.bytes.len() as u64);
                self.keep_pack_file(&pack.id, &pack.bytes)?;
            }
        }
        for p in packs {
            let path = self.pack_path(&p.id);
            let bytes = std::fs::read(&path).map_err(EngineError::io(&path))?;
            let index = match self.keys.with(|k| read_index(k, p, &bytes))? {
                Ok(index) => index,
                Err(error) => {
                    // The next try fetches it anew.
                    let _ = std::fs::remove_file(&path);
                    return Err(error.into());
                }
            };
            self.store.add_pack(p, PackState::Indexed, &index)?;
        }
        Ok(())
    }

    /// Puts a pack's bytes where [`Self::fetch_packs`] finds them. They are ciphertext.
    pub fn keep_pack_file(&self, id: &PackId, bytes: &[u8]) -> Result<(), EngineError> {
        let path = self.pack_path(id);
        let temp = path.with_extension("part");
        std::fs::write(&temp, bytes).map_err(EngineError::io(&temp))?;
        std::fs::rename(&temp, &path).map_err(EngineError::io(&path))
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

/// Reads objects; keeps the packs that it reads from open.
pub struct Objects<'a> {
    engine: &'a Engine,
    session: &'a Session,
    files: HashMap<PackId, File>,
}

impl<'a> Objects<'a> {
    /// For one session.
    pub fn new(engine: &'a Engine, session: &'a Session) -> Self {
        Self {
            engine,
            session,
            files: HashMap::new(),
        }
    }

    fn locate(&self, id: &ObjectId, what: &str) -> Result<StoredObject, EngineError> {
        self.engine
            .store
            .object(id)?
            .ok_or_else(|| EngineError::MissingObject(what.to_owned()))
    }

    /// Fetches the packs that hold these chunks and are not on disk, in few requests.
    pub fn prepare<'i>(
        &mut self,
        ids: impl Iterator<Item = &'i ObjectId>,
    ) -> Result<(), EngineError> {
        let mut packs = BTreeSet::new();
        for id in ids {
            let at = self.locate(id, "a file")?;
            if !self.files.contains_key(&at.pack.reference.id) {
                packs.insert(at.pack.reference);
            }
        }
        let packs: Vec<PackRef> = packs
            .into_iter()
            .filter(|p| !self.engine.pack_path(&p.id).exists())
            .collect();
        self.engine.fetch_packs(self.session, &packs)
    }

    fn stored_bytes(&mut self, at: &StoredObject) -> Result<Vec<u8>, EngineError> {
        let pack = at.pack.reference;
        let path = self.engine.pack_path(&pack.id);
        if !self.files.contains_key(&pack.id) {
            if !path.exists() {
                self.engine.fetch_packs(self.session, &[pack])?;
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

    /// A chunk's plaintext.
    pub fn chunk(&mut self, id: &ObjectId) -> Result<Zeroizing<Vec<u8>>, EngineError> {
        let at = self.locate(id, "a file")?;
        let bytes = self.stored_bytes(&at)?;
        Ok(self
            .engine
            .keys
            .with(|k| open_object(k, Kind::Chunk, id, &bytes))??)
    }
}

impl DirSource for Objects<'_> {
    type Error = EngineError;

    fn directory(&mut self, id: &ObjectId) -> Result<Directory, EngineError> {
        if let Some(bytes) = self.engine.store.dir(id)? {
            return Ok(Directory::from_bytes(&bytes)?);
        }
        let at = self.locate(id, "a directory")?;
        let bytes = self.stored_bytes(&at)?;
        let plain = self
            .engine
            .keys
            .with(|k| open_object(k, Kind::Directory, id, &bytes))??;
        let dir = Directory::from_bytes(&plain)?;
        self.engine.store.add_dirs(&[(*id, plain.to_vec())])?;
        Ok(dir)
    }
}
