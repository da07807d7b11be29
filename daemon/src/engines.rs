//! Makes engines for pieces of work.

use std::sync::Arc;

use crate::database::Database;
use crate::engine::{Cancel, Engine, EngineConfig, KeyCell};
use crate::identity::Identity;

/// What every engine is made of.
pub struct Engines {
    database: Arc<Database>,
    identity: Arc<Identity>,
    keys: KeyCell,
    config: EngineConfig,
}

impl Engines {
    /// Engines of this terminal. Label and server of `config` are taken from the terminal at each making.
    pub fn new(
        database: Arc<Database>,
        identity: Arc<Identity>,
        keys: KeyCell,
        config: EngineConfig,
    ) -> Self {
        Self {
            database,
            identity,
            keys,
            config,
        }
    }

    /// One that this stops. None while the terminal's key is sealed.
    pub fn engine(&self, cancel: Cancel) -> Option<Engine> {
        Some(Engine {
            store: self.database.store(),
            config: Arc::new(EngineConfig {
                label: self.identity.label(&self.database),
                server: self.identity.pairing().ok().map(|(_, p)| p.server_id),
                ..self.config.clone()
            }),
            key: self.identity.key()?,
            keys: self.keys.clone(),
            cancel,
            progress: Arc::default(),
            runtime: tokio::runtime::Handle::current(),
        })
    }

    /// One that no stop of work stops, for small things.
    pub fn side_engine(&self) -> Option<Engine> {
        self.engine(Cancel::default())
    }
}
