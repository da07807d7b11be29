//! The embedded store: SQLite in WAL mode, one writer, several readers.

mod admin;
mod audit;
mod commits;
mod connection;
mod open_session;
mod packs;
mod pairing;
mod roles;
mod rows;
mod schema;
mod sessions;
mod tails;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::events::Hub;
use super::{Result, StoreError};
use connection::{Tx, connect, failed, run};

/// Reads at the same time.
const READERS: usize = 4;
/// Writes that may wait.
const QUEUE: usize = 256;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A subscriber database in one SQLite file.
pub struct SqliteStore {
    path: PathBuf,
    writer: mpsc::Sender<Job>,
    readers: Arc<Mutex<Vec<Connection>>>,
    permits: Semaphore,
    hub: Arc<Hub>,
}

impl SqliteStore {
    /// Opens the database, makes it if it is missing, brings it to the newest schema.
    pub fn open(path: &Path) -> Result<Self> {
        let mut db = connect(path, true)?;
        schema::migrate(&mut db)?;
        let (writer, mut jobs) = mpsc::channel::<Job>(QUEUE);
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                while let Some(job) = jobs.blocking_recv() {
                    job(&mut db);
                }
            })
            .map_err(StoreError::failed)?;
        Ok(Self {
            path: path.to_owned(),
            writer,
            readers: Arc::default(),
            permits: Semaphore::new(READERS),
            hub: Arc::default(),
        })
    }

    /// Runs `work` as one transaction on the writer's thread; publishes its notices once it is durable.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, result) = oneshot::channel();
        let hub = self.hub.clone();
        let job: Job = Box::new(move |db| {
            // Nobody waiting any longer is no error: the transaction counts all the same.
            let _ = answer.send(run(db, &hub, work));
        });
        let stopped = || StoreError::failed("the store's writer has stopped");
        self.writer.send(job).await.map_err(|_| stopped())?;
        result.await.map_err(|_| stopped())?
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let _permit = self.permits.acquire().await.map_err(StoreError::failed)?;
        let (pool, path) = (self.readers.clone(), self.path.clone());
        tokio::task::spawn_blocking(move || {
            let pooled = pool.lock().pop();
            let mut db = match pooled {
                Some(db) => db,
                None => connect(&path, false)?,
            };
            let result = db.transaction().map_err(failed).and_then(|tx| work(&tx));
            pool.lock().push(db);
            result
        })
        .await
        .map_err(StoreError::failed)?
    }
}
