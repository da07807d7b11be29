//! "Everything is in sync" is true or not said: the server, the card, other programs and other people.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use serde_json::Value;
use simsync_rig::claims::{PARTIAL, claims_nothing, ends_with, listed, not_in_sync, open, rows};
use simsync_rig::demo::{eject, insert, pull, unlock};
use simsync_rig::rig::{Other, Rig, Secrets, Terminal, mark};
use simsync_rig::scene::{equal, has_reason, joined, paired, paired_with, seed, tell};

#[test]
fn f_c_without_the_server_nothing_is_in_sync() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, anna) = paired(&mut rig, "A").unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    unlock(&a, &anna).unwrap();
    rig.server.kill();
    let status = a.wait_state(&["offline"]).unwrap();
    assert!(has_reason(&status, "offline"), "{status}");
    std::fs::write(a.data.join("while away.txt"), "kept").unwrap();
    for command in ["sync", "eject"] {
        let text = ends_with(&a, &[command], 7).unwrap();
        claims_nothing(&text).unwrap();
        assert!(!text.contains("You can take the card"), "{text}");
        let status = not_in_sync(&a).unwrap();
        assert_eq!(status["state"], "offline", "{status}");
    }
    let before = status["sequence"].as_u64().unwrap();
    rig.server.serve().unwrap();
    a.wait_status("the change to be uploaded", |s| {
        s["state"] == "synced" && s["sequence"].as_u64().unwrap() > before
    })
    .unwrap();
    ends_with(&a, &["eject"], 0).unwrap();
}

fn in_use(status: &Value) -> bool {
    let cards = status["cards"].as_array().unwrap();
    assert_eq!(cards.len(), 1, "{status}");
    cards[0]["in_use"] == true
}

#[test]
fn f_c_what_is_saved_after_eject_is_said_while_the_card_is_in() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, anna) = paired(&mut rig, "A").unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    let status = unlock(&a, &anna).unwrap();
    assert!(in_use(&status), "{status}");
    // Saved just before: it goes up with this very command, and nothing is said of it after.
    std::fs::write(a.data.join("before.txt"), "before").unwrap();
    ends_with(&a, &["eject"], 0).unwrap();
    let status = a.status().unwrap();
    assert_eq!(status["state"], "closed", "{status}");
    assert!(!has_reason(&status, "changed-since-eject"), "{status}");
    assert!(!in_use(&status), "{status}");
    let sequence = status["sequence"].as_u64().unwrap();
    // A look at a file, and a file that comes and goes, change nothing.
    let passing = a.data.join("passing.txt");
    std::fs::write(&passing, "x").unwrap();
    a.wait_state(&["pending"]).unwrap();
    std::fs::remove_file(&passing).unwrap();
    a.wait_state(&["closed"]).unwrap();

    std::fs::write(a.data.join("after.txt"), "after").unwrap();
    let status = a.wait_state(&["pending"]).unwrap();
    assert!(has_reason(&status, "changed-since-eject"), "{status}");
    assert!(!in_use(&status), "{status}");
    not_in_sync(&a).unwrap();
    // It is no alarm that comes and goes: a comparison found it.
    a.wait_status("the comparison", |s| {
        s["state"] == "pending" && has_reason(s, "changed-since-eject")
    })
    .unwrap();
    open(&a, &anna).unwrap();
    a.wait_status("the file to be uploaded", |s| {
        s["state"] == "synced" && s["sequence"].as_u64().unwrap() > sequence
    })
    .unwrap();
    ends_with(&a, &["eject"], 0).unwrap();
    assert_eq!(a.status().unwrap()["state"], "closed");
}

fn unfinished(status: &Value) -> bool {
    let all = status["terminals"].as_array().unwrap();
    all.iter().any(|t| t["unfinished"] == true)
}

