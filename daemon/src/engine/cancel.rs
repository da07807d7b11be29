//! Stopping work at once, and keys that can be taken away from it.

use std::cell::Cell;
use std::sync::Arc;

use parking_lot::{RwLock, RwLockWriteGuard};
use simsync_vault::keyobject::KeyObject;
use simsync_vault::keys::{KeyRing, VaultKey};
use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::random::fresh_rng;
use super::stack::key_ring;

/// Tells running work to stop.
#[derive(Debug, Clone, Default)]
pub struct Cancel(CancellationToken);

impl Cancel {
    /// Asks for the stop.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Whether the stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
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
        self.0.cancelled().await;
    }
}

/// The vault's keys while a session is open. Whoever needs them borrows them for one small step, so that they can be
/// wiped within one card event whatever else is going on. Nothing is put back after a wipe: whoever puts keys in names the
/// generation in which its work began.
#[derive(Clone, Default)]
pub struct KeyCell(Arc<RwLock<Held>>);

#[derive(Default)]
struct Held {
    /// Counts wipes.
    generation: u64,
    keys: Option<Box<KeyRing>>,
    /// While a new epoch is made: the key that it will have.
    next: Option<VaultKey>,
    /// While a new epoch is made: the keys that are in force until the server has taken it.
    before: Option<Box<KeyRing>>,
}

impl std::fmt::Debug for KeyCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyCell(..)")
    }
}

impl KeyCell {
    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.0.write()
    }

    /// To be taken when work begins that ends with keys being put in.
    pub fn generation(&self) -> u64 {
        self.0.read().generation
    }

    /// Puts keys in; [`EngineError::Cancelled`], and the keys are gone, if there was a wipe since.
    pub fn put(&self, keys: Box<KeyRing>, generation: u64) -> Result<(), EngineError> {
        let mut held = self.write();
        if held.generation != generation {
            return Err(EngineError::Cancelled);
        }
        (held.next, held.before) = (None, None);
        held.keys = Some(keys);
        Ok(())
    }

    /// Wipes the keys. Waits for the step that uses them just now.
    pub fn wipe(&self) {
        let mut held = self.write();
        let generation = held.generation.wrapping_add(1);
        *held = Held {
            generation,
            ..Held::default()
        };
    }

    /// Runs one small step with the keys; [`EngineError::Cancelled`] when they are gone. A step waits for nothing, and begins no
    /// other: a wipe in between would wait for the first, and the second for the wipe.
    pub fn with<T>(&self, step: impl FnOnce(&KeyRing) -> T) -> Result<T, EngineError> {
        let _step = Step::begin();
        let held = self.0.read();
        held.keys.as_deref().map(step).ok_or(EngineError::Cancelled)
    }

    /// Draws the key of the next epoch, and runs one small step with it and the present keys.
    pub fn draw_next<T>(
        &self,
        step: impl FnOnce(&VaultKey, &VaultKey) -> T,
    ) -> Result<T, EngineError> {
        let mut held = self.write();
        let keys = held.keys.as_deref().ok_or(EngineError::Cancelled)?;
        let next = VaultKey::generate(&mut fresh_rng());
        let out = step(keys.newest(), &next);
        held.next = Some(next);
        Ok(out)
    }

    /// From now on the next epoch's key is used; the last of these key objects names it.
    pub fn advance(&self, objects: &[KeyObject]) -> Result<(), EngineError> {
        let mut held = self.write();
        let next = held.next.take().ok_or(EngineError::Cancelled)?;
        let ring = key_ring(next, objects)?;
        held.before = held.keys.replace(ring);
        Ok(())
    }

    /// The next epoch is in force (true), or it never came to be.
    pub fn settle(&self, in_force: bool) {
        let mut held = self.write();
        held.next = None;
        if let Some(before) = held.before.take()
            && !in_force
        {
            held.keys = Some(before);
        }
    }
}

thread_local! {
    static IN_STEP: Cell<bool> = const { Cell::new(false) };
}

/// A step with the keys, on this thread.
struct Step;

impl Step {
    fn begin() -> Self {
        let is_second = IN_STEP.replace(true);
        debug_assert!(!is_second, "a step with the keys within another");
        Self
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        IN_STEP.set(false);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use simsync_server::testing::{Seed, SoftCard};
    use simsync_vault::ids::VaultId;
    use simsync_vault::keyobject::{KeyObjectBody, Recipient};

    /// Some vault's keys.
    pub(crate) fn ring() -> Box<KeyRing> {
        let vk = VaultKey::generate(&mut fresh_rng());
        let vault = VaultId([1; 16]);
        let card = SoftCard::new(&Seed::new());
        let kem = card.keys().kem;
        let wrap = vk
            .wrap(&vault, 1, &card.id, &kem, &mut fresh_rng())
            .unwrap();
        let object = card.sign_key_object(KeyObjectBody {
            version: 1,
            vault,
            list_number: 1,
            epoch: 1,
            recipients: vec![Recipient {
                id: card.id,
                keys: card.keys(),
                wrap_hash: wrap.hash(),
            }],
            check: vk.check(),
            outbox_key: vk.outbox().1,
            previous_key: Vec::new(),
            terminals: Vec::new(),
            flags: 0,
            previous: simsync_card::ids::Hash::ZERO,
            signer: card.id,
        });
        Box::new(KeyRing::new(vk, &[object]).unwrap())
    }

    #[cfg(debug_assertions)]
    #[test]
    #[should_panic(expected = "a step with the keys within another")]
    fn w_4_a_step_that_a_wipe_could_divide_is_found() {
        let cell = KeyCell::default();
        cell.put(ring(), cell.generation()).unwrap();
        let _ = cell.with(|_| cell.with(|_| ()));
    }

    #[test]
    fn w_4_nothing_is_put_back_after_a_wipe() {
        let cell = KeyCell::default();
        let begun = cell.generation();
        cell.put(ring(), begun).unwrap();
        assert!(cell.with(|_| ()).is_ok());
        cell.wipe();
        // An opening that began before ends now.
        assert!(matches!(
            cell.put(ring(), begun),
            Err(EngineError::Cancelled)
        ));
        assert!(cell.with(|_| ()).is_err());
        // A new epoch that was under way: at each of its steps.
        for wiped_after in 0..3 {
            cell.put(ring(), cell.generation()).unwrap();
            let step = |n: usize| {
                if wiped_after == n {
                    cell.wipe();
                }
            };
            cell.draw_next(|_, _| ()).unwrap();
            step(0);
            let objects: [KeyObject; 0] = [];
            let advanced = cell.advance(&objects);
            step(1);
            assert!(advanced.is_err(), "no key object names it");
            step(2);
            cell.settle(false);
            assert!(cell.with(|_| ()).is_err(), "wiped after step {wiped_after}");
            assert!(cell.draw_next(|_, _| ()).is_err());
        }
    }
}
