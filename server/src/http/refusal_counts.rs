//! How many refusals of each terminal were logged, and how many only counted.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;
use simsync_card::ids::Hash;
use simsync_protocol::problem::Code;

/// Refusals of one terminal since the last look.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// How many were logged one by one.
    logged: u32,
    /// Not logged yet, by code.
    pub(super) more: BTreeMap<String, u64>,
}

/// Refusals that wait to be written, by certificate.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<Hash, Counted>>);

impl Refusals {
    /// Whether this one is written now; otherwise it was counted.
    pub(super) fn log_now(&self, certificate: Hash, code: Code, most: u32) -> bool {
        let mut all = self.0.lock();
        let counted = all.entry(certificate).or_default();
        if counted.logged < most {
            counted.logged += 1;
            return true;
        }
        *counted.more.entry(name(code)).or_default() += 1;
        false
    }

    pub(super) fn take(&self) -> HashMap<Hash, Counted> {
        std::mem::take(&mut *self.0.lock())
    }
}

fn name(code: Code) -> String {
    let value = serde_json::to_value(code).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}
