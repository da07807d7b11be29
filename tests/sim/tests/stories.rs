//! Worlds that somebody wrote down: operations in whose midst a loss was found once, or that need an accident that is seldom
//! drawn. What must be true is what must be true in every world; one terminal is edited, so nothing may be kept aside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use parking_lot::Mutex;
use simsync_server::testing::Lie;
use simsync_sim::ops::{Edit, Event, Op, Work};
use simsync_sim::run::play;

/// What is armed is armed for a process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Numbers of paths: `x`, `y`, `a/x`, `a`.
const X: u8 = 0;
const Y: u8 = 1;
const A_X: u8 = 3;
const A: u8 = 10;
/// And `b`, `b/z.txt`, `y` of the notes.
const B: u8 = 11;
const B_Z: u8 = 6;
const NOTES_Y: u8 = 15;

fn edit(at: u8, edit: Edit) -> Op {
    Op::Edit { at, edit }
}

fn write(at: u8, path: u8) -> Op {
    edit(at, Edit::Write { path, size: 9 })
}

fn work(at: u8, work: Work) -> Op {
    Op::Work { at, work }
}

/// The server takes the commit of this work, and the terminal does not hear of it.
fn unheard(at: u8, work: Work) -> Op {
    Op::During {
        steps: "server.store.commit",
        at,
        work,
        event: Event::LoseAnswer,
        left: 1,
    }
}

/// Each begins and ends in peace, with the same files there. All are played in one world.
fn stories(all: &[Vec<Op>]) {
    let _alone = ONE_AT_A_TIME.lock();
    let mut ops = Vec::new();
    for then in all {
        ops.extend([
            write(0, X),
            write(0, A_X),
            edit(0, Edit::Symlink { path: Y }),
        ]);
        ops.push(Op::Peace);
        ops.extend_from_slice(then);
        ops.push(Op::Peace);
    }
    if let Err(failure) = play(1, &ops) {
        let last = ops[..=failure.after].rsplit(|op| *op == Op::Peace).nth(1);
        panic!("after {:?}: {}", last.unwrap_or_default(), failure.what);
    }
}

/// One of them.
fn story(then: &[Op]) {
    stories(&[then.to_vec()]);
}

#[test]
fn b4_a_session_that_only_heard_of_an_unheard_commit_seals_what_came_after_it() {
    let mut all = Vec::new();
    for and_then in [
        edit(2, Edit::Delete { path: B_Z }),
        write(2, B_Z),
        edit(2, Edit::Rename { from: B_Z, to: Y }),
    ] {
        for how in [Work::Sync, Work::Eject] {
            let killed = Op::During {
                steps: "daemon.commit",
                at: 2,
                work: how,
                event: Event::KillDaemon,
                left: 1,
            };
            all.push(vec![
                write(2, B_Z),
                killed,
                // Opened, and pulled before it synced: the card goes to another terminal.
                work(2, Work::Insert),
                and_then,
                work(0, Work::Insert),
            ]);
        }
    }
    stories(&all);
}

#[test]
fn b4_an_unheard_commit_is_ones_own() {
    let mut all = Vec::new();
    for and_then in [
        write(0, X),
        edit(0, Edit::Delete { path: X }),
        edit(0, Edit::Delete { path: Y }),
        edit(0, Edit::Symlink { path: Y }),
        edit(0, Edit::Rename { from: A, to: 11 }),
        edit(0, Edit::Chmod { path: X, mode: 1 }),
    ] {
        let first = [
            write(0, X),
            edit(0, Edit::Symlink { path: Y }),
            edit(0, Edit::Chmod { path: X, mode: 2 }),
            unheard(0, Work::Sync),
        ];
        let killed = |steps, left| Op::During {
            steps,
            at: 0,
            work: Work::Sync,
            event: Event::KillDaemon,
            left,
        };
        let again = [work(0, Work::Sync)];
        all.push([&first[..], &[and_then], &again].concat());
        // The same where the terminal ends before it writes that down, or in the middle of it.
        for (steps, left) in [
            ("daemon.store.commit", 0),
            ("daemon.store.settled", 0),
            ("daemon.store.settled", 1),
        ] {
            let first = [write(0, X), write(0, A_X), killed(steps, left)];
            all.push([&first[..], &[and_then], &again].concat());
        }
    }
    stories(&all);
}

