//! What all parts of the running daemon share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use simsync_card::client::{HeadRecord, Slot, Token, UnsettledSession};
use simsync_card::ids::TerminalId;
use simsync_card::sign::SecretKey;
use simsync_protocol::client::Connection;
use simsync_vault::commit::SessionRef;
use simsync_vault::keyobject::KeyObject;
use simsync_vault::statement::SessionStatement;
use simsync_vault::tail::TAIL_ITEMS_MAX;
use tokio::sync::mpsc;

use super::jobs::Jobs;
use super::parts::Parts;
use super::view::View;
use crate::api::Agents;
use crate::card::CardHandle;
use crate::config::{Config, ConfigError};
use crate::core::{Event, Unlocks};
use crate::engine::{Cancel, Engine, EngineConfig, KeyCell, PackCache, Progress, Session, now_ms};
use crate::identity::{Pairing, Terminal};
use crate::paths::Paths;
use crate::store::{Store, StoreError};
use crate::watch::data::Roots;

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

/// The session that is open.
pub struct Live {
    /// The card's reader.
    pub reader: String,
    /// For the engine.
    pub session: Session,
    /// The card's token for RENEW and PUT HEAD.
    pub token: Token,
    /// The card's head record.
    pub record: Option<HeadRecord>,
    /// Sessions that were unsettled on the card before this one.
    pub unsettled: Vec<UnsettledSession>,
    /// This terminal's slot on the card, once it was asked for: the session is closed by it.
    pub own_slot: Option<Slot>,
    /// When the card's head record was last brought up to date.
    pub head_put: Option<Instant>,
    /// The newest commit that the card knows of, and the list.
    pub head_known: (u64, u32),
}

/// Shared by everything that runs.
pub struct Ctx {
    /// Where things are.
    pub paths: Paths,
    /// What the owner set.
    pub config: Config,
    store: Arc<Store>,
    /// What the status tells from the database.
    pub view: View,
    /// The card thread.
    pub card: CardHandle,
    /// Who asks for PINs.
    pub agents: Arc<dyn Agents>,
    /// Where events go.
    pub events: mpsc::UnboundedSender<Event>,
    /// Jobs by number.
    pub jobs: Jobs,
    /// The vault's keys while a session is open.
    pub keys: KeyCell,
    terminal: Mutex<Option<Terminal>>,
    /// Held while this terminal's file is written: two writers would take the same new file, and one undo what the other
    /// changed. Nobody who only reads waits for a disk.
    terminal_file: Mutex<()>,
    key: Mutex<Option<Arc<SecretKey>>>,
    live: Mutex<Option<Live>>,
    /// The session that the card opened last and that is not over, whatever came of it. After a restart there is none: the card's
    /// power or our connection is gone.
    begun: Mutex<Option<SessionRef>>,
    conn: Mutex<Option<Connection>>,
    cancel: Mutex<Cancel>,
    progress: Mutex<Arc<Progress>>,
    marks: Mutex<BTreeMap<String, i64>>,
    held: Mutex<Option<(String, std::sync::mpsc::Sender<super::card_ops::GoOn>)>>,
    last_tail: Mutex<BTreeMap<String, u64>>,
    engine_config: Arc<EngineConfig>,
    /// When the last sync ended well, milliseconds since 1970; 0 if never.
    pub last_sync: std::sync::atomic::AtomicI64,
    /// Orders to open the session, as the rules know them.
    pub unlocks: tokio::sync::watch::Sender<Unlocks>,
    /// Changes when the work that runs is given up.
    pub abandoned: tokio::sync::watch::Sender<()>,
    /// Changes when the order that runs may wait for no person any more.
    pub stopped: tokio::sync::watch::Sender<()>,
    /// Held by an engine as long as it works; also by one whose work was given up.
    pub engine_works: Arc<tokio::sync::Mutex<()>>,
    /// Only one PIN at a time is typed on a reader: a person cannot tell two messages apart.
    pub pad_turn: tokio::sync::Mutex<()>,
    /// Only one delivery of tails at a time.
    pub delivering: Arc<tokio::sync::Mutex<()>>,
    /// Folders of the collections, for whoever watches them.
    pub roots: tokio::sync::watch::Sender<Roots>,
    /// Whether ciphertext may be fetched ahead of the card. Each change is also the word to do it now.
    pub prefetching: tokio::sync::watch::Sender<bool>,
    /// PINs that cards refused.
    pub refused: super::refused_pins::Refused,
    readers: Mutex<std::collections::BTreeSet<String>>,
}

