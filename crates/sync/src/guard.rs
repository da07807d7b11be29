//! Guards: what looks like a mishap stops and asks, instead of being synced.

/// Why a sync stopped to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// The collection's root folder is missing: an unmounted disk is no deletion.
    RootMissing,
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
}