#[test]
fn b4_a_tail_after_an_unheard_commit_begins_with_it() {
    let begin_with = |and_then| {
        vec![
            write(0, X),
            write(0, A_X),
            edit(0, Edit::Symlink { path: Y }),
            unheard(0, Work::Sync),
            and_then,
            work(0, Work::Yank),
            work(0, Work::Deliver),
            work(1, Work::Sync),
        ]
    };
    stories(
        &[
            write(0, X),
            edit(0, Edit::Delete { path: X }),
            edit(0, Edit::Delete { path: Y }),
            edit(0, Edit::Rename { from: A, to: 11 }),
        ]
        .map(begin_with),
    );
}

#[test]
fn b4_a_session_that_closed_unheard_holds_up_no_tail() {
    story(&[
        write(0, X),
        unheard(0, Work::Eject),
        write(0, X),
        work(0, Work::Yank),
        work(0, Work::Deliver),
        work(1, Work::Sync),
        work(0, Work::Sync),
    ]);
}

#[test]
fn b4_what_changed_after_it_was_sealed_is_no_conflict() {
    let sealed = [
        write(0, X),
        edit(0, Edit::Mkdir { path: 13 }),
        edit(0, Edit::Symlink { path: Y }),
        edit(0, Edit::Chmod { path: X, mode: 2 }),
        edit(0, Edit::Chmod { path: A, mode: 1 }),
        work(0, Work::Sync),
        edit(0, Edit::Symlink { path: Y }),
        edit(0, Edit::Chmod { path: X, mode: 1 }),
        edit(0, Edit::Chmod { path: A, mode: 2 }),
        write(0, A_X),
        work(0, Work::Yank),
        work(0, Work::Deliver),
        work(1, Work::Sync),
    ];
    let goes_on = |and_then| [&sealed[..], &[and_then, work(0, Work::Sync)]].concat();
    stories(
        &[
            edit(0, Edit::Delete { path: Y }),
            edit(0, Edit::Symlink { path: Y }),
            edit(0, Edit::Chmod { path: X, mode: 3 }),
            edit(0, Edit::Chmod { path: A, mode: 3 }),
            edit(0, Edit::Delete { path: A_X }),
            edit(0, Edit::Rmdir { path: 13 }),
        ]
        .map(goes_on),
    );
}

#[test]
fn b4_what_came_back_after_its_deletion_was_sealed_stays() {
    story(&[
        work(0, Work::Sync),
        edit(0, Edit::Rename { from: X, to: 2 }),
        work(0, Work::Yank),
        work(0, Work::Deliver),
        work(1, Work::Sync),
        edit(0, Edit::Rename { from: 2, to: X }),
        work(0, Work::Sync),
    ]);
}

/// The daemon of the second terminal is killed at each of these moments of a sync that takes what others wrote.
#[test]
fn b4_what_was_being_written_when_the_daemon_was_killed_is_no_edit() {
    let mut all = Vec::new();
    for (steps, left) in [
        ("daemon.apply.batch", 1),
        ("daemon.apply.placed", 1),
        ("daemon.apply.placed", 3),
        ("daemon.store.synced", 0),
        ("daemon.store.sent", 0),
    ] {
        let killed = Op::During {
            steps,
            at: 1,
            work: Work::Sync,
            event: Event::KillDaemon,
            left,
        };
        let changes = [
            write(0, X),
            write(0, A_X),
            write(0, 2),
            work(0, Work::Eject),
        ];
        all.push([&changes[..], &[killed], &changes, &[work(1, Work::Sync)]].concat());
    }
    stories(&all);
}

/// A person saves a file on the second terminal in the midst of a sync that brings another version of it.
#[test]
fn m4_what_a_person_saves_while_a_version_comes_is_not_replaced() {
    let mut all = Vec::new();
    for (steps, left) in [
        ("daemon.store.applying", 1),
        ("daemon.apply.staged", 1),
        ("daemon.apply.batch", 0),
        ("daemon.apply.placed", 0),
    ] {
        for what in [Edit::Append { path: X }, Edit::Write { path: X, size: 9 }] {
            let saved = Op::During {
                steps,
                at: 1,
                work: Work::Sync,
                event: Event::Edit(what),
                left,
            };
            all.push(vec![
                write(0, X),
                work(0, Work::Eject),
                saved,
                work(1, Work::Eject),
            ]);
        }
    }
    stories(&all);
}

