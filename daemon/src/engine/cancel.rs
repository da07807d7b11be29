//! Stopping work at once, and keys that can be taken away from it.

use std::sync::{Arc, PoisonError, RwLock};

use simsync_vault::keys::KeyRing;
use tokio::sync::watch;

use super::EngineError;

/// Tells running work to stop.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<watch::Sender<bool>>);

impl Default for Cancel {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Cancel {
    /// Asks for the stop.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether the stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// An error if the stop was asked for.
    pub fn check(&self) -> Result<(), EngineError> {
        if self.is_cancelled() {
            Err(EngineError::Cancelled)
        } else {
            Ok(())
        }
    }

    /// Waits for the stop.
    pub async fn cancelled(&self) {
        let mut rx = self.0.subscribe();
        // The sender lives in self: waiting cannot fail.
        let _ = rx.wait_for(|c| *c).await;
    }
}

/// The vault's keys while a session is open. Whoever needs them borrows them for one small step, so that they can be
/// wiped within one card event whatever else is going on.
#[derive(Clone, Default)]
pub struct KeyCell(Arc<RwLock<Option<Box<KeyRing>>>>);

impl std::fmt::Debug for KeyCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyCell(..)")
    }
}

impl KeyCell {
    /// Puts keys in.
    pub fn put(&self, keys: Box<KeyRing>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(keys);
    }

    /// Wipes the keys. Waits for the step that uses them just now.
    pub fn wipe(&self) {
        drop(
            self.0
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }

    /// Runs one small step with the keys; [`EngineError::Cancelled`] when they are gone.
    pub fn with<T>(&self, step: impl FnOnce(&KeyRing) -> T) -> Result<T, EngineError> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.as_deref().map(step).ok_or(EngineError::Cancelled)
    }
}
