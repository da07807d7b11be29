//! Sealed objects go into packs, packs go to the server, several at a time; what is acknowledged is written down.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use simsync_vault::ids::{CollectionId, ObjectId, PackId};
use simsync_vault::pack::{FinishedPack, PackBuilder};
use simsync_vault::seal::Kind;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::{Engine, EngineError, Session};
use crate::store::PackState;

/// Packs under way at once.
const IN_FLIGHT: usize = 3;

/// A source of randomness that is seeded by the system.
pub fn fresh_rng() -> StdRng {
    StdRng::from_rng(&mut rand::rng())
}

type Upload = JoinHandle<Result<(), EngineError>>;

/// Collects objects and sends packs.
pub struct Uploader<'a> {
    engine: &'a Engine,
    session: &'a Session,
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

impl<'a> Uploader<'a> {
    /// For one session.
    pub fn new(engine: &'a Engine, session: &'a Session) -> Self {
        Self {
            engine,
            session,
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

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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
            if builder.len() >= self.engine.config.pack_target {
                builders.remove(&collection)
            } else {
                None
            }
        };
        full.map_or(Ok(()), |builder| self.send(builder))
    }

    fn send(&self, builder: PackBuilder) -> Result<(), EngineError> {
        let mut rng = fresh_rng();
        let pack = self.engine.keys.with(|k| builder.finish(k, &mut rng))??;
        if self.keep.load(Ordering::Relaxed) {
            self.engine.keep_pack(&pack.reference.id, &pack.bytes);
        }
        let permits = self.permits.clone();
        let cancel = self.engine.cancel.clone();
        let permit = self.engine.runtime.block_on(async {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(EngineError::Cancelled),
                p = permits.acquire_owned() => p.map_err(|_| EngineError::Cancelled),
            }
        })?;
        let (engine, conn) = (self.engine.clone(), self.session.conn.clone());
        let id = pack.reference.id;
        let task = self.engine.runtime.spawn(async move {
            let result = tokio::select! {
                biased;
                () = engine.cancel.cancelled() => Err(EngineError::Cancelled),
                r = put(&engine, &conn, pack) => r,
            };
            drop(permit);
            result
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
        let mut first_error = None;
        for task in running {
            let result = match self.engine.runtime.block_on(task) {
                Ok(r) => r,
                Err(_) => Err(EngineError::Cancelled),
            };
            first_error = first_error.or(result.err());
        }
        first_error.map_or(Ok(sent), Err)
    }
}

impl Engine {
    /// Puts a chunk into a pack, unless the collection has it for certain.
    pub(super) fn upload_chunk(
        &self,
        collection: CollectionId,
        id: ObjectId,
        plain: &[u8],
        uploader: &Uploader<'_>,
        rng: &mut StdRng,
    ) -> Result<(), EngineError> {
        if self.store.has_proven(&collection, &id)? {
            return Ok(());
        }
        let sealed = self
            .keys
            .with(|k| k.seal(Kind::Chunk, &id.0, plain, rng))??;
        uploader.push(collection, Kind::Chunk, id, plain.len(), &sealed)
    }
}

async fn put(
    engine: &Engine,
    conn: &simsync_protocol::client::Connection,
    pack: FinishedPack,
) -> Result<(), EngineError> {
    let size = pack.bytes.len() as u64;
    let _step = simsync_failpoint::step("daemon.pack.sent");
    conn.put_pack(
        pack.reference.id,
        pack.reference.collection,
        Bytes::from(pack.bytes),
        0,
    )
    .await?;
    engine.progress.bytes(size);
    let (store, reference, index) = (engine.store.clone(), pack.reference, pack.index);
    tokio::task::spawn_blocking(move || store.add_pack(&reference, PackState::Uploaded, &index))
        .await
        .map_err(|_| EngineError::Cancelled)??;
    Ok(())
}
