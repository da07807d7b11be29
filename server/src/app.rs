//! What all requests share.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use simsync_card::ids::ServerId;
use tokio::sync::watch;

use crate::ca::Credential;
use crate::config::Limits;
use crate::http::refusal_counts::Refusals;
use crate::net::limiter::RateLimiter;
use crate::net::shares::Shares;
use crate::store::Store;
use crate::store::blobs::Blobs;
use crate::store::roles::{Audit, Chain, Events, Moving, Packs, Pairings, Sessions, Tails};
use crate::store::types::Seconds;

/// Tells the time: seconds since 1970.
pub type Clock = Arc<dyn Fn() -> Seconds + Send + Sync>;

/// The machine's clock.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs())
    })
}

/// One server: its store and everything that requests need beside it.
pub struct App {
    store: Arc<dyn Store>,
    /// Where packs are kept.
    pub blobs: Arc<dyn Blobs>,
    /// Signs terminals' certificates.
    pub ca: Credential,
    /// Part of every binding.
    pub server: ServerId,
    /// What is refused before it costs anything.
    pub limits: Limits,
    /// Tells the time; tests set it.
    pub clock: Clock,
    /// For open paths.
    pub open_rate: RateLimiter,
    /// Who holds how much.
    pub shares: Shares,
    /// Refusals that wait for the audit log.
    pub refusals: Refusals,
    /// Becomes true when the server stops.
    pub stopping: watch::Sender<bool>,
    /// Who answers instead of the handlers; `http::between` knows what it is.
    #[cfg(any(test, feature = "test-support"))]
    pub between: parking_lot::Mutex<Option<Arc<dyn std::any::Any + Send + Sync>>>,
}

impl App {
    /// Puts the parts together.
    pub fn new(
        store: Arc<dyn Store>,
        blobs: Arc<dyn Blobs>,
        ca: Credential,
        server: ServerId,
        limits: Limits,
        clock: Clock,
    ) -> Self {
        Self {
            store,
            blobs,
            ca,
            server,
            open_rate: RateLimiter::new(limits.open_per_minute),
            shares: Shares::new(&limits),
            refusals: Refusals::default(),
            limits,
            clock,
            stopping: watch::Sender::new(false),
            #[cfg(any(test, feature = "test-support"))]
            between: parking_lot::Mutex::default(),
        }
    }

    /// The time, in seconds since 1970.
    pub fn now(&self) -> Seconds {
        (self.clock)()
    }

    /// The subscriber database, for orders that need all of it; a request takes the role that it needs.
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// Cards and terminals.
    pub fn pairings(&self) -> &dyn Pairings {
        self.store.as_ref()
    }

    /// Sessions and grants.
    pub fn sessions(&self) -> &dyn Sessions {
        self.store.as_ref()
    }

    /// Heads, commits, key objects.
    pub fn chain(&self) -> &dyn Chain {
        self.store.as_ref()
    }

    /// What is known of packs.
    pub fn packs(&self) -> &dyn Packs {
        self.store.as_ref()
    }

    /// Tails that terminals delivered, and sessions that wait for one or were forgotten.
    pub fn tails(&self) -> &dyn Tails {
        self.store.as_ref()
    }

    /// The audit log.
    pub fn audit(&self) -> &dyn Audit {
        self.store.as_ref()
    }

    /// Where the server moves.
    pub fn moving(&self) -> &dyn Moving {
        self.store.as_ref()
    }

    /// What is told to whoever listens.
    pub fn events(&self) -> &dyn Events {
        self.store.as_ref()
    }
}
