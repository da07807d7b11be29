//! Effects: everything that a decision of the core turns into. Blocking code on a thread of its own.

mod agreed;
mod answers;
mod apply;
mod authors;
mod cancel;
mod compare;
mod conflicts;
pub mod content;
mod delivery;
mod error;
mod heal;
mod items;
mod leaves;
mod merge;
mod names;
mod objects;
mod on_disk;
mod options;
mod pack_cache;
mod planned;
mod planning;
mod publish;
mod pull;
mod read;
mod rebase;
mod scan;
mod seen;
mod sources;
mod stack;
mod sync;
mod tail;
mod taking;
mod unseen;
mod upload;
mod uploading;
mod uploads;
mod written;

use std::sync::Arc;

use simsync_card::ids::{ServerId, TerminalId};
use simsync_card::sign::SecretKey;
use simsync_protocol::client::{ClientError, Connection};
use simsync_vault::statement::SessionStatement;
use tokio::runtime::Handle;

pub use answers::{Answer, Answers};
#[cfg(test)]
pub(crate) use cancel::tests::ring as some_keys;
pub use cancel::{Cancel, KeyCell};
pub use error::EngineError;
pub use options::{Review, SyncOptions, SyncReport};
pub use pack_cache::PackCache;
pub use planned::ReviewEntry;
pub use pull::TrustedCard;
pub use stack::{key_ring, leaving_nothing};
pub use tail::TailReport;
pub use upload::fresh_rng;

use crate::store::Store;

/// What the engine needs to know that does not change while the daemon runs.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Where packs rest until they were applied.
    pub pack_cache: PackCache,
    /// Size at which a pack is sent, in bytes.
    pub pack_target: usize,
    /// Most items of a tail that is made here.
    pub tail_items: usize,
    /// This terminal's label, for names of kept-aside versions.
    pub label: String,
    /// The server that this terminal is paired at.
    pub server: Option<ServerId>,
}

/// How far a job is; read by whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Files looked at, read or written so far.
    pub files_done: std::sync::atomic::AtomicU64,
    /// Files to do in this step; 0 while unknown.
    pub files_total: std::sync::atomic::AtomicU64,
    /// Bytes sent and received so far.
    pub bytes: std::sync::atomic::AtomicU64,
    /// What is going on.
    pub step: std::sync::Mutex<&'static str>,
}

impl Progress {
    /// Starts a step.
    pub fn step(&self, name: &'static str, total: usize) {
        use std::sync::atomic::Ordering::Relaxed;
        *self
            .step
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = name;
        self.files_done.store(0, Relaxed);
        self.files_total.store(total as u64, Relaxed);
    }

    /// One file more.
    pub fn file(&self) {
        self.files_done
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    /// Bytes more.
    pub fn bytes(&self, n: u64) {
        self.bytes
            .fetch_add(n, std::sync::atomic::Ordering::Relaxed);
    }
}

/// An open session: card, server and keys.
#[derive(Clone)]
pub struct Session {
    /// The card's statement.
    pub statement: SessionStatement,
    /// The connection that holds the grant.
    pub conn: Connection,
    /// The card's keys, as read from the card itself when this terminal was paired.
    pub card: TrustedCard,
}

/// Does the work on one terminal's vault.
#[derive(Clone)]
pub struct Engine {
    /// The local database.
    pub store: Arc<Store>,
    /// Settings.
    pub config: Arc<EngineConfig>,
    /// The terminal's key, unsealed.
    pub key: Arc<SecretKey>,
    /// The vault's keys while a session is open.
    pub keys: KeyCell,
    /// Stops this piece of work.
    pub cancel: Cancel,
    /// How far it is.
    pub progress: Arc<Progress>,
    /// Where network calls run.
    pub runtime: Handle,
}

impl Engine {
    /// This terminal's ID.
    pub fn terminal(&self) -> TerminalId {
        TerminalId::of(&self.key.point())
    }

    /// Waits for a call to the server, or for the stop.
    fn net<T>(&self, call: impl Future<Output = Result<T, ClientError>>) -> Result<T, EngineError> {
        self.cancel.check()?;
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => Err(EngineError::Cancelled),
                result = call => result.map_err(EngineError::from),
            }
        })
    }

    /// The same, for something without which everything else goes on. None: this answer failed, and the next may not.
    fn net_if_there<T>(
        &self,
        conn: &Connection,
        call: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<Option<T>, EngineError> {
        match self.net(call) {
            Ok(answer) => Ok(Some(answer)),
            Err(EngineError::Server(error)) if conn.only_answer_failed(&error) => {
                tracing::warn!(%error, "the server does not give what it should have");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
