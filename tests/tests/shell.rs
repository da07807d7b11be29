//! What a person meets at the shell: PINs that are tried first and not sent twice, labels that count everywhere, progress.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use serde_json::Value;
use simsync_rig::demo::{eject, insert, provision, pull, unlock};
use simsync_rig::rig::{CliResult, DEADLINE, Rig, Secrets, Terminal, packs_below, wait_for};
use simsync_rig::scene::{joined, on_card, paired, seed};

/// PIN and PUK tries, as the card says itself.
fn tries(t: &Terminal) -> (u64, u64) {
    let info = t.card_tool(&["info"], &Secrets::default()).unwrap();
    let json = info.ok("simsync-card info").unwrap().json;
    let number = |name: &str| json[name].as_u64().unwrap();
    (number("pin_tries"), number("puk_tries"))
}

/// The PUK that a command made.
fn puk_of(result: &CliResult) -> &str {
    result.secrets.get("--puk-fd").map_or("", String::as_str)
}

#[test]
fn f_g2_a_pin_that_was_refused_is_not_sent_again_by_itself() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    insert(&mut rig, &a, &person).unwrap();
    let unlock_with = |pin: &str| {
        let given = Secrets::give("--pin-fd", pin).and("--terminal-pin-fd", &person.terminal_pin);
        a.simsync(&["unlock"], &given).unwrap()
    };
    // Whoever answers, a script here, gives the same one for ever: it costs one try.
    for _ in 0..5 {
        let refused = unlock_with("0000");
        assert_eq!(refused.code, 5, "{}", refused.json);
        assert_eq!(tries(&a), (2, 10));
    }
    // Not after the card was out either.
    pull(&mut rig, &a, &person).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    assert_eq!(unlock_with("0000").code, 5);
    assert_eq!(tries(&a), (2, 10));
    // Another one is.
    assert_eq!(unlock_with("0001").code, 5);
    assert_eq!(tries(&a), (1, 10));
    // Once it is the PIN it is taken: the card's tries tell that something changed there.
    let new = Secrets::give("--puk-fd", &person.puk).and("--new-pin-fd", "0000");
    a.card_tool(&["pin", "unblock"], &new)
        .unwrap()
        .ok("simsync-card pin unblock")
        .unwrap();
    person.pin = "0000".to_owned();
    unlock(&a, &person).unwrap();
    eject(&mut rig, &a, &person).unwrap();
}

#[test]
fn f_g2_the_status_sees_by_itself_that_a_card_was_unblocked() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    insert(&mut rig, &a, &person).unwrap();
    for pin in ["0000", "0001", "0002"] {
        let given = Secrets::give("--pin-fd", pin).and("--terminal-pin-fd", &person.terminal_pin);
        assert_eq!(a.simsync(&["unlock"], &given).unwrap().code, 5);
    }
    let is_blocked = |s: &Value| s.to_string().contains("pin-blocked");
    a.wait_status("the card to be blocked", |s| {
        is_blocked(s) && s["cards"][0]["state"] == "blocked"
    })
    .unwrap();
    let new = Secrets::give("--puk-fd", &person.puk).and("--new-pin-fd", "8642");
    a.card_tool(&["pin", "unblock"], &new)
        .unwrap()
        .ok("simsync-card pin unblock")
        .unwrap();
    a.wait_status("the card to be usable", |s| {
        !is_blocked(s) && s["cards"][0]["state"] == "paired" && s["cards"][0]["pin_tries"] == 3
    })
    .unwrap();
    person.pin = "8642".to_owned();
    unlock(&a, &person).unwrap();
    eject(&mut rig, &a, &person).unwrap();
}

#[test]
fn f_g2_no_puk_is_made_before_the_old_pin_was_tried() {
    seed();
    let mut rig = Rig::start().unwrap();
    let a = rig.terminal("A").unwrap();
    let person = provision(&mut rig, &a, "card").unwrap();
    insert(&mut rig, &a, &person).unwrap();
    let order = |pin: &str, new: &str| {
        Secrets::give("--pin-fd", pin)
            .and("--new-pin-fd", new)
            .and("--terminal-pin-fd", &person.terminal_pin)
            .take("--puk-fd")
            .take("--recovery-fd")
    };
    let wrong = a.simsync(&["pair"], &order("0000", "2468")).unwrap();
    assert_eq!(wrong.code, 5, "{}", wrong.json);
    assert_eq!(puk_of(&wrong), "", "a PUK was written down for nothing");
    assert_eq!(tries(&a), (2, 10));
    let wrong = a.card_tool(&["pin", "change"], &{
        Secrets::give("--pin-fd", "0001")
            .and("--new-pin-fd", "2468")
            .take("--puk-fd")
    });
    let wrong = wrong.unwrap();
    assert_eq!((wrong.code, puk_of(&wrong)), (5, ""));
    assert_eq!(tries(&a), (1, 10));
    // The same PIN again is no change; the card would say so after the PUK was shown.
    let same = a
        .simsync(&["pair"], &order(&person.pin, &person.pin))
        .unwrap();
    assert_eq!((same.code, puk_of(&same)), (5, ""), "{}", same.json);
    let right = a.simsync(&["pair"], &order(&person.pin, "2468")).unwrap();
    let right = right.ok("simsync pair").unwrap();
    assert_eq!(puk_of(&right).trim().len(), 8);
}

