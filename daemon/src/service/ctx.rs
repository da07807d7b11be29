//! What all parts of the running daemon share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use simsync_protocol::client::Connection;
use simsync_vault::tail::TAIL_ITEMS_MAX;

use super::parts::Parts;
use crate::card::CardHandle;
use crate::config::{Config, ConfigError};
use crate::core::Event;
use crate::database::Database;
use crate::engine::{EngineConfig, KeyCell, PackCache};
use crate::engines::Engines;
use crate::events::Events;
use crate::identity::Identity;
use crate::notes::Notes;
use crate::paths::Paths;
use crate::person::Person;
use crate::session::{CardHead, CardPins, CardSessions};
use crate::store::StoreError;
use crate::watch::data::Roots;
use crate::works::{Jobs, Works};

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Folders.
    #[error("the daemon's folders cannot be made: {0}")]
    Folders(std::io::Error),
    /// A thread.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
    /// The local database.
    #[error("{path}: {source}")]
    Store {
        /// Which file.
        path: String,
        /// Why.
        source: StoreError,
    },
    /// A file of ours.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Shared by everything that runs.
pub struct Ctx {
    /// Where things are.
    pub paths: Paths,
    /// What the owner set.
    pub config: Config,
    /// The terminal's own database.
    pub database: Arc<Database>,
    /// This terminal.
    pub identity: Arc<Identity>,
    /// Who is at it.
    pub person: Arc<Person>,
    /// Cards, and the session on one of them.
    pub sessions: Arc<CardSessions>,
    /// What that card carries on.
    pub head: Arc<CardHead>,
    /// Their PINs.
    pub pins: Arc<CardPins>,
    /// Makes engines.
    pub engines: Arc<Engines>,
    /// The work that runs.
    pub works: Arc<Works>,
    /// Jobs by number.
    pub jobs: Arc<Jobs>,
    /// What the status tells of the past.
    pub notes: Arc<Notes>,
    /// Where events go.
    pub events: Events,
    conn: Mutex<Option<Connection>>,
    /// Folders of the collections, for whoever watches them.
    pub roots: tokio::sync::watch::Sender<Roots>,
    /// Whether ciphertext may be fetched ahead of the card. Each change is also the word to do it now.
    pub prefetching: tokio::sync::watch::Sender<bool>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ctx {
    /// Opens the files.
    pub fn open(parts: Parts, card: CardHandle, events: Events) -> Result<Arc<Self>, StartError> {
        let Parts {
            paths,
            config,
            agents,
        } = parts;
        paths.prepare().map_err(StartError::Folders)?;
        let unusable = |source| StartError::Store {
            path: paths.database.display().to_string(),
            source,
        };
        let database = Arc::new(Database::open(&paths.database).map_err(unusable)?);
        let identity = Identity::open(paths.terminal.clone(), config.label.clone())?;
        let identity = Arc::new(identity);
        let keys = KeyCell::default();
        let engine_config = EngineConfig {
            pack_cache: PackCache::new(&paths.packs),
            pack_target: config.pack_target,
            tail_items: TAIL_ITEMS_MAX,
            label: config.label.clone(),
            server: None,
        };
        let engines = Engines::new(
            database.clone(),
            identity.clone(),
            keys.clone(),
            engine_config,
        );
        let engines = Arc::new(engines);
        let notes = Arc::<Notes>::default();
        let person = Arc::new(Person::new(agents));
        let sessions = CardSessions::new(card, keys, database.clone(), notes.clone());
        let sessions = Arc::new(sessions);
        let pins = CardPins::new(sessions.clone(), person.clone(), config.pin_pad);
        let head = CardHead::new(
            sessions.clone(),
            engines.clone(),
            database.clone(),
            events.clone(),
            Duration::from_secs(config.put_head_interval_s),
        );
        Ok(Arc::new(Self {
            paths,
            config,
            database,
            identity,
            person,
            sessions,
            head: Arc::new(head),
            pins: Arc::new(pins),
            engines,
            works: Arc::default(),
            jobs: Arc::default(),
            notes,
            events,
            conn: Mutex::new(None),
            roots: tokio::sync::watch::Sender::default(),
            prefetching: tokio::sync::watch::Sender::new(true),
        }))
    }

    /// Tells the watcher of data which folders count.
    pub fn collections_changed(&self) {
        match self.database.stored(|s| s.collections()) {
            Ok(all) => {
                let wanted = all.into_iter().filter_map(|c| c.root).collect();
                self.roots.send_modify(|r| r.wanted = wanted);
            }
            Err(error) => tracing::error!(%error, "the folders to watch cannot be told"),
        }
    }

    /// Tells the watcher of data which folders a sync found: they may be new, and gone again before anybody watched them.
    pub fn roots_found(&self) {
        match self.database.stored(|s| s.roots_in_place()) {
            Ok(found) => self.roots.send_modify(|r| r.found = found),
            Err(error) => tracing::error!(%error, "the folders that a sync found cannot be told"),
        }
    }

    /// The connection in use.
    pub fn conn(&self) -> Option<Connection> {
        lock(&self.conn).clone().filter(|c| !c.is_closed())
    }

    /// Keeps a connection, or forgets it.
    pub fn set_conn(&self, conn: Option<Connection>) {
        *lock(&self.conn) = conn;
    }

    /// Notes what events bring.
    pub fn note(&self, event: &Event) {
        self.pins.note(event);
        self.sessions.note(event);
        self.notes.note(event);
    }
}
