//! Packs come from the server, and their indexes into the database.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use simsync_protocol::client::split_fetch;
use simsync_vault::commit::PackRef;
use simsync_vault::ids::PackId;
use simsync_vault::pack::{IndexEntry, PackError, read_index};

use super::pack_cache::PackCache;
use crate::engine::EngineError;
use crate::engine::cancel::KeyCell;
use crate::engine::progress::Progress;
use crate::engine::session::Session;
use crate::engine::wire::Wire;
use crate::store::{PackState, Store};

/// Indexes of packs are written down in batches of this many objects.
const INDEXED_MAX: usize = 65_536;

/// Packs that this terminal may read: at the server, and kept on this disk.
#[derive(Clone)]
pub struct Packs {
    store: Arc<Store>,
    keys: KeyCell,
    cache: PackCache,
    wire: Wire,
    progress: Arc<Progress>,
}

impl Packs {
    /// Kept in this cache, and listed in this database.
    pub fn new(
        store: Arc<Store>,
        keys: KeyCell,
        cache: PackCache,
        wire: Wire,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            store,
            keys,
            cache,
            wire,
            progress,
        }
    }

    /// A pack that is on this disk, to be read from. Its content is not checked.
    pub fn kept(&self, pack: &PackRef) -> Option<File> {
        self.cache.open(pack)
    }

    /// What is kept of a pack is of no use.
    pub fn forget(&self, pack: &PackId) {
        self.cache.remove(pack);
    }

    /// Nothing is kept any more.
    pub fn clear(&self) {
        self.cache.clear();
    }

    /// So many bytes of a pack from the server, from `start` on. None: it does not give them, and may give others.
    pub fn range(
        &self,
        session: &Session,
        pack: PackId,
        start: u64,
        len: u64,
    ) -> Result<Option<Bytes>, EngineError> {
        let conn = &session.conn;
        let got = self
            .wire
            .net_if_there(conn, conn.fetch_range(pack, start, len))?;
        if let Some(bytes) = &got {
            self.progress.bytes(bytes.len() as u64);
        }
        Ok(got)
    }

    /// Fetches packs that are not on disk, checks them and keeps their indexes. What was fetched ahead of the card
    /// (B7) is on disk already and only indexed here. A pack that cannot be used is left out: whoever misses what is in it
    /// says so.
    pub fn fetch(&self, session: &Session, packs: &[PackRef]) -> Result<(), EngineError> {
        let mut indexed = Indexed::new(self);
        let fetched = self.fetch_and_index(session, packs, &mut indexed);
        // What came before the stop is known, too.
        indexed.write().and(fetched)
    }

    fn fetch_and_index(
        &self,
        session: &Session,
        packs: &[PackRef],
        indexed: &mut Indexed<'_>,
    ) -> Result<(), EngineError> {
        let mut missing = Vec::new();
        for p in packs {
            let kept = self.cache.read(p);
            let is_kept = match kept {
                Some(bytes) => indexed.add(p, &bytes)?.is_ok(),
                None => false,
            };
            if !is_kept {
                missing.push(*p);
            }
        }
        let mut asked = split_fetch(missing.iter().copied());
        asked.reverse();
        while let Some(mut ids) = asked.pop() {
            let conn = &session.conn;
            let Some(packs) = self
                .wire
                .net_if_there(conn, conn.fetch_packs(ids.clone()))?
            else {
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
                match indexed.add(p, &pack.bytes)? {
                    Ok(()) => self.keep(&pack.id, &pack.bytes),
                    Err(error) => tracing::warn!(pack = %p.id, %error, "a pack is left out"),
                }
            }
        }
        Ok(())
    }

    /// Keeps a pack on disk. That it cannot is no reason to stop: what is needed is fetched again.
    pub fn keep(&self, id: &PackId, bytes: &[u8]) {
        if let Err(error) = self.cache.keep(id, bytes) {
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
        self.fetch(session, &wanted)
    }
}

/// Indexes of packs that were fetched, on their way into the database.
struct Indexed<'a> {
    room: &'a Packs,
    packs: Vec<(PackRef, Vec<IndexEntry>)>,
    entries: usize,
}

impl<'a> Indexed<'a> {
    fn new(room: &'a Packs) -> Self {
        Self {
            room,
            packs: Vec::new(),
            entries: 0,
        }
    }

    /// Reads the index of a pack; the inner error: it cannot be used.
    fn add(&mut self, p: &PackRef, bytes: &[u8]) -> Result<Result<(), PackError>, EngineError> {
        match self.room.keys.with(|k| read_index(k, p, bytes))? {
            Ok(index) => {
                self.entries += index.len();
                self.packs.push((*p, index));
                if self.entries >= INDEXED_MAX {
                    self.write()?;
                }
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    fn write(&mut self) -> Result<(), EngineError> {
        let packs = std::mem::take(&mut self.packs);
        self.entries = 0;
        if packs.is_empty() {
            return Ok(());
        }
        Ok(self.room.store.add_fetched(&packs)?)
    }
}
