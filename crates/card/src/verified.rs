//! Verdicts that this process came to already. In a world in one process every terminal and the server verify the same signatures.

use std::collections::HashMap;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

/// With more verdicts than this all are forgotten.
const MOST: usize = 100_000;

/// Verdicts by the hash of everything that they depend on; none are remembered until somebody asks for that.
pub(crate) struct Verdicts<T>(Mutex<Option<HashMap<[u8; 32], T>>>);

impl<T: Copy> Verdicts<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// From now on, verdicts are remembered.
    pub(crate) fn remember(&self) {
        self.with(|verdicts| verdicts.get_or_insert_default().clear());
    }

    fn with<R>(&self, work: impl FnOnce(&mut Option<HashMap<[u8; 32], T>>) -> R) -> R {
        work(&mut self.0.lock())
    }

    /// The verdict on these parts that is remembered, or the one that is computed.
    pub(crate) fn once(&self, parts: &[&[u8]], compute: impl FnOnce() -> T) -> T {
        let known = self.with(|verdicts| {
            let verdicts = verdicts.as_ref()?;
            let name = name_of(parts);
            Some((name, verdicts.get(&name).copied()))
        });
        match known {
            None => compute(),
            Some((_, Some(verdict))) => verdict,
            Some((name, None)) => {
                let verdict = compute();
                self.with(|verdicts| {
                    let verdicts = verdicts.get_or_insert_default();
                    if verdicts.len() >= MOST {
                        verdicts.clear();
                    }
                    verdicts.insert(name, verdict);
                });
                verdict
            }
        }
    }
}

/// Each part with its length before it: no two lists of parts have the same hash.
fn name_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