#[test]
fn f_c_a_card_that_was_not_told_is_said_and_made_up_for() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut anna) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut anna, "B").unwrap();
    for round in 0..2 {
        insert(&mut rig, &a, &anna).unwrap();
        unlock(&a, &anna).unwrap();
        std::fs::write(a.data.join(format!("{round}.txt")), "a").unwrap();
        a.wait_state(&["synced"]).unwrap();
        Other::start(&a, "select").unwrap().finish().unwrap();
        let text = ends_with(&a, &["eject"], PARTIAL).unwrap();
        assert!(text.contains("the card was not told"), "{text}");
        claims_nothing(&text).unwrap();
        let status = a.status().unwrap();
        assert!(has_reason(&status, "card-not-told"), "{status}");
        assert_eq!(listed(&status), rows(&[]));
        pull(&mut rig, &a, &anna).unwrap();

        insert(&mut rig, &b, &anna).unwrap();
        open(&b, &anna).unwrap();
        equal(&a, &b).unwrap();
        let made_up = |s: &Value| s["state"] == "synced" && !unfinished(s);
        let status = b.wait_status("the card to be told", made_up).unwrap();
        assert_eq!(status["conflicts"], 0, "{status}");
        assert!(!has_reason(&status, "card-not-told"), "{status}");
        // Not only said: the card itself waits for nobody any more.
        eject(&mut rig, &b, &anna).unwrap();
        insert(&mut rig, &a, &anna).unwrap();
        let status = unlock(&a, &anna).unwrap();
        assert!(!unfinished(&status), "{status}");
        assert!(!has_reason(&status, "card-not-told"), "{status}");
        assert_eq!(status["conflicts"], 0, "{status}");
        eject(&mut rig, &a, &anna).unwrap();
    }
}

#[test]
fn f_c_what_one_caller_did_wrong_is_nobody_elses_error() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, anna) = paired(&mut rig, "A").unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    unlock(&a, &anna).unwrap();
    let wrong: [(&[&str], i32); 7] = [
        (&["collections", "remove", "nonsense"], 2),
        (&["collections", "answer", "nonsense", "deleted"], 2),
        (&["collections", "answer", "nonsense", "stop"], 2),
        (&["terminals", "remove", "nonsense", "--yes"], 2),
        (&["card", "remove", "00000000", "--yes"], 2),
        (&["forget", "nonsense"], 2),
        // Nobody is there to give the PIN.
        (&["pin", "change"], 8),
    ];
    for (args, code) in wrong {
        ends_with(&a, args, code).unwrap();
        let status = a.status().unwrap();
        assert!(status["last_error"].is_null(), "{args:?}: {status}");
        assert_eq!(status["state"], "synced", "{args:?}: {status}");
    }
    // A folder that cannot be one, asked of the daemon itself.
    let home = a.home.to_string_lossy().into_owned();
    let order = Secrets::give("--pin-fd", &anna.pin);
    let refused = a
        .simsync(&["collections", "add", "Own", &home], &order)
        .unwrap();
    assert_eq!(refused.code, 2, "{refused:?}");
    let status = a.status().unwrap();
    assert!(status["last_error"].is_null(), "{status}");
    assert_eq!(status["state"], "synced", "{status}");
}

#[test]
fn f_c_who_is_refused_is_not_offline() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut anna) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut anna, "B").unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    unlock(&a, &anna).unwrap();
    let refused = |t: &Terminal| {
        let status = t
            .wait_status("the refusal", |s| has_reason(s, "revoked"))
            .unwrap();
        assert!(!has_reason(&status, "offline"), "{status}");
        assert_eq!(status["online"], true, "{status}");
        let status = not_in_sync(t).unwrap();
        assert_ne!(status["state"], "offline", "{status}");
    };
    rig.server
        .admin(&["subscriber", "suspend", &anna.subscriber])
        .unwrap();
    refused(&a);
    std::fs::write(a.data.join("while suspended.txt"), "kept").unwrap();
    // Whatever is tried.
    let told = a.simsync(&["unlock"], &anna.secrets()).unwrap();
    assert_eq!(told.code, 4, "{told:?}");
    refused(&a);
    rig.server
        .admin(&["subscriber", "resume", &anna.subscriber])
        .unwrap();
    open(&a, &anna).unwrap();
    let status = a.wait_state(&["synced"]).unwrap();
    assert!(!has_reason(&status, "revoked"), "{status}");
    let id = b.status().unwrap()["terminal"].as_str().unwrap().to_owned();
    eject(&mut rig, &a, &anna).unwrap();
    rig.server
        .admin(&["terminal", "revoke", "--yes", &id])
        .unwrap();
    refused(&b);
}

