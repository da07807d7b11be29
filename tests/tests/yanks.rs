//! The card is yanked at any moment, with and without network, and the daemon dies: everything arrives (B4).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use std::sync::atomic::{AtomicUsize, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use simsync_rig::demo::{Person, eject, insert, unlock};
use simsync_rig::memory;
use simsync_rig::rig::{DEADLINE, Rig, Secrets, Terminal, mark, packs_below, program, wait_for};
use simsync_rig::scene::{equal, joined_with, paired_with, seed, tell};
use simsync_rig::tree;

/// Small packs, so that a yank finds some sent and some not.
const PACK_TARGET: usize = 64 << 10;
const ROUNDS: usize = 40;
const LARGE: usize = 3 << 20;

/// When the card is pulled, and what the network does.
#[derive(Debug, Clone, Copy)]
enum Yank {
    /// As soon as the last change was made.
    AtOnce,
    /// When so many packs of the changes are at the server.
    AfterPacks(usize),
    /// When so many pieces of what is uploaded passed the wire: within a pack, as a rule.
    AfterPieces(usize),
    /// Without network, which comes back before the card is in the other terminal, or only after the data was looked for.
    Offline { back_first: bool },
    /// While the session is opened: at this APDU, which the card sees (and answers in vain) or not.
    AtApdu { n: u32, seen: bool },
}

impl Yank {
    /// Every kind comes in turn, with details by chance.
    fn draw(round: usize, rng: &mut StdRng) -> Self {
        match round % 5 {
            0 => Self::AfterPacks(rng.random_range(1..4)),
            4 => Self::AfterPieces(rng.random_range(1..180)),
            1 => Self::Offline {
                back_first: rng.random(),
            },
            2 => Self::AtApdu {
                n: rng.random_range(1..9),
                seen: rng.random(),
            },
            _ => Self::AtOnce,
        }
    }
}

struct World {
    rig: Rig,
    terminals: [Terminal; 2],
    anna: Person,
}

/// Two terminals of one person, equal, with some files; the card is out.
fn world(seed: u64) -> World {
    let mut rig = Rig::start().unwrap();
    let small = serde_json::json!({ "pack_target": PACK_TARGET });
    let (a, mut anna) = paired_with(&mut rig, "A", "card", &small).unwrap();
    tree::fill(&a.data, 40, 4 << 10, seed).unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    unlock(&a, &anna).unwrap();
    eject(&mut rig, &a, &anna).unwrap();
    let b = joined_with(&mut rig, &mut anna, "B", &small).unwrap();
    equal(&a, &b).unwrap();
    World {
        rig,
        terminals: [a, b],
        anna,
    }
}

impl World {
    /// Puts the card in and types the PIN.
    fn open(&mut self, at: usize) {
        self.wait_empty(at);
        let t = &self.terminals[at];
        insert(&mut self.rig, t, &self.anna).unwrap();
        if let Err(e) = unlock(t, &self.anna) {
            panic!("{e}\n{}", tell(t));
        }
    }

    /// What is seen of the card is not what was seen of it before.
    fn wait_empty(&self, at: usize) {
        let t = &self.terminals[at];
        let mut pcscd_says = t.inside(&program("other-program").unwrap());
        assert!(pcscd_says.arg("empty").output().unwrap().status.success());
        t.wait_status("an empty reader", |s| {
            s["cards"].as_array().is_some_and(Vec::is_empty)
        })
        .unwrap();
    }

    fn pull(&mut self) {
        self.rig.bridge.eject(&self.anna.card).unwrap();
    }

    fn equal(&self) {
        let [a, b] = &self.terminals;
        if let Err(e) = equal(a, b) {
            panic!("{e}");
        }
    }

    /// The tail of the removal just made rests on the disk of this terminal.
    fn tail_made(&self, at: usize) {
        self.terminals[at]
            .wait_status("the tail to be made", |s| {
                mark(s, "removed").is_some() && mark(s, "tail-made") >= mark(s, "removed")
            })
            .unwrap();
    }

