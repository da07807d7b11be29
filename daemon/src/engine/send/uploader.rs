//! Sealed objects go into packs, packs go to the server, several at a time; what is acknowledged is written down.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use simsync_protocol::client::Connection;
use simsync_sync::node::Changes;
use simsync_vault::commit::PackRef;
use simsync_vault::ids::{CollectionId, ObjectId, PackId};
use simsync_vault::pack::{FinishedPack, PackBuilder};
use simsync_vault::seal::Kind;
use simsync_vault::tree::Directory;
use simsync_vault::treeops::{self, LeafChanges};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::engine::EngineError;
use crate::engine::cancel::KeyCell;
use crate::engine::content::Content;
use crate::engine::leaves::leaf_of;
use crate::engine::progress::Progress;
use crate::engine::random::fresh_rng;
use crate::engine::session::Session;
use crate::engine::vault::fetch::Packs;
use crate::engine::vault::objects::Objects;
use crate::engine::wire::Wire;
use crate::store::{PackState, Store};

/// Packs under way at once.
const IN_FLIGHT: usize = 3;

type Upload = JoinHandle<Result<(), EngineError>>;

/// Sends packs.
#[derive(Clone)]
pub struct Uploaders {
    store: Arc<Store>,
    keys: KeyCell,
    packs: Packs,
    wire: Wire,
    progress: Arc<Progress>,
    /// Size at which a pack is sent, in bytes.
    pack_target: usize,
}

impl Uploaders {
    /// Packs of this size, in bytes; those that are acknowledged are noted in this database.
    pub fn new(
        store: Arc<Store>,
        keys: KeyCell,
        packs: Packs,
        wire: Wire,
        progress: Arc<Progress>,
        pack_target: usize,
    ) -> Self {
        Self {
            store,
            keys,
            packs,
            wire,
            progress,
            pack_target,
        }
    }

    /// Sends over the connection of one session, with no pack begun yet.
    pub fn uploader(&self, session: &Session) -> Uploader {
        Uploader {
            room: self.clone(),
            conn: session.conn.clone(),
            permits: Arc::new(Semaphore::new(IN_FLIGHT)),
            keep: AtomicBool::new(false),
            inner: Mutex::new(Inner {
                builders: HashMap::new(),
                running: Vec::new(),
                sent: Vec::new(),
                rng: fresh_rng(),
            }),
        }
    }

    async fn put(&self, conn: &Connection, pack: FinishedPack) -> Result<(), EngineError> {
        let size = pack.bytes.len() as u64;
        let _step = simsync_failpoint::step("daemon.pack.sent");
        conn.put_pack(
            pack.reference.id,
            pack.reference.collection,
            Bytes::from(pack.bytes),
            0,
        )
        .await?;
        self.progress.bytes(size);
        let (store, reference, index) = (self.store.clone(), pack.reference, pack.index);
        tokio::task::spawn_blocking(move || {
            store.add_pack(&reference, PackState::Uploaded, &index)
        })
        .await
        .map_err(|_| EngineError::Cancelled)??;
        Ok(())
    }
}

/// Collects objects and sends packs.
pub struct Uploader {
    room: Uploaders,
    conn: Connection,
    permits: Arc<Semaphore>,
    keep: AtomicBool,
    inner: Mutex<Inner>,
}

struct Inner {
    builders: HashMap<CollectionId, PackBuilder>,
    running: Vec<Upload>,
    sent: Vec<PackId>,
    rng: StdRng,
}

impl Uploader {
    fn lock(&self) -> parking_lot::MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// From now on packs stay on disk, too: this very sync will read from them.
    pub fn keep_files(&self, keep: bool) {
        self.keep.store(keep, Ordering::Relaxed);
    }