/// What `simsync conflicts` lists: the paths under which versions were kept aside.
fn kept_aside(t: &Terminal) -> Vec<String> {
    let told = t.simsync(&["conflicts"], &Secrets::default()).unwrap();
    let told = told.ok("simsync conflicts").unwrap().json;
    let all = told["conflicts"].as_array().unwrap();
    let aside = all.iter().map(|c| c["aside"].as_str().unwrap().to_owned());
    aside.collect()
}

#[test]
fn f_c_conflicts_are_listed_on_both_terminals_until_they_are_gone() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut anna) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut anna, "B").unwrap();
    insert(&mut rig, &b, &anna).unwrap();
    unlock(&b, &anna).unwrap();
    std::fs::write(b.data.join("first.txt"), "B's version").unwrap();
    b.wait_state(&["synced"]).unwrap();
    eject(&mut rig, &b, &anna).unwrap();
    std::fs::write(a.data.join("first.txt"), "A's own version").unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    let status = unlock(&a, &anna).unwrap();
    assert_eq!(status["conflicts"], 1, "{}", tell(&a));
    let aside = kept_aside(&a);
    assert_eq!(aside.len(), 1);
    assert!(a.data.join(&aside[0]).exists());
    eject(&mut rig, &a, &anna).unwrap();
    insert(&mut rig, &b, &anna).unwrap();
    let status = unlock(&b, &anna).unwrap();
    assert_eq!(status["conflicts"], 1, "{}", tell(&b));
    assert_eq!(kept_aside(&b), aside);
    equal(&a, &b).unwrap();
    // Settled where it was not made.
    std::fs::remove_file(b.data.join(&aside[0])).unwrap();
    b.wait_status("the conflict to be gone", |s| {
        s["conflicts"] == 0 && s["state"] == "synced"
    })
    .unwrap();
    assert_eq!(kept_aside(&b), Vec::<String>::new());
    eject(&mut rig, &b, &anna).unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    let status = unlock(&a, &anna).unwrap();
    assert_eq!(status["conflicts"], 0, "{}", tell(&a));
    assert_eq!(kept_aside(&a), Vec::<String>::new());
    assert!(!a.data.join(&aside[0]).exists());
}

#[test]
fn f_c_what_is_not_taken_is_not_in_sync() {
    seed();
    let mut rig = Rig::start().unwrap();
    let careful = serde_json::json!({ "confirm_downloads": true });
    let (a, mut anna) = paired_with(&mut rig, "A", "card", &careful).unwrap();
    let b = joined(&mut rig, &mut anna, "B").unwrap();
    insert(&mut rig, &b, &anna).unwrap();
    unlock(&b, &anna).unwrap();
    std::fs::write(b.data.join("new.txt"), "from B").unwrap();
    b.wait_state(&["synced"]).unwrap();
    eject(&mut rig, &b, &anna).unwrap();
    // A takes nothing that its owner did not look at, and says that there is something.
    insert(&mut rig, &a, &anna).unwrap();
    open(&a, &anna).unwrap();
    a.wait_status("a sync", |s| {
        mark(s, "synced") >= mark(s, "opened") && s["state"] != "syncing"
    })
    .unwrap();
    let status = not_in_sync(&a).unwrap();
    assert!(!a.data.join("new.txt").exists(), "{status}");
    let text = ends_with(&a, &["eject"], PARTIAL).unwrap();
    claims_nothing(&text).unwrap();
    open(&a, &anna).unwrap();
    ends_with(&a, &["sync", "--review", "--yes"], 0).unwrap();
    a.wait_state(&["synced"]).unwrap();
    assert!(a.data.join("new.txt").exists());
    ends_with(&a, &["eject"], 0).unwrap();
}
