//! Head rules: is what the server shows a continuation of what the witnesses saw? One pure function.
//!
//! Witnesses are the card's head record and the terminal's own newest verified head and list.

use serde::{Deserialize, Serialize};
use simsync_card::ids::Hash;

use crate::commit::Commit;

/// So far a card lets its record's sequence rise at once (docs/card.md, PUT HEAD).
pub const STEP_SEQUENCE: u64 = 1024;
/// The same for its list number. Its epoch rises by one.
pub const STEP_LIST: u32 = 16;
/// A first record's sequence is below 2 to the power of this.
const FIRST_SEQUENCE_BITS: u32 = 32;
/// The same for its list number and epoch.
const FIRST_NUMBER_BITS: u32 = 16;

/// What a witness remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// Epoch of the head.
    pub epoch: u32,
    /// Sequence number of the head; 0 when it never saw one.
    pub sequence: u64,
    /// Hash of the head's body; zeros when it never saw one.
    pub head: Hash,
    /// Number of the newest key object.
    pub list_number: u32,
    /// Hash of the key object with that list number.
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

impl From<&Link> for Witness {
    fn from(link: &Link) -> Self {
        Self {
            epoch: link.epoch,
            sequence: link.sequence,
            head: link.hash,
            list_number: link.list_number,
            list_hash: link.list_hash,
        }
    }
}

/// A link of the verified chain: a commit, with the list that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Epoch of the vault's key.
    pub epoch: u32,
    /// Sequence number.
    pub sequence: u64,
    /// Hash of the commit.
    pub hash: Hash,
    /// List number in force.
    pub list_number: u32,
    /// Hash of the key object with that list number.
    pub list_hash: Hash,
    /// Where the commit ends a record that nobody can prove: up to which sequence.
    pub ends: Option<u64>,
}

impl From<&Commit> for Link {
    fn from(commit: &Commit) -> Self {
        let body = &commit.body;
        Self {
            epoch: body.epoch,
            sequence: body.sequence,
            hash: commit.hash(),
            list_number: body.list_number,
            list_hash: body.list_hash,
            ends: body.restore.as_ref().map(|r| r.sequence),
        }
    }
}

/// What the head rules say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The server's head continues what every witness saw.
    Continue,
    /// The same, but the card's record is one that its owner ended: the card has to be told.
    Ended,
    /// The server is behind what this terminal saw: it was rolled back.
    RolledBack {
        /// Sequence number of the newest commit that the terminal verified.
        seen: u64,
        /// What the server shows.
        shown: u64,
    },
    /// The server's chain does not hold what this terminal saw.
    Fork {
        /// At which sequence number.
        sequence: u64,
    },
    /// The list of keys went back or is another one than this terminal saw.
    ListRolledBack {
        /// The list number that it saw.
        seen: u32,
        /// What the server shows.
        shown: u32,
    },
    /// The card's record is not in the chain, and this terminal saw nothing that the server does not show: it was set back, or
    /// the record was never true. Nobody can tell.
    Unproven {
        /// What the record says.
        seen: u64,
        /// What the server shows.
        shown: u64,
    },
}

impl Verdict {
    /// Whether a session may write.
    pub fn may_write(&self) -> bool {
        matches!(self, Self::Continue | Self::Ended)
    }
}

/// Judges a chain whose signatures and hashes were verified before.
///
/// `chain` holds consecutive commits, oldest first, ending in the server's head; its first link must not be newer than
/// the oldest non-empty witness (links before the first are not looked at). An empty chain is a server without commits.
pub fn judge(card: &Witness, terminal: &Witness, chain: &[Link]) -> Verdict {
    let shown = chain.last().map_or(0, |l| l.sequence);
    let list = chain.last().map_or(0, |l| l.list_number);
    if terminal.sequence > shown {
        return Verdict::RolledBack {
            seen: terminal.sequence,
            shown,
        };
    }
    if terminal.sequence > 0 && !has(terminal, chain) {
        return Verdict::Fork {
            sequence: terminal.sequence,
        };
    }
    if terminal.list_number > list || has_another_list(terminal, chain) {
        return Verdict::ListRolledBack {
            seen: terminal.list_number,
            shown: list,
        };
    }
    if *card == Witness::EMPTY || proves(card, chain) {
        return Verdict::Continue;
    }
    let ends = |l: &Link| l.ends.is_some_and(|up_to| up_to >= card.sequence);
    if chain.iter().any(ends) {
        return Verdict::Ended;
    }
    Verdict::Unproven {
        seen: card.sequence,
        shown,
    }
}