    /// One round: changes at `from`, the yank, and the data at the other terminal, where the card stays, open.
    fn round(&mut self, from: usize, tag: &str, yank: Yank, rng: &mut StdRng) {
        let to = 1 - from;
        let (wire, data) = (
            self.terminals[from].wire.clone(),
            self.terminals[from].data.clone(),
        );
        match yank {
            Yank::AtOnce => {
                tree::stir(&data, rng, tag, 0).unwrap();
                self.pull();
            }
            Yank::AfterPacks(_) | Yank::AfterPieces(_) => {
                let server = self.rig.server.dir.clone();
                let (before, pieces) = (packs_below(&server), AtomicUsize::new(0));
                wire.hold_when(move || match yank {
                    Yank::AfterPacks(k) => packs_below(&server) >= before + k,
                    Yank::AfterPieces(n) => pieces.fetch_add(1, Ordering::Relaxed) >= n,
                    _ => false,
                });
                tree::stir(&data, rng, tag, LARGE).unwrap();
                wait_for("the upload to be held", DEADLINE, || {
                    wire.is_held().then_some(())
                })
                .unwrap();
                self.pull();
                wire.release();
            }
            Yank::Offline { back_first } => {
                wire.set_down(true);
                tree::stir(&data, rng, tag, LARGE).unwrap();
                self.pull();
                if back_first {
                    self.tail_made(from);
                    wire.set_down(false);
                }
            }
            Yank::AtApdu { n, seen } => {
                // A session opened anew has APDUs to be cut at.
                eject(&mut self.rig, &self.terminals[from], &self.anna).unwrap();
                tree::stir(&data, rng, tag, 0).unwrap();
                insert(&mut self.rig, &self.terminals[from], &self.anna).unwrap();
                let how = if seen { "yank" } else { "yank-before" };
                let cut = format!("{how} {} {n}", self.anna.card);
                self.rig.bridge.call(&cut).unwrap();
                let secrets = Secrets::give("--pin-fd", &self.anna.pin)
                    .and("--terminal-pin-fd", &self.anna.terminal_pin);
                let opened = self.terminals[from].simsync(&["unlock"], &secrets).unwrap();
                // With fewer APDUs than n the card is in still.
                let _ = self.rig.bridge.eject(&self.anna.card);
                println!("   unlock: exit code {}", opened.code);
                self.terminals[from]
                    .wait_status("the card to be gone", |s| {
                        s["cards"].as_array().is_some_and(Vec::is_empty)
                    })
                    .unwrap();
                if opened.code != 0 {
                    // There was no session that could have carried the changes: they wait for the next one.
                    self.open(from);
                    self.pull();
                }
            }
        }
        self.open(to);
        if wire.is_down() {
            wire.set_down(false);
        }
        self.equal();
        // The files are there before the commit that merged the tail. What a pull in between makes of further edits is known
        // (docs/durability.md, "knows and excuses"): nothing is lost, and a version may be kept aside.
        self.terminals[to].wait_state(&["synced"]).unwrap();
    }
}

#[test]
fn b4_yanked_at_many_points_everything_arrives() {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut w = world(seed);
    w.open(0);
    let start = std::time::Instant::now();
    for round in 0..ROUNDS {
        let yank = Yank::draw(round, &mut rng);
        println!("round {round} at {:?}: {yank:?}", start.elapsed());
        w.round(round % 2, &round.to_string(), yank, &mut rng);
    }
    println!("{ROUNDS} rounds in {:?}", start.elapsed());
    for t in &w.terminals {
        assert_eq!(t.status().unwrap()["conflicts"], 0, "{}", tell(t));
    }
}