/// How long a tail waits for the server to hear of the removal first.
const NARROW_DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ctx {
    /// Opens the files.
    pub fn open(
        parts: Parts,
        card: CardHandle,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<Arc<Self>, StartError> {
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
        let store = Store::open(&paths.database).map_err(unusable)?;
        store.check().map_err(unusable)?;
        let store = Arc::new(store);
        let terminal = Terminal::load(&paths.terminal)?;
        let engine_config = Arc::new(EngineConfig {
            pack_cache: PackCache::new(&paths.packs),
            pack_target: config.pack_target,
            tail_items: TAIL_ITEMS_MAX,
            label: config.label.clone(),
            server: None,
        });
        Ok(Arc::new(Self {
            paths,
            config,
            view: View::keep(&store),
            store,
            card,
            agents,
            events,
            jobs: Jobs::default(),
            keys: KeyCell::default(),
            terminal: Mutex::new(terminal),
            terminal_file: Mutex::new(()),
            key: Mutex::new(None),
            live: Mutex::new(None),
            begun: Mutex::new(None),
            conn: Mutex::new(None),
            cancel: Mutex::new(Cancel::default()),
            progress: Mutex::new(Arc::default()),
            marks: Mutex::new(BTreeMap::new()),
            held: Mutex::new(None),
            last_tail: Mutex::new(BTreeMap::new()),
            engine_config,
            last_sync: std::sync::atomic::AtomicI64::new(0),
            unlocks: tokio::sync::watch::Sender::default(),
            abandoned: tokio::sync::watch::Sender::default(),
            stopped: tokio::sync::watch::Sender::default(),
            engine_works: Arc::default(),
            pad_turn: tokio::sync::Mutex::default(),
            delivering: Arc::default(),
            roots: tokio::sync::watch::Sender::default(),
            prefetching: tokio::sync::watch::Sender::new(true),
            refused: super::refused_pins::Refused::default(),
            readers: Mutex::new(std::collections::BTreeSet::new()),
        }))
    }

    /// A call of the database. It may take as long as a disk takes, and holds up nobody but its caller: never from the loop.
    pub fn stored<T>(&self, call: impl FnOnce(&Store) -> T) -> T {
        tokio::task::block_in_place(|| call(&self.store))
    }

    /// Waits until the status tells what was written so far.
    pub async fn status_catches_up(&self) {
        self.view.catch_up(&self.store).await;
    }

    /// Tells the watcher of data which folders count.
    pub fn collections_changed(&self) {
        match self.stored(|s| s.collections()) {
            Ok(all) => {
                let wanted = all.into_iter().filter_map(|c| c.root).collect();
                self.roots.send_modify(|r| r.wanted = wanted);
            }
            Err(error) => tracing::error!(%error, "the folders to watch cannot be told"),
        }
    }

    /// Tells the watcher of data which folders a sync found: they may be new, and gone again before anybody watched them.
    pub fn roots_found(&self) {
        match self.stored(|s| s.roots_in_place()) {
            Ok(found) => self.roots.send_modify(|r| r.found = found),
            Err(error) => tracing::error!(%error, "the folders that a sync found cannot be told"),
        }
    }

    /// Readers with a card in.
    pub fn card_readers(&self) -> Vec<String> {
        lock(&self.readers).iter().cloned().collect()
    }

    /// Sends an event to the rules.
    pub fn emit(&self, event: Event) {
        // Nobody listens only while the daemon ends.
        let _ = self.events.send(event);
    }

    /// This terminal's file.
    pub fn terminal(&self) -> Option<Terminal> {
        lock(&self.terminal).clone()
    }

    /// Writes this terminal's file.
    pub fn set_terminal(&self, terminal: Option<Terminal>) -> std::io::Result<()> {
        let _one_writer = lock(&self.terminal_file);
        match &terminal {
            Some(t) => t.save(&self.paths.terminal)?,
            None => match std::fs::remove_file(&self.paths.terminal) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
                _ => {}
            },
        }
        *lock(&self.terminal) = terminal;
        Ok(())
    }

    /// Nobody else writes this terminal's file while this is held: a disk that hangs.
    #[cfg(test)]
    pub(super) fn hang_terminal_file(&self) -> MutexGuard<'_, ()> {
        lock(&self.terminal_file)
    }

    /// Changes this terminal's file as it is now, if there is one.
    pub fn update_terminal(&self, change: impl FnOnce(&mut Terminal)) -> std::io::Result<()> {
        let _one_writer = lock(&self.terminal_file);
        let Some(mut terminal) = self.terminal() else {
            return Ok(());
        };
        change(&mut terminal);
        terminal.save(&self.paths.terminal)?;
        *lock(&self.terminal) = Some(terminal);
        Ok(())
    }

    /// Changes what this terminal's file says of its pairing, if there is one.
    pub fn update_pairing(&self, change: impl FnOnce(&mut Pairing)) -> std::io::Result<()> {
        self.update_terminal(|t| {
            if let Some(pairing) = &mut t.pairing {
                change(pairing);
            }
        })
    }

    /// Whether pairing got as far as the server's certificate.
    pub fn is_paired(&self) -> bool {
        lock(&self.terminal)
            .as_ref()
            .is_some_and(|t| t.pairing.as_ref().is_some_and(|p| p.complete))
    }

    /// This terminal's ID, once it has a key.
    pub fn terminal_id(&self) -> Option<TerminalId> {
        lock(&self.terminal).as_ref().map(Terminal::id)
    }

    /// What this terminal is called: as the vault names it, which is what everybody sees; before it does as it is to be paired, or
    /// as it is set.
    pub fn label(&self) -> String {
        let newest = self.stored(|s| s.newest_key_object());
        self.label_by(newest.ok().flatten().as_ref())
    }

    /// The same, by this key object.
    pub fn label_by(&self, newest: Option<&KeyObject>) -> String {
        let terminal = self.terminal();
        let pairing = terminal.as_ref().and_then(|t| t.pairing.as_ref());
        let in_vault = || {
            Some(
                newest?
                    .body
                    .terminal(&terminal.as_ref()?.id())?
                    .label
                    .clone(),
            )
        };
        pairing
            .and_then(|_| in_vault())
            .or_else(|| pairing?.label.clone())
            .unwrap_or_else(|| self.config.label.clone())
    }

    /// What card and server were told that it is called. A pairing that was interrupted then has not told the vault.
    pub fn label_told(&self) -> String {
        let told = self.terminal().and_then(|t| t.pairing?.label);
        told.unwrap_or_else(|| self.label())
    }

    /// The unsealed key.
    pub fn key(&self) -> Option<Arc<SecretKey>> {
        lock(&self.key).clone()
    }

    /// Keeps the unsealed key, until logout; or forgets it.
    pub fn set_key(&self, key: Option<SecretKey>) {
        *lock(&self.key) = key.map(Arc::new);
    }

    /// The connection in use.
    pub fn conn(&self) -> Option<Connection> {
        lock(&self.conn).clone().filter(|c| !c.is_closed())
    }

    /// Keeps a connection, or forgets it.
    pub fn set_conn(&self, conn: Option<Connection>) {
        *lock(&self.conn) = conn;
    }

    /// The open session, for a short look or change.
    pub fn live(&self) -> MutexGuard<'_, Option<Live>> {
        lock(&self.live)
    }

    /// The card opened a session: from here on it waits for a closing commit or a tail, whatever the network does.
    pub fn session_begins(&self, statement: &SessionStatement) -> Result<(), StoreError> {
        let session = SessionRef {
            card: statement.card,
            n: statement.n,
        };
        *lock(&self.begun) = Some(session);
        self.stored(|s| s.add_session(statement))
    }

    /// The session that is not over.
    pub fn session_begun(&self) -> Option<SessionRef> {
        *lock(&self.begun)
    }

    /// The engine for a new piece of work, with a stop of its own.
    pub fn new_engine(&self) -> Option<Engine> {
        let cancel = Cancel::default();
        *lock(&self.cancel) = cancel.clone();
        let progress = Arc::new(Progress::default());
        *lock(&self.progress) = progress.clone();
        self.engine_with(cancel, progress)
    }

    /// An engine that no stop of work stops, for small things.
    pub fn side_engine(&self) -> Option<Engine> {
        self.engine_with(Cancel::default(), Arc::default())
    }

    fn engine_with(&self, cancel: Cancel, progress: Arc<Progress>) -> Option<Engine> {
        Some(Engine {
            store: self.store.clone(),
            config: Arc::new(EngineConfig {
                label: self.label(),
                server: self.pairing().ok().map(|(_, p)| p.server_id),
                ..(*self.engine_config).clone()
            }),
            key: self.key()?,
            keys: self.keys.clone(),
            cancel,
            progress,
            runtime: tokio::runtime::Handle::current(),
        })
    }

    /// How far the work is that runs.
    pub fn progress(&self) -> Arc<Progress> {
        lock(&self.progress).clone()
    }

    /// Stops the work that runs.
    pub fn stop_work(&self) {
        lock(&self.cancel).cancel();
        self.stopped.send_replace(());
    }

    /// Stops it, and waits for nothing that it waits for.
    pub fn abandon_work(&self) {
        self.stop_work();
        self.abandoned.send_replace(());
    }

    /// Notes a time for whoever measures.
    pub fn mark(&self, name: &str) {
        lock(&self.marks).insert(name.to_owned(), now_ms());
    }

    /// The times noted.
    pub fn marks(&self) -> BTreeMap<String, i64> {
        lock(&self.marks).clone()
    }

    /// Notes that a first look holds the card in this reader.
    pub fn hold(&self, reader: &str, go_on: std::sync::mpsc::Sender<super::card_ops::GoOn>) {
        *lock(&self.held) = Some((reader.to_owned(), go_on));
    }

    /// The hold on this reader's card, if there may be one still.
    pub fn take_hold(
        &self,
        reader: &str,
    ) -> Option<std::sync::mpsc::Sender<super::card_ops::GoOn>> {
        lock(&self.held)
            .take()
            .filter(|(r, _)| r == reader)
            .map(|(_, go_on)| go_on)
    }

    /// What the last removal left.
    pub fn last_tail(&self) -> BTreeMap<String, u64> {
        lock(&self.last_tail).clone()
    }

    /// Notes what a removal left.
    pub fn note_tail(&self, r: &crate::engine::TailReport) {
        let numbers = [
            ("items", r.items),
            ("referenced", r.referenced),
            ("left", r.left),
            ("bytes", r.bytes as usize),
        ];
        *lock(&self.last_tail) = numbers.map(|(k, v)| (k.to_owned(), v as u64)).into();
    }

    /// Notes times that events bring.
    pub fn note(&self, event: &Event) {
        use crate::card::CardEvent;
        self.refused.note(event);
        match event {
            Event::Card(CardEvent::CardInserted(reader)) => {
                lock(&self.readers).insert(reader.clone());
                lock(&self.marks).clear();
                self.mark("inserted");
            }
            Event::Card(CardEvent::CardRemoved(reader)) => {
                lock(&self.readers).remove(reader);
                self.mark("removed");
            }
            Event::Opened { .. } => self.mark("opened"),
            Event::TailsDelivered(true) => self.mark("tail-delivered"),
            _ => {}
        }
    }

    /// The session is over: keys first, then the card's token, then the server is told.
    pub fn wipe(&self) {
        self.keys.wipe();
        self.mark("wiped");
        *lock(&self.begun) = None;
        let Some(live) = self.live().take() else {
            return;
        };
        self.card.disconnect(&live.reader);
        let conn = live.session.conn;
        // The tail goes over the same connection, where a grant that was narrowed would be in its way.
        let first = self.delivering.clone().try_lock_owned();
        tokio::spawn(async move {
            let told = conn.narrow(simsync_protocol::api::Narrow::Removed);
            let told = tokio::time::timeout(NARROW_DEADLINE, told).await;
            conn.set_grant(None);
            drop(first);
            if !matches!(told, Ok(Ok(()))) {
                tracing::info!("the server was not told of the removal; the grant ends by itself");
            }
        });
    }

    /// Whether tails wait to be delivered.
    pub fn tails_waiting(&self) -> Result<bool, StoreError> {
        let sessions = self.stored(|s| s.own_sessions())?;
        Ok(sessions.iter().any(|s| s.tail.is_some() && !s.delivered))
    }
}