fn has(w: &Witness, chain: &[Link]) -> bool {
    let same = |l: &Link| l.sequence == w.sequence && l.hash == w.head;
    chain.iter().any(same)
}

fn has_another_list(w: &Witness, chain: &[Link]) -> bool {
    let other = |l: &Link| l.list_number == w.list_number && l.list_hash != w.list_hash;
    w.list_number > 0 && chain.iter().any(other)
}

/// Whether a card's record is one that the chain explains. Where the chain jumps over an ended record, cards are led up over
/// the gap with what the commit behind it says.
fn proves(card: &Witness, chain: &[Link]) -> bool {
    let newest = chain.last().map_or((0, 0), |l| (l.epoch, l.list_number));
    if card.epoch > newest.0 || card.list_number > newest.1 || has_another_list(card, chain) {
        return false;
    }
    let next = chain.iter().find(|l| l.sequence >= card.sequence);
    next.is_some_and(|l| l.hash == card.head && (l.sequence == card.sequence || l.ends.is_some()))
}

/// The first record of a card that has none: the newest commit that is within what such a card takes.
pub fn first_step(chain: &[Link]) -> Option<Witness> {
    let small = |l: &&Link| {
        l.sequence >> FIRST_SEQUENCE_BITS == 0
            && l.list_number >> FIRST_NUMBER_BITS == 0
            && l.epoch >> FIRST_NUMBER_BITS == 0
    };
    chain.iter().take_while(small).last().map(Witness::from)
}