#[test]
fn b4_a_tail_that_comes_late_is_merged_with_what_the_other_terminal_did() {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut w = world(seed);
    w.open(0);
    w.terminals[0].wire.set_down(true);
    tree::stir(&w.terminals[0].data, &mut rng, "late", LARGE).unwrap();
    w.pull();
    w.tail_made(0);
    w.open(1);
    let [a, b] = &w.terminals;
    let unfinished = |s: &serde_json::Value| {
        let all = s["terminals"].as_array().cloned().unwrap_or_default();
        all.iter()
            .any(|t| t["label"] == "A" && t["unfinished"] == true)
    };
    b.wait_status("A to be shown as unfinished", unfinished)
        .unwrap();
    std::fs::create_dir(b.data.join("of B")).unwrap();
    for i in 0..5 {
        std::fs::write(b.data.join(format!("of B/{i}")), format!("{i}{seed}")).unwrap();
    }
    let before = b.status().unwrap()["sequence"].as_u64().unwrap();
    b.wait_status("B's own changes to be uploaded", |s| {
        s["sequence"].as_u64().is_some_and(|n| n > before) && s["state"] == "synced"
    })
    .unwrap();
    a.wire.set_down(false);
    let of_b = tree::snapshot(&b.data.join("of B")).unwrap();
    assert_eq!(of_b.len(), 5);
    let rest = |t: &Terminal| {
        let mut all = tree::snapshot(&t.data).unwrap_or_default();
        all.retain(|path, _| !path.starts_with(b"of B"));
        all
    };
    wait_for("A's changes on B", DEADLINE, || {
        (rest(a) == rest(b)).then_some(())
    })
    .map_err(|e| format!("{e}\n{}\n{}", tell(a), tell(b)))
    .unwrap();
    assert_eq!(tree::snapshot(&b.data.join("of B")).unwrap(), of_b);
    b.wait_status("the rest to be merged", |s| s["state"] == "synced")
        .unwrap();
    w.pull();
    w.open(0);
    w.equal();
    assert_eq!(
        tree::snapshot(&w.terminals[0].data.join("of B")).unwrap(),
        of_b
    );
    for t in &w.terminals {
        assert_eq!(t.status().unwrap()["conflicts"], 0, "{}", tell(t));
    }
}

#[test]
fn b4_a_second_yank_before_anyone_merged_replaces_the_first_tail() {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut w = world(seed);
    w.open(0);
    w.terminals[0].wire.set_down(true);
    tree::stir(&w.terminals[0].data, &mut rng, "first", LARGE).unwrap();
    w.pull();
    w.tail_made(0);
    let (wire, server) = (w.terminals[0].wire.clone(), w.rig.server.dir.clone());
    wire.set_down(false);
    w.terminals[0]
        .wait_status("the first tail to be delivered", |s| {
            s["tails_waiting"] == 0
        })
        .unwrap();
    // Back into A, which begins to upload, and out again before it could commit.
    tree::stir(&w.terminals[0].data, &mut rng, "second", 0).unwrap();
    let before = packs_below(&server);
    wire.hold_when(move || packs_below(&server) > before);
    insert(&mut w.rig, &w.terminals[0], &w.anna).unwrap();
    let secrets = Secrets::give("--pin-fd", &w.anna.pin);
    w.terminals[0].simsync(&["unlock"], &secrets).unwrap();
    wait_for("the upload to be held", DEADLINE, || {
        wire.is_held().then_some(())
    })
    .unwrap();
    w.pull();
    w.tail_made(0);
    let store = simsyncd::store::Store::open(&w.terminals[0].home.join("state/state.db")).unwrap();
    let sessions = store.own_sessions().unwrap();
    let tails: Vec<_> = sessions
        .iter()
        .filter_map(|s| simsync_vault::tail::Tail::from_bytes(s.tail.as_ref()?).ok())
        .collect();
    let [first, second] = &tails[..] else {
        panic!("{} tails instead of two", tails.len());
    };
    let named: Vec<u32> = second.body.replaces.iter().map(|r| r.n).collect();
    assert_eq!(named, [first.body.session.n]);
    assert!(second.body.items.len() > first.body.items.len());
    drop(store);
    wire.release();
    // Whoever opens before that takes the first one alone.
    w.terminals[0]
        .wait_status("the second tail to be delivered", |s| {
            s["tails_waiting"] == 0
        })
        .unwrap();
    w.open(1);
    w.equal();
    // Back in A nothing is left of either.
    w.pull();
    w.open(0);
    w.equal();
    for t in &w.terminals {
        let status = t.status().unwrap();
        assert_eq!(status["conflicts"], 0, "{}", tell(t));
        assert_eq!(status["tails_waiting"], 0, "{}", tell(t));
    }
}