/// The session that was open beside it is over, and that is known: the next command opens another one.
#[test]
fn f_g3_a_pairing_that_fails_late_leaves_nobody_stuck() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, person) = paired(&mut rig, "A").unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    a.wire.set_down(true);
    let failed = a.simsync(&["pair"], &person.secrets()).unwrap();
    assert_eq!(failed.code, 7, "{}", failed.json);
    a.wire.set_down(false);
    std::fs::write(a.data.join("after.txt"), "after").unwrap();
    unlock(&a, &person).unwrap();
    eject(&mut rig, &a, &person).unwrap();
}

/// What fails before anything was changed: the card still has the session that is open, and status says so rightly.
#[test]
fn f_g_a_command_that_fails_early_leaves_the_session_on_the_card() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, person) = paired(&mut rig, "A").unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    let session = a.status().unwrap()["session"].clone();
    let wrong = Secrets::give("--pin-fd", "0000");
    let none = Secrets::default();
    let commands: [(&[&str], &Secrets, i32); 5] = [
        (&["pair"], &wrong, 5),
        (&["pair", "--label", "Other"], &wrong, 5),
        (&["pair"], &none, 8),
        (&["card", "add", "--step"], &none, 6),
        (&["pin", "change"], &wrong, 5),
    ];
    for (n, (args, given, code)) in commands.into_iter().enumerate() {
        let failed = a.simsync(args, given).unwrap();
        assert_eq!(failed.code, code, "{args:?}: {}", failed.json);
        let name = format!("after {n}.txt");
        std::fs::write(a.data.join(&name), &name).unwrap();
        let synced = a.simsync(&["sync"], &none).unwrap().ok("simsync sync");
        synced.unwrap();
        let status = a.status().unwrap();
        assert_eq!(status["state"], "synced", "{args:?}: {status}");
        assert_eq!(status["session"], session, "{args:?}");
    }
    // No PIN is needed for the end, though the last one was wrong.
    let closes = || {
        let closed = a.simsync(&["eject"], &none).unwrap();
        assert_eq!(closed.code, 0, "{}", closed.json);
        let told = &closed.json["job"]["result"]["card-not-told"];
        assert!(told.is_null(), "{}", closed.json);
    };
    closes();
    // Without a server another name comes to nothing, too.
    unlock(&a, &person).unwrap();
    a.wire.set_down(true);
    let failed = a.simsync(&["pair", "--label", "Other"], &person.secrets());
    assert_eq!(failed.unwrap().code, 7);
    a.wire.set_down(false);
    a.simsync(&["sync"], &none).unwrap().ok("sync").unwrap();
    closes();
    // A new PIN is not verified yet.
    unlock(&a, &person).unwrap();
    let new = Secrets::give("--pin-fd", &person.pin).and("--new-pin-fd", "8642");
    let changed = a.simsync(&["pin", "change"], &new).unwrap();
    changed.ok("simsync pin change").unwrap();
    closes();
}

#[test]
fn f_g3_a_yank_while_a_terminal_is_renamed_leaves_one_name() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, person) = paired(&mut rig, "A").unwrap();
    insert(&mut rig, &a, &person).unwrap();
    // Card and server have the new name, the vault has not.
    let file = a.home.join("state/terminal.json");
    a.wire
        .hold_when(move || std::fs::read_to_string(&file).is_ok_and(|t| t.contains("Other")));
    let args = ["pair", "--label", "Other"];
    let failed = std::thread::scope(|scope| {
        let pairing = scope.spawn(|| a.simsync(&args, &person.secrets()).unwrap());
        wait_for("the new name to be half way", DEADLINE, || {
            a.wire.is_held().then_some(())
        })
        .unwrap();
        pull(&mut rig, &a, &person).unwrap();
        a.wire.set_down(true);
        a.wire.release();
        pairing.join().unwrap()
    });
    assert_ne!(failed.code, 0, "{}", failed.json);
    a.wire.set_down(false);
    let names = || {
        let status = a.status().unwrap();
        let own = status["terminals"].as_array().unwrap().iter();
        let own = own.filter(|t| t["own"] == true);
        let own = own.map(|t| t["label"].as_str().unwrap().to_owned());
        let own: Vec<String> = own.collect();
        (status["label"].as_str().unwrap().to_owned(), own)
    };
    assert_eq!(names(), ("A".to_owned(), vec!["A".to_owned()]));
    // Paired once more, it is done everywhere.
    insert(&mut rig, &a, &person).unwrap();
    let paired = a.simsync(&["pair"], &person.secrets()).unwrap();
    let paired = paired.ok("simsync pair").unwrap();
    assert_eq!(paired.json["job"]["result"]["label"], "Other");
    assert_eq!(names(), ("Other".to_owned(), vec!["Other".to_owned()]));
    assert_eq!(on_card(&a, &person).unwrap(), ["Other"]);
    let list = rig.server.admin(&["terminal", "list"]).unwrap().to_string();
    assert!(list.contains("Other"), "{list}");
}