    /// Adds a sealed object; sends the pack when it is large enough. Blocks while enough packs are under way.
    pub fn push(
        &self,
        collection: CollectionId,
        kind: Kind,
        id: ObjectId,
        plain: usize,
        sealed: &[u8],
    ) -> Result<(), EngineError> {
        let full = {
            let mut inner = self.lock();
            let Inner { builders, rng, .. } = &mut *inner;
            let builder = builders
                .entry(collection)
                .or_insert_with(|| PackBuilder::new(collection, rng));
            builder.push(kind, id, plain, sealed);
            if builder.len() >= self.room.pack_target {
                builders.remove(&collection)
            } else {
                None
            }
        };
        full.map_or(Ok(()), |builder| self.send(builder))
    }

    fn send(&self, builder: PackBuilder) -> Result<(), EngineError> {
        let mut rng = fresh_rng();
        let pack = self.room.keys.with(|k| builder.finish(k, &mut rng))??;
        if self.keep.load(Ordering::Relaxed) {
            self.room.packs.keep(&pack.reference.id, &pack.bytes);
        }
        let wire = &self.room.wire;
        let permits = self.permits.clone();
        let permit = wire.or_stopped(async {
            let permit = permits.acquire_owned().await;
            permit.map_err(|_| EngineError::Cancelled)
        })?;
        let (room, conn) = (self.room.clone(), self.conn.clone());
        let id = pack.reference.id;
        let task = wire.beside(async move {
            let _permit = permit;
            room.put(&conn, pack).await
        });
        let mut inner = self.lock();
        inner.running.push(task);
        inner.sent.push(id);
        Ok(())
    }

    /// Sends what is left and waits until everything is acknowledged as durable.
    pub fn finish(&self) -> Result<Vec<PackId>, EngineError> {
        let rest: Vec<PackBuilder> = self.lock().builders.drain().map(|(_, b)| b).collect();
        for builder in rest {
            self.send(builder)?;
        }
        let (running, sent) = {
            let mut inner = self.lock();
            (
                std::mem::take(&mut inner.running),
                std::mem::take(&mut inner.sent),
            )
        };
        let (mut first_error, wire) = (None, &self.room.wire);
        for task in running {
            first_error = first_error.or(wire.end_of(task).err());
        }
        first_error.map_or(Ok(sent), Err)
    }

    /// Puts a chunk into a pack, unless the collection has it for certain.
    pub fn chunk(
        &self,
        collection: CollectionId,
        id: ObjectId,
        plain: &[u8],
        rng: &mut StdRng,
    ) -> Result<(), EngineError> {
        if self.room.store.has_proven(&collection, &id)? {
            return Ok(());
        }
        let keys = &self.room.keys;
        let sealed = keys.with(|k| k.seal(Kind::Chunk, &id.0, plain, rng))??;
        self.push(collection, Kind::Chunk, id, plain.len(), &sealed)
    }

    /// Puts changes into a tree and the new listings into packs. Answers the new root.
    pub fn update_tree(
        &self,
        collection: CollectionId,
        root: &ObjectId,
        publish: &Changes<Content>,
        objects: &mut Objects<'_>,
    ) -> Result<ObjectId, EngineError> {
        let leaves: LeafChanges = publish
            .iter()
            .map(|(p, n)| (p.as_bytes().to_vec(), n.as_ref().map(leaf_of)))
            .collect();
        let keys = &self.room.keys;
        let object = |dir: &Directory| keys.with(|k| dir.to_object(k));
        let (root, dirs) = treeops::update(root, &leaves, &object, objects)?;
        let mut rng = fresh_rng();
        for (id, bytes) in &dirs {
            if !self.room.store.has_proven(&collection, id)? {
                let sealed = keys.with(|k| k.seal(Kind::Directory, &id.0, bytes, &mut rng))??;
                self.push(collection, Kind::Directory, *id, bytes.len(), &sealed)?;
            }
        }
        self.room.store.add_dirs(&dirs)?;
        Ok(root)
    }
}

/// Packs that this terminal uploaded and no commit names.
pub fn uncommitted_packs(store: &Store) -> Result<Vec<PackRef>, EngineError> {
    let packs = store.packs_in(PackState::Uploaded)?;
    Ok(packs.into_iter().map(|p| p.reference).collect())
}