#[test]
fn b4_a_daemon_killed_after_a_yank_or_in_an_upload_loses_nothing() {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut w = world(seed);
    for round in 0..9 {
        let (from, to) = (round % 2, 1 - round % 2);
        let tag = format!("kill-{round}");
        println!("round {round}");
        let (wire, server) = (w.terminals[from].wire.clone(), w.rig.server.dir.clone());
        let data = w.terminals[from].data.clone();
        w.open(from);
        let before = packs_below(&server);
        match round % 3 {
            // The card stays in, the daemon dies in the middle of an upload.
            0 => {
                wire.hold_when(move || packs_below(&server) > before);
                tree::stir(&data, &mut rng, &tag, LARGE).unwrap();
                wait_for("the upload to be held", DEADLINE, || {
                    wire.is_held().then_some(())
                })
                .unwrap();
                w.terminals[from].kill_daemon();
                wire.release();
            }
            // It dies as soon as the card is out.
            1 => {
                tree::stir(&data, &mut rng, &tag, LARGE).unwrap();
                w.pull();
                w.terminals[from].kill_daemon();
            }
            // It dies with the sealed rest on disk and nothing delivered.
            _ => {
                wire.set_down(true);
                tree::stir(&data, &mut rng, &tag, LARGE).unwrap();
                w.pull();
                w.tail_made(from);
                w.terminals[from].kill_daemon();
                wire.set_down(false);
            }
        }
        w.terminals[from].start_daemon().unwrap();
        if round % 3 != 0 {
            w.wait_empty(from);
            insert(&mut w.rig, &w.terminals[from], &w.anna).unwrap();
        }
        w.terminals[from]
            .wait_status("the card to be known", |s| s["state"] == "locked")
            .unwrap();
        let opened = unlock(&w.terminals[from], &w.anna);
        opened.unwrap_or_else(|e| panic!("{e}\n{}", tell(&w.terminals[from])));
        w.pull();
        w.open(to);
        w.equal();
        w.pull();
    }
    for t in &w.terminals {
        let status = t.status().unwrap();
        assert_eq!(status["conflicts"], 0, "{}", tell(t));
    }
}

/// The server takes connections and answers nothing, in the middle of an upload.
#[test]
fn b4_a_removal_waits_for_no_server_that_hangs() {
    let seed = seed();
    let mut w = world(seed);
    let keys = memory::vault_keys(&w.terminals[0], &w.anna).unwrap();
    w.open(0);
    w.rig.server.hang(true).unwrap();
    tree::fill(&w.terminals[0].data.join("new"), 60, 64 << 10, seed).unwrap();
    let t = &w.terminals[0];
    t.wait_status("an upload that gets no answer", |s| {
        s["jobs"].as_array().is_some_and(|jobs| !jobs.is_empty())
    })
    .unwrap();
    w.pull();
    let t = &w.terminals[0];
    t.wait_status("the removal to be told", |s| {
        s["cards"].as_array().is_some_and(Vec::is_empty) && s["session"].is_null()
    })
    .unwrap();
    memory::nothing_is_left(t, &keys).unwrap();
    w.rig.server.hang(false).unwrap();
    w.open(1);
    w.equal();
    w.pull();
}
