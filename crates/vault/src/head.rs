//! Head rules: is what the server shows a continuation of what the witnesses saw? One pure function.
//!
//! Witnesses are the card's head record and the terminal's own newest verified head and list.

use serde::{Deserialize, Serialize};
use simsync_card::ids::Hash;

/// What a witness remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// Epoch of the head.
    pub epoch: u32,
    /// Sequence number of the head; 0 when it never saw one.
    pub sequence: u64,
    /// Hash of the head.
    pub head: Hash,
    /// Number of the newest key object.
    pub list_number: u32,
    /// Its hash.
    pub list_hash: Hash,
}

impl Witness {
    /// A witness that saw nothing yet.
    pub const EMPTY: Self = Self {
        epoch: 0,
        sequence: 0,
        head: Hash::ZERO,
        list_number: 0,
        list_hash: Hash::ZERO,
    };
}

/// Who a witness is; for the sentence that the owner reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WitnessKind {
    /// The card's head record.
    Card,
    /// The terminal's own newest verified head.
    Terminal,
}

/// A link of the verified chain: sequence and hash of a commit, with the list that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Sequence number.
    pub sequence: u64,
    /// Hash.
    pub hash: Hash,
    /// List number in force.
    pub list_number: u32,
    /// Its hash.
    pub list_hash: Hash,
}

/// What the head rules say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The server's head continues what every witness saw.
    Continue,
    /// The server is behind a witness: it was rolled back.
    RolledBack {
        /// Who saw more.
        witness: WitnessKind,
        /// What it saw.
        seen: u64,
        /// What the server shows.
        shown: u64,
    },
    /// The server's chain does not hold what a witness saw.
    Fork {
        /// Who saw another branch.
        witness: WitnessKind,
        /// At which sequence number.
        sequence: u64,
    },
    /// The list of keys went back or is another one.
    ListRolledBack {
        /// Who saw a newer list.
        witness: WitnessKind,
        /// The list number that it saw.
        seen: u32,
        /// What the server shows.
        shown: u32,
    },
}

/// Judges a chain whose signatures and hashes were verified before.
///
/// `chain` holds consecutive commits, oldest first, ending in the server's head; its first link must not be newer than
/// the oldest non-empty witness (links before the first are not looked at). An empty chain is a server without commits.
pub fn judge(card: &Witness, terminal: &Witness, chain: &[Link]) -> Verdict {
    let shown = chain.last().map_or(0, |l| l.sequence);
    let list = chain.last().map_or(0, |l| l.list_number);
    for (kind, w) in [(WitnessKind::Card, card), (WitnessKind::Terminal, terminal)] {
        if w.sequence > shown {
            return Verdict::RolledBack {
                witness: kind,
                seen: w.sequence,
                shown,
            };
        }
        if w.sequence > 0 {
            let holds = chain
                .iter()
                .any(|l| l.sequence == w.sequence && l.hash == w.head);
            if !holds {
                return Verdict::Fork {
                    witness: kind,
                    sequence: w.sequence,
                };
            }
        }
        let list_differs = chain
            .iter()
            .any(|l| l.list_number == w.list_number && l.list_hash != w.list_hash);
        if w.list_number > list || (w.list_number > 0 && list_differs) {
            return Verdict::ListRolledBack {
                witness: kind,
                seen: w.list_number,
                shown: list,
            };
        }
    }
    Verdict::Continue
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(n: u64) -> Link {
        Link {
            sequence: n,
            hash: Hash([n as u8; 32]),
            list_number: 1,
            list_hash: Hash([9; 32]),
        }
    }

    fn saw(n: u64) -> Witness {
        Witness {
            epoch: 1,
            sequence: n,
            head: Hash([n as u8; 32]),
            list_number: 1,
            list_hash: Hash([9; 32]),
        }
    }

    #[test]
    fn b2_head_rules_table() {
        let chain: Vec<_> = (1..=5).map(link).collect();
        assert_eq!(judge(&saw(3), &saw(5), &chain), Verdict::Continue);
        assert_eq!(
            judge(&Witness::EMPTY, &Witness::EMPTY, &[]),
            Verdict::Continue
        );
        assert_eq!(
            judge(&saw(6), &saw(5), &chain),
            Verdict::RolledBack {
                witness: WitnessKind::Card,
                seen: 6,
                shown: 5
            }
        );
        assert_eq!(
            judge(&saw(2), &saw(7), &chain),
            Verdict::RolledBack {
                witness: WitnessKind::Terminal,
                seen: 7,
                shown: 5
            }
        );
        let mut other = saw(4);
        other.head = Hash([77; 32]);
        assert_eq!(
            judge(&other, &saw(5), &chain),
            Verdict::Fork {
                witness: WitnessKind::Card,
                sequence: 4
            }
        );
        let mut list = saw(5);
        list.list_number = 2;
        assert_eq!(
            judge(&saw(5), &list, &chain),
            Verdict::ListRolledBack {
                witness: WitnessKind::Terminal,
                seen: 2,
                shown: 1
            }
        );
        let mut list = saw(5);
        list.list_hash = Hash([1; 32]);
        assert!(matches!(
            judge(&list, &saw(5), &chain),
            Verdict::ListRolledBack { .. }
        ));
        assert_eq!(
            judge(&saw(1), &Witness::EMPTY, &[]),
            Verdict::RolledBack {
                witness: WitnessKind::Card,
                seen: 1,
                shown: 0
            }
        );
    }
}
