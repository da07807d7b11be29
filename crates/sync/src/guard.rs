//! Guards: what looks like a mishap stops and asks, instead of being synced.

use std::collections::HashMap;
use std::hash::Hash;

/// Why a sync stopped to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// The collection's root folder is missing: an unmounted disk is no deletion.
    RootMissing,
    /// Something else than a folder stands where the root was.
    NotFolder,
    /// The root is there but empty, although the collection is not.
    RootEmpty {
        /// How many entries the collection had.
        had: usize,
    },
    /// More than half of the collection would be deleted.
    MassDeletion {
        /// How many entries would go.
        deleted: usize,
        /// How many the collection had.
        had: usize,
    },
}

/// Fewer entries than this may go at once without a question.
const FEW: usize = 10;

/// Looks at one side's deletions against what the collection had.
pub fn check(had: usize, now: usize, deleted: usize) -> Option<Alarm> {
    if had > 0 && now == 0 {
        return Some(Alarm::RootEmpty { had });
    }
    (deleted > FEW && deleted > had / 2).then_some(Alarm::MassDeletion { deleted, had })
}

/// How many entries are really lost: those that went, less those that came under another name.
///
/// Equal keys stand for the same thing; each that came makes up for one that went.
pub fn lost<K: Eq + Hash>(
    gone: impl IntoIterator<Item = K>,
    came: impl IntoIterator<Item = K>,
) -> usize {
    let mut left: HashMap<K, usize> = HashMap::new();
    for key in gone {
        *left.entry(key).or_default() += 1;
    }
    for key in came {
        if let Some(n) = left.get_mut(&key) {
            *n = n.saturating_sub(1);
        }
    }
    left.values().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m4_guards_stop_mass_deletions_and_empty_roots() {
        assert_eq!(check(100, 100, 0), None);
        assert_eq!(check(100, 60, 40), None);
        assert_eq!(
            check(100, 45, 55),
            Some(Alarm::MassDeletion {
                deleted: 55,
                had: 100
            })
        );
        assert_eq!(check(100, 0, 100), Some(Alarm::RootEmpty { had: 100 }));
        assert_eq!(check(1, 0, 1), Some(Alarm::RootEmpty { had: 1 }));
        assert_eq!(check(8, 2, 6), None);
        assert_eq!(check(0, 0, 0), None);
    }

    #[test]
    fn m4_what_only_moved_is_not_lost() {
        assert_eq!(lost([1, 2, 3], [3, 1, 2]), 0);
        assert_eq!(lost([1, 2, 3], [7, 2]), 2);
        // One copy that came does not make up for two that went.
        assert_eq!(lost([5, 5], [5]), 1);
        assert_eq!(lost([5], [5, 5]), 0);
        assert_eq!(lost([], [1]), 0);
    }
}
