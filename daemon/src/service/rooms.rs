//! The rooms of the running daemon, put together: each gets what it needs, and knows of no other.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use simsync_vault::tail::TAIL_ITEMS_MAX;

use super::commands::Commands;
use crate::api::Agents;
use crate::card::CardHandle;
use crate::collections::Collections;
use crate::config::{Config, ConfigError};
use crate::database::Database;
use crate::engine::{Adapters, EngineConfig, KeyCell, PackCache};
use crate::engines::Engines;
use crate::events::Events;
use crate::identity::Identity;
use crate::link::{Listener, Renewal, ServerLink};
use crate::membership::{
    Epochs, Forgetter, KeyObjectSigner, Pairings, Restorer, Slots, Spares, Unpairer, VaultEntry,
};
use crate::notes::Notes;
use crate::opening::{CardNews, CardProbe, Openings};
use crate::paths::Paths;
use crate::person::Person;
use crate::session::{CardAccess, CardHead, CardPins, CardSessions};
use crate::status::Overview;
use crate::store::StoreError;
use crate::vouch::Vouches;
use crate::works::{Folders, Syncs, Tails, Works};

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The daemon's own folders cannot be made.
    #[error("the daemon's folders cannot be made: {0}")]
    Folders(std::io::Error),
    /// The thread that watches the readers cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
    /// The local database.
    #[error("{path}: {source}")]
    Store {
        /// Path of the database file.
        path: String,
        /// What the database answered.
        source: StoreError,
    },
    /// A file of ours.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// A room with those that it uses, and after the semicolon with what is its own.
macro_rules! room {
    ($room:ident { $($used:ident),* $(; $($own:ident: $value:expr),*)? }) => {
        Arc::new($room { $($used: $used.clone(),)* $($($own: $value),*)? })
    };
}

/// The rooms that the loop speaks to.
#[derive(Clone)]
pub struct Rooms {
    pub(super) events: Events,
    pub(super) database: Arc<Database>,
    pub(super) identity: Arc<Identity>,
    pub(super) person: Arc<Person>,
    pub(super) sessions: Arc<CardSessions>,
    pub(super) pins: Arc<CardPins>,
    pub(super) notes: Arc<Notes>,
    pub(super) works: Arc<Works>,
    pub(super) folders: Arc<Folders>,
    pub(super) listener: Arc<Listener>,
    pub(super) renewal: Arc<Renewal>,
    pub(super) syncs: Arc<Syncs>,
    pub(super) tails: Arc<Tails>,
    pub(super) spares: Arc<Spares>,
    pub(super) probe: Arc<CardProbe>,
    pub(super) opening: Arc<Openings>,
    pub(super) commands: Arc<Commands>,
    pub(super) overview: Arc<Overview>,
}

impl Rooms {
    /// Opens the files, and puts everything together from the ground up.
    pub fn open(
        paths: &Paths,
        config: &Config,
        agents: Arc<dyn Agents>,
        card: CardHandle,
        events: Events,
    ) -> Result<Self, StartError> {
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
            adapters: Adapters::default(),
            vouches: Vouches::default(),
        };
        let (adapters, vouches) = (
            engine_config.adapters.clone(),
            engine_config.vouches.clone(),
        );
        let engines = Arc::new(Engines::new(
            database.clone(),
            identity.clone(),
            keys.clone(),
            engine_config,
        ));
        let notes = Arc::<Notes>::default();
        let person = Arc::new(Person::new(agents));
        let works = Arc::<Works>::default();
        let folders = Arc::new(Folders::new(
            database.clone(),
            events.clone(),
            adapters,
            vouches,
        ));
        let sessions = CardSessions::new(card, keys, database.clone(), notes.clone());
        let sessions = Arc::new(sessions);
        let pins = CardPins::new(sessions.clone(), person.clone(), config.pin_pad);
        let pins = Arc::new(pins);
        let head = room!(CardHead {
            sessions, engines, database, events;
            interval: Duration::from_secs(config.put_head_interval_s)
        });
        let link = Arc::new(ServerLink::new(identity.clone(), events.clone()));
        let listener = Arc::new(Listener::new(
            link.clone(),
            sessions.clone(),
            identity.clone(),
            database.clone(),
            engines.clone(),
            events.clone(),
            config.prefetch.then(|| paths.packs.clone()),
        ));
        let renewal = room!(Renewal {
            link,
            sessions,
            identity,
            events
        });
        let syncs = room!(Syncs {
            works,
            engines,
            sessions,
            head,
            renewal,
            folders,
            notes,
            database,
            events
        });
        let tails = room!(Tails {
            works, engines, sessions, head, link, folders, database, identity, notes, events;
            outbox: paths.outbox.clone()
        });
        let access = room!(CardAccess {
            sessions,
            pins,
            person
        });
        let signing = room!(KeyObjectSigner {
            sessions,
            pins,
            database,
            syncs
        });
        let slots = room!(Slots {
            identity,
            database,
            engines,
            sessions,
            pins,
            events
        });
        let epochs = room!(Epochs {
            sessions,
            database,
            signing,
            slots,
            syncs
        });
        let restoring = room!(Restorer {
            sessions,
            database,
            identity,
            head,
            signing,
            epochs
        });
        let entering = room!(VaultEntry {
            database,
            engines,
            link,
            sessions,
            pins,
            person,
            signing,
            syncs
        });
        let forgetting = room!(Forgetter {
            identity, link, database, folders, events;
            spare: paths.spare.clone(),
            sealed: [paths.outbox.clone(), paths.packs.clone()]
        });
        let leaving = room!(Unpairer {
            identity,
            database,
            sessions,
            pins,
            person,
            link,
            works,
            slots,
            signing,
            syncs,
            forgetting,
            events
        });
        let pairings = room!(Pairings {
            identity,
            database,
            person,
            sessions,
            pins,
            link,
            access,
            entering,
            forgetting,
            events
        });
        let spares = room!(Spares {
            identity, database, sessions, pins, access, slots, signing, epochs;
            file: paths.spare.clone()
        });
        let own_files = paths.database.parent().unwrap_or(Path::new("/"));
        let collections = room!(Collections {
            identity, database, sessions, signing, syncs, folders;
            own_files: own_files.to_owned()
        });
        let probe = room!(CardProbe {
            identity, person, sessions, slots, events;
            sim_trigger: config.sim_trigger
        });
        let news = room!(CardNews {
            identity,
            sessions,
            pins,
            link
        });
        let opening = room!(Openings {
            identity,
            person,
            sessions,
            pins,
            head,
            link,
            database,
            engines,
            slots,
            epochs,
            restoring,
            news,
            notes,
            events
        });
        let commands = room!(Commands {
            works, identity, person, sessions, access, link, database, syncs, tails, pairings,
            leaving, spares, collections, opening, events;
            confirm_downloads: config.confirm_downloads
        });
        let overview = room!(Overview {
            database,
            identity,
            sessions,
            works,
            notes
        });
        Ok(Self {
            events,
            database,
            identity,
            person,
            sessions,
            pins,
            notes,
            works,
            folders,
            listener,
            renewal,
            syncs,
            tails,
            spares,
            probe,
            opening,
            commands,
            overview,
        })
    }
}