#[test]
fn f_g3_a_label_counts_everywhere_and_equal_ones_are_told() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut person, "B").unwrap();
    insert(&mut rig, &b, &person).unwrap();
    let pair = |label: &str| {
        b.simsync(&["pair", "--label", label], &person.secrets())
            .unwrap()
            .ok("simsync pair --label")
            .unwrap()
            .json
    };
    // Another name on a terminal that is paired already; the same as another one's.
    let made = pair("A");
    assert_eq!(made["job"]["result"]["label"], "A", "{made}");
    let a_id = a.status().unwrap()["terminal"].as_str().unwrap().to_owned();
    let told = made["job"]["result"]["same-label"].as_str().unwrap();
    assert!(a_id.starts_with(told), "{told} {a_id}");
    // A name of its own.
    let made = pair("Küche");
    assert!(made["job"]["result"].get("same-label").is_none(), "{made}");
    let status = b.status().unwrap();
    assert_eq!(status["label"], "Küche");
    let own = |s: &Value| {
        let all = s["terminals"].as_array().unwrap().clone();
        all.into_iter().find(|t| t["own"] == true).unwrap()["label"].clone()
    };
    assert_eq!(own(&status), "Küche");
    assert_eq!(on_card(&b, &person).unwrap(), ["A", "Küche"]);
    let list = rig.server.admin(&["terminal", "list"]).unwrap().to_string();
    assert!(list.contains("Küche"), "{list}");
    // Names of conflicts, too: both sides edit one file.
    unlock(&b, &person).unwrap();
    eject(&mut rig, &b, &person).unwrap();
    std::fs::write(b.data.join("first.txt"), "by B").unwrap();
    std::fs::write(a.data.join("first.txt"), "by A, longer").unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    eject(&mut rig, &a, &person).unwrap();
    insert(&mut rig, &b, &person).unwrap();
    unlock(&b, &person).unwrap();
    let aside = b.data.join("first (conflict, Küche).txt");
    b.wait_status("the version that was kept aside", |_| aside.exists())
        .unwrap();
}

/// A job that the status shows, running and saying what it does.
fn moving_job(t: &Terminal, kind: &str) -> u64 {
    let id = std::cell::Cell::new(0);
    t.wait_status("a job with progress", |s| {
        let all = s["jobs"].as_array().into_iter().flatten();
        let found = all
            .filter(|j| j["kind"] == kind && j["state"] == "running")
            .find(|j| j["step"] != "");
        found.is_some_and(|j| {
            id.set(j["id"].as_u64().unwrap());
            true
        })
    })
    .unwrap();
    id.get()
}

fn cancel(t: &Terminal, job: u64) {
    let told = std::process::Command::new("dbus-send")
        .arg(format!("--bus={}", t.bus_address()))
        .args(["--print-reply", "--dest=org.simsync.SimSync1"])
        .arg(format!("/org/simsync/SimSync1/jobs/{job}"))
        .arg("org.simsync.SimSync1.Job.Cancel")
        .output()
        .unwrap();
    assert!(told.status.success(), "{told:?}");
}

#[test]
fn f_g3_adding_a_collection_and_syncs_of_our_own_show_progress_and_can_be_cancelled() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, person) = paired(&mut rig, "A").unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    let folder = a.data.with_file_name("more");
    std::fs::create_dir(&folder).unwrap();
    for n in 0..200 {
        let noise: Vec<u8> = (0..50_000).map(|_| rand::random()).collect();
        std::fs::write(folder.join(format!("{n}.bin")), noise).unwrap();
    }
    // From the next pack on nothing passes: whatever uploads then can be stopped in the midst of it.
    let hold = || {
        let (server, before) = (rig.server.dir.clone(), packs_below(&rig.server.dir));
        a.wire.hold_when(move || packs_below(&server) > before);
    };
    let is_held = || {
        let held = || a.wire.is_held().then_some(());
        wait_for("an upload under way", DEADLINE, held).unwrap();
    };
    hold();
    let args = ["collections", "add", "More", folder.to_str().unwrap()];
    let added = std::thread::scope(|scope| {
        let adding = scope.spawn(|| a.simsync(&args, &person.secrets()).unwrap());
        is_held();
        cancel(&a, moving_job(&a, "add-collection"));
        let added = adding.join().unwrap();
        a.wire.release();
        added
    });
    assert_eq!(added.code, 8, "{}", added.json);
    let sentence = added.json["error"]["sentence"].as_str().unwrap();
    assert!(sentence.contains("the next sync goes on"), "{sentence}");
    // It goes on, and what was under way arrives.
    let sync = || {
        let synced = a.simsync(&["sync"], &Secrets::default()).unwrap();
        synced.ok("simsync sync").unwrap();
    };
    sync();
    // A sync that nobody ordered is seen and cancelled in the same way.
    hold();
    std::fs::write(folder.join("another.txt"), "one more").unwrap();
    is_held();
    cancel(&a, moving_job(&a, "sync"));
    a.wire.release();
    // It was stopped, not lost.
    sync();
    eject(&mut rig, &a, &person).unwrap();
}