#[test]
fn b4_two_tails_in_a_row_are_one_persons_edits() {
    let twice = |second| {
        vec![
            work(0, Work::Sync),
            write(0, X),
            work(0, Work::Yank),
            work(0, Work::Insert),
            second,
            work(0, Work::Yank),
            work(0, Work::Deliver),
            work(1, Work::Sync),
        ]
    };
    stories(
        &[
            write(0, X),
            edit(0, Edit::Delete { path: X }),
            edit(0, Edit::Rename { from: X, to: 2 }),
        ]
        .map(twice),
    );
}

#[test]
fn b4_a_session_commits_more_than_once() {
    story(&[
        write(0, X),
        work(0, Work::Sync),
        write(0, X),
        work(0, Work::Sync),
        write(0, X),
        work(0, Work::Eject),
    ]);
}

/// A tail is merged and written to this disk, but the commit with it never comes, and another terminal's does.
#[test]
fn b4_a_merge_that_no_commit_holds_is_no_base() {
    for (steps, left) in [("daemon.store.sent", 0), ("daemon.commit.sent", 0)] {
        let killed = Op::During {
            steps,
            at: 1,
            work: Work::Sync,
            event: Event::KillDaemon,
            left,
        };
        story(&[
            work(0, Work::Sync),
            write(0, X),
            edit(0, Edit::Delete { path: A_X }),
            work(0, Work::Yank),
            work(0, Work::Deliver),
            killed,
            write(0, X),
            write(0, A_X),
            work(0, Work::Sync),
            work(1, Work::Sync),
        ]);
    }
}

#[test]
fn b4_bits_that_are_set_before_a_file_is_read_go_up_in_the_next_sync() {
    // Both collections were looked at; while the first is written to, somebody sets the bits of a file of the second one.
    story(&[
        edit(0, Edit::Symlink { path: B_Z }),
        work(0, Work::Sync),
        write(1, NOTES_Y),
        Op::During {
            steps: "daemon.apply",
            at: 1,
            work: Work::Sync,
            event: Event::Edit(Edit::Chmod {
                path: NOTES_Y,
                mode: 1,
            }),
            left: 1,
        },
        work(1, Work::Sync),
    ]);
}

#[test]
fn w_1_a_tail_that_came_broken_is_named_until_it_comes_whole() {
    story(&[
        write(2, X),
        work(2, Work::Sync),
        write(2, A_X),
        work(2, Work::Yank),
        work(2, Work::Deliver),
        Op::Lie {
            at: 0,
            work: Work::Sync,
            lie: Lie::ShortPack,
            left: 0,
            knob: 3,
        },
        Op::Lie {
            at: 0,
            work: Work::Sync,
            lie: Lie::ShortPack,
            left: 1,
            knob: 3,
        },
    ]);
}

#[test]
fn b4_a_tail_that_was_replaced_waits_with_the_newer_one() {
    // The newer one holds notes, which C does not sync: it is left to others, and so is the earlier one.
    story(&[
        work(0, Work::Insert),
        write(0, B_Z),
        work(0, Work::Yank),
        work(0, Work::Insert),
        write(0, NOTES_Y),
        work(0, Work::Yank),
        work(0, Work::Deliver),
        work(2, Work::Sync),
    ]);
}

#[test]
fn b4_a_file_that_made_room_for_a_folder_is_no_deletion() {
    // B is killed while it puts folders in the place of its files. What it took away is no edit of anybody's there.
    for left in 0..12 {
        let _alone = ONE_AT_A_TIME.lock();
        let killed = |at, work, left| Op::During {
            steps: "daemon.apply",
            at,
            work,
            event: Event::KillDaemon,
            left,
        };
        let ops = [
            write(1, A),
            write(1, B),
            work(1, Work::Sync),
            write(0, A_X),
            write(0, B_Z),
            killed(0, Work::Eject, 7),
            work(0, Work::Deliver),
            killed(1, Work::Sync, left),
            Op::Peace,
        ];
        if let Err(failure) = play(1, &ops) {
            panic!("killed after {left}: {}", failure.what);
        }
    }
}
