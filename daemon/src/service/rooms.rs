//! The rooms of the running daemon, put together: each gets what it needs, and knows of no other.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use simsync_vault::tail::TAIL_ITEMS_MAX;

use super::orders::Orders;
use crate::api::Agents;
use crate::card::CardHandle;
use crate::collections::Collections;
use crate::config::{Config, ConfigError};
use crate::database::Database;
use crate::engine::{EngineConfig, KeyCell, PackCache};
use crate::engines::Engines;
use crate::events::Events;
use crate::identity::Identity;
use crate::link::{Listener, Renewal, ServerLink};
use crate::membership::{
    Entering, Epochs, Forgetting, Leaving, Pairings, Restoring, Signing, Slots, Spares,
};
use crate::notes::Notes;
use crate::opening::{CardNews, Looking, Openings};
use crate::paths::Paths;
use crate::person::Person;
use crate::session::{CardAccess, CardHead, CardPins, CardSessions};
use crate::status::Overview;
use crate::store::StoreError;
use crate::works::{Folders, Syncs, Tails, Works};

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
    pub(super) looking: Arc<Looking>,
    pub(super) opening: Arc<Openings>,
    pub(super) orders: Arc<Orders>,
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
        };
        let engines = Arc::new(Engines::new(
            database.clone(),
            identity.clone(),
            keys.clone(),
            engine_config,
        ));
        let notes = Arc::<Notes>::default();
        let person = Arc::new(Person::new(agents));
        let works = Arc::<Works>::default();
        let folders = Arc::new(Folders::new(database.clone(), events.clone()));
        let sessions = CardSessions::new(card, keys, database.clone(), notes.clone());
        let sessions = Arc::new(sessions);
        let pins = CardPins::new(sessions.clone(), person.clone(), config.pin_pad);
        let pins = Arc::new(pins);
        let head = Arc::new(CardHead::new(
            sessions.clone(),
            engines.clone(),
            database.clone(),
            events.clone(),
            Duration::from_secs(config.put_head_interval_s),
        ));
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
        let renewal = Arc::new(Renewal::new(
            link.clone(),
            sessions.clone(),
            identity.clone(),
            events.clone(),
        ));
        let syncs = Arc::new(Syncs {
            works: works.clone(),
            engines: engines.clone(),
            sessions: sessions.clone(),
            head: head.clone(),
            renewal: renewal.clone(),
            folders: folders.clone(),
            notes: notes.clone(),
            events: events.clone(),
        });
        let tails = Arc::new(Tails {
            works: works.clone(),
            engines: engines.clone(),
            sessions: sessions.clone(),
            head: head.clone(),
            link: link.clone(),
            folders: folders.clone(),
            database: database.clone(),
            identity: identity.clone(),
            notes: notes.clone(),
            events: events.clone(),
            outbox: paths.outbox.clone(),
        });
        let access = Arc::new(CardAccess {
            sessions: sessions.clone(),
            pins: pins.clone(),
            person: person.clone(),
        });
        let signing = Arc::new(Signing {
            sessions: sessions.clone(),
            pins: pins.clone(),
            database: database.clone(),
            syncs: syncs.clone(),
        });
        let slots = Arc::new(Slots {
            identity: identity.clone(),
            database: database.clone(),
            engines: engines.clone(),
            sessions: sessions.clone(),
            pins: pins.clone(),
            events: events.clone(),
        });
        let epochs = Arc::new(Epochs {
            sessions: sessions.clone(),
            database: database.clone(),
            signing: signing.clone(),
            slots: slots.clone(),
            syncs: syncs.clone(),
        });
        let restoring = Arc::new(Restoring {
            sessions: sessions.clone(),
            database: database.clone(),
            identity: identity.clone(),
            head: head.clone(),
            signing: signing.clone(),
            epochs: epochs.clone(),
        });
        let entering = Arc::new(Entering {
            database: database.clone(),
            engines: engines.clone(),
            link: link.clone(),
            sessions: sessions.clone(),
            pins: pins.clone(),
            person: person.clone(),
            signing: signing.clone(),
            syncs: syncs.clone(),
        });
        let forgetting = Arc::new(Forgetting {
            identity: identity.clone(),
            link: link.clone(),
            database: database.clone(),
            folders: folders.clone(),
            events: events.clone(),
            spare: paths.spare.clone(),
            sealed: [paths.outbox.clone(), paths.packs.clone()],
        });
        let leaving = Arc::new(Leaving {
            identity: identity.clone(),
            database: database.clone(),
            sessions: sessions.clone(),
            pins: pins.clone(),
            person: person.clone(),
            link: link.clone(),
            works: works.clone(),
            slots: slots.clone(),
            signing: signing.clone(),
            syncs: syncs.clone(),
            forgetting: forgetting.clone(),
            events: events.clone(),
        });
        let pairings = Arc::new(Pairings {
            identity: identity.clone(),
            database: database.clone(),
            person: person.clone(),
            sessions: sessions.clone(),
            pins: pins.clone(),
            link: link.clone(),
            access: access.clone(),
            entering,
            forgetting,
            events: events.clone(),
        });
        let spares = Arc::new(Spares {
            identity: identity.clone(),
            database: database.clone(),
            sessions: sessions.clone(),
            pins: pins.clone(),
            access: access.clone(),
            slots: slots.clone(),
            signing: signing.clone(),
            epochs: epochs.clone(),
            file: paths.spare.clone(),
        });
        let own_files = paths.database.parent().unwrap_or(Path::new("/"));
        let collections = Arc::new(Collections {
            identity: identity.clone(),
            database: database.clone(),
            sessions: sessions.clone(),
            signing,
            syncs: syncs.clone(),
            folders: folders.clone(),
            own_files: own_files.to_owned(),
        });
        let looking = Arc::new(Looking {
            identity: identity.clone(),
            person: person.clone(),
            sessions: sessions.clone(),
            slots: slots.clone(),
            events: events.clone(),
            sim_trigger: config.sim_trigger,
        });
        let news = Arc::new(CardNews {
            identity: identity.clone(),
            sessions: sessions.clone(),
            pins: pins.clone(),
            link: link.clone(),
        });
        let opening = Arc::new(Openings {
            identity: identity.clone(),
            person: person.clone(),
            sessions: sessions.clone(),
            pins: pins.clone(),
            head,
            link: link.clone(),
            database: database.clone(),
            engines,
            slots,
            epochs,
            restoring,
            news,
            notes: notes.clone(),
            events: events.clone(),
        });
        let orders = Arc::new(Orders {
            works: works.clone(),
            identity: identity.clone(),
            person: person.clone(),
            sessions: sessions.clone(),
            access,
            link,
            database: database.clone(),
            syncs: syncs.clone(),
            tails: tails.clone(),
            pairings,
            leaving,
            spares: spares.clone(),
            collections,
            opening: opening.clone(),
            events: events.clone(),
            confirm_downloads: config.confirm_downloads,
        });
        let overview = Arc::new(Overview {
            database: database.clone(),
            identity: identity.clone(),
            sessions: sessions.clone(),
            works: works.clone(),
            notes: notes.clone(),
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
            looking,
            opening,
            orders,
            overview,
        })
    }
}