/// The next record to put into a card that is behind, so that every step is within what a card takes and is a real commit of
/// the chain; or, in a gap that an ended record left, the commit behind it under the number that the card can take.
///
/// `before` is what the card has, `chain` as in [`judge`]. None: the card has the newest, or more than can be led on.
pub fn step_up(before: &Witness, chain: &[Link]) -> Option<Witness> {
    let near = |l: &Link| {
        l.sequence <= before.sequence.saturating_add(STEP_SEQUENCE)
            && l.list_number <= before.list_number.saturating_add(STEP_LIST)
            && l.epoch <= before.epoch.saturating_add(1)
    };
    let ahead = chain.iter().filter(|l| l.sequence > before.sequence);
    if let Some(link) = ahead.clone().take_while(|l| near(l)).last() {
        return Some(Witness::from(link));
    }
    let over = ahead.clone().next().filter(|l| l.ends.is_some())?;
    Some(Witness {
        sequence: before.sequence.checked_add(STEP_SEQUENCE)?,
        ..Witness::from(over)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(n: u64) -> Link {
        Link {
            epoch: 1,
            sequence: n,
            hash: Hash([n as u8; 32]),
            list_number: 1,
            list_hash: Hash([9; 32]),
            ends: None,
        }
    }

    fn saw(n: u64) -> Witness {
        Witness::from(&link(n))
    }

    /// Five commits, a record of 5,000 that was ended, two commits more.
    fn mended() -> Vec<Link> {
        let mut chain: Vec<_> = (1..=5).map(link).collect();
        for n in [5_001, 5_002] {
            chain.push(Link {
                epoch: 2,
                list_number: 2,
                list_hash: Hash([10; 32]),
                ends: (n == 5_001).then_some(5_000),
                ..link(n)
            });
        }
        chain
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
            judge(&saw(2), &saw(7), &chain),
            Verdict::RolledBack { seen: 7, shown: 5 }
        );
        // What this terminal saw itself counts before what the card says.
        assert_eq!(
            judge(&saw(6), &saw(7), &chain),
            Verdict::RolledBack { seen: 7, shown: 5 }
        );
        let mut other = saw(4);
        other.head = Hash([77; 32]);
        assert_eq!(
            judge(&saw(4), &other, &chain),
            Verdict::Fork { sequence: 4 }
        );
        let mut list = saw(5);
        list.list_number = 2;
        assert_eq!(
            judge(&saw(5), &list, &chain),
            Verdict::ListRolledBack { seen: 2, shown: 1 }
        );
        let mut list = saw(5);
        list.list_hash = Hash([1; 32]);
        assert!(matches!(
            judge(&saw(5), &list, &chain),
            Verdict::ListRolledBack { .. }
        ));
    }

    #[test]
    fn w_3_a_record_that_no_commit_proves_is_no_rollback() {
        let chain: Vec<_> = (1..=5).map(link).collect();
        let unproven = |seen| Verdict::Unproven { seen, shown: 5 };
        assert_eq!(judge(&saw(6), &saw(5), &chain), unproven(6));
        assert_eq!(
            judge(&saw(1), &Witness::EMPTY, &[]),
            Verdict::Unproven { seen: 1, shown: 0 }
        );
        let changes: [fn(&mut Witness); 5] = [
            |w| w.head = Hash([77; 32]),
            |w| w.list_hash = Hash([1; 32]),
            |w| w.list_number = 2,
            |w| w.epoch = 2,
            |w| w.sequence = 3,
        ];
        for change in changes {
            let mut record = saw(4);
            change(&mut record);
            assert_eq!(
                judge(&record, &saw(5), &chain),
                unproven(record.sequence),
                "{record:?}"
            );
        }
        // One that never saw a commit, but a list.
        let mut record = Witness::EMPTY;
        record.list_number = 3;
        assert_eq!(judge(&record, &saw(5), &chain), unproven(0));
    }

    #[test]
    fn w_3_what_the_owner_ended_is_excused_up_to_there_and_no_further() {
        let chain = mended();
        let own = Witness::from(&chain[6]);
        let judged = |w: &Witness| judge(w, &own, &chain);
        for n in [6, 4_000, 5_000] {
            assert_eq!(judged(&saw(n)), Verdict::Ended, "{n}");
        }
        let mut other = saw(5);
        other.head = Hash([77; 32]);
        assert_eq!(judged(&other), Verdict::Ended);
        for n in [5_003, 9_000] {
            let unproven = Verdict::Unproven {
                seen: n,
                shown: 5_002,
            };
            assert_eq!(judged(&saw(n)), unproven);
        }
        let mut other = Witness::from(&chain[5]);
        other.head = Hash([77; 32]);
        assert!(matches!(judged(&other), Verdict::Unproven { .. }));
        // Real ones, and steps over the gap.
        for w in chain.iter().map(Witness::from) {
            assert_eq!(judged(&w), Verdict::Continue, "{w:?}");
        }
        let mut step = Witness::from(&chain[5]);
        step.sequence = 1_029;
        assert_eq!(judged(&step), Verdict::Continue);
        // An ordinary commit's hash under another number is none.
        let mut step = Witness::from(&chain[6]);
        step.sequence = 1_029;
        assert_eq!(judged(&step), Verdict::Ended);
    }

    #[test]
    fn w_3_a_card_is_led_up_by_real_commits_within_its_limits() {
        let chain: Vec<Link> = (1..=5_000u32)
            .map(|n| Link {
                epoch: 1 + n / 1_000,
                list_number: 1 + n / 10,
                list_hash: Hash([(n / 10 % 251) as u8; 32]),
                ..link(n.into())
            })
            .collect();
        let mut record = saw(1);
        let mut steps = 0;
        while let Some(next) = step_up(&record, &chain) {
            assert!(chain.iter().any(|l| Witness::from(l) == next), "{next:?}");
            assert!(next.sequence > record.sequence && next.sequence <= record.sequence + 1_024);
            assert!(next.list_number <= record.list_number + 16);
            assert!(next.epoch <= record.epoch + 1);
            record = next;
            steps += 1;
        }
        assert_eq!(record, Witness::from(&chain[4_999]));
        assert!(steps < 40, "{steps}");

        // Over a gap.
        let chain = mended();
        let mut record = saw(3);
        let mut seen = Vec::new();
        while let Some(next) = step_up(&record, &chain) {
            assert!(next.sequence > record.sequence && next.sequence <= record.sequence + 1_024);
            assert_eq!(judge(&next, &saw(1), &chain), Verdict::Continue);
            record = next;
            seen.push(next.sequence);
        }
        assert_eq!(seen, [5, 1_029, 2_053, 3_077, 4_101, 5_002]);
        // A new card in an old vault, whose chain jumped over more than a first record may have.
        let mut far = chain.clone();
        far[5].sequence = (1 << 32) + 1;
        far[6].sequence = (1 << 32) + 2;
        assert_eq!(first_step(&far), Some(saw(5)));
        assert_eq!(first_step(&chain), Some(Witness::from(&chain[6])));
        assert_eq!(first_step(&[]), None);
        // More than the chain has: nothing to lead up to.
        assert_eq!(step_up(&saw(6_000), &chain), None);
        assert_eq!(step_up(&saw(u64::MAX), &chain), None);
    }
}
