//! The head rules, beside their table: what each witness and each link of the chain decides by itself.

use simsync_card::ids::Hash;
use simsync_vault::head::{Link, Verdict, Witness, judge};

fn link(sequence: u64, list_number: u32) -> Link {
    Link {
        epoch: 1,
        ends: None,
        sequence,
        hash: Hash([sequence as u8; 32]),
        list_number,
        list_hash: Hash([100 + list_number as u8; 32]),
    }
}

fn saw(link: &Link) -> Witness {
    Witness {
        epoch: 1,
        sequence: link.sequence,
        head: link.hash,
        list_number: link.list_number,
        list_hash: link.list_hash,
    }
}

/// Commits 1 to 4; the third brings key object 2.
fn chain() -> Vec<Link> {
    vec![link(1, 1), link(2, 1), link(3, 2), link(4, 2)]
}

/// What the terminal's witness says. A card's record is proven where the same would be in order for a terminal, and else
/// unproven; each is judged with a witness that saw nothing beside it.
fn judge_each(w: &Witness, chain: &[Link]) -> Verdict {
    let terminal = judge(&Witness::EMPTY, w, chain);
    let card = match terminal {
        Verdict::Continue => Verdict::Continue,
        _ => Verdict::Unproven {
            seen: w.sequence,
            shown: chain.last().map_or(0, |l| l.sequence),
        },
    };
    assert_eq!(judge(w, &Witness::EMPTY, chain), card);
    terminal
}

#[test]
fn b2_every_link_that_was_seen_is_a_place_to_go_on_from() {
    for seen in &chain() {
        assert_eq!(judge_each(&saw(seen), &chain()), Verdict::Continue);
    }
    assert_eq!(judge_each(&Witness::EMPTY, &chain()), Verdict::Continue);
}

#[test]
fn b2_a_list_that_went_back_or_is_another_one_is_found_out_by_itself() {
    let list = |list_number, hash| Witness {
        list_number,
        list_hash: Hash([hash; 32]),
        ..saw(&link(2, 1))
    };
    let back = |seen| Verdict::ListRolledBack { seen, shown: 2 };
    assert_eq!(judge_each(&list(1, 101), &chain()), Verdict::Continue);
    assert_eq!(judge_each(&list(2, 102), &chain()), Verdict::Continue);
    assert_eq!(judge_each(&list(3, 103), &chain()), back(3));
    // Another list of the same number, the newest one and one before.
    assert_eq!(judge_each(&list(2, 9), &chain()), back(2));
    assert_eq!(judge_each(&list(1, 9), &chain()), back(1));
    // Who saw no list says nothing of it, whatever stands in the place of its hash.
    assert_eq!(judge_each(&list(0, 9), &chain()), Verdict::Continue);
    let none = [Link {
        list_number: 0,
        ..link(2, 1)
    }];
    assert_eq!(judge_each(&list(0, 9), &none), Verdict::Continue);
}

#[test]
fn b2_a_fork_needs_number_and_hash() {
    let fork = |sequence| Verdict::Fork { sequence };
    let other = Witness {
        head: Hash([9; 32]),
        ..saw(&link(3, 2))
    };
    assert_eq!(judge_each(&other, &chain()), fork(3));
    // The hash of another commit in its place.
    let moved = Witness {
        head: link(2, 1).hash,
        ..saw(&link(3, 2))
    };
    assert_eq!(judge_each(&moved, &chain()), fork(3));
    // A chain that begins after what was seen shows nothing.
    assert_eq!(judge_each(&saw(&link(1, 1)), &chain()[1..]), fork(1));
}
