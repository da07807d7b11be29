//! What happens around the daemon while it works: pcscd dies, other programs use the card, files are damaged, the server is
//! killed. Nothing is lost, and the status says what is wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use simsync_rig::demo::{Person, eject, insert, pull, unlock};
use simsync_rig::rig::{
    DEADLINE, Other, Rig, Secrets, Terminal, mark, packs_below, program, wait_for,
};
use simsync_rig::scene::{equal, has_reason, joined, paired, paired_with, seed, tell};
use simsync_rig::tree;

/// Writes a file and waits until a commit holds it.
fn save(t: &Terminal, name: &str) {
    let before = t.status().unwrap()["sequence"].as_u64().unwrap();
    std::fs::write(t.data.join(name), name).unwrap();
    t.wait_status(&format!("{name} to be uploaded"), |s| {
        s["sequence"].as_u64().is_some_and(|n| n > before) && s["state"] == "synced"
    })
    .unwrap();
}

fn unlocked(t: &Terminal, person: &Person) {
    if let Err(e) = unlock(t, person) {
        panic!("{e}\n{}", tell(t));
    }
}

#[test]
fn m14_pcscd_may_be_killed_and_come_back() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (mut a, mut anna) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut anna, "B").unwrap();
    // Without a card.
    a.kill_pcscd();
    a.wait_status("pcscd to be missed", |s| has_reason(s, "no-pcscd"))
        .unwrap();
    a.start_pcscd().unwrap();
    a.wait_status("the reader to be back", |s| {
        !has_reason(s, "no-pcscd") && s["readers"].as_array().is_some_and(|r| !r.is_empty())
    })
    .unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    unlocked(&a, &anna);
    save(&a, "before.txt");
    // With a card in and a session open: it is a yank.
    let pid = a.daemon_pid();
    a.wire.set_down(true);
    std::fs::write(a.data.join("unsaved.txt"), "sealed").unwrap();
    a.kill_pcscd();
    let status = a
        .wait_status("the session to be over", |s| {
            has_reason(s, "no-pcscd") && s["session"].is_null() && s["tails_waiting"] == 1
        })
        .unwrap();
    assert_eq!(status["cards"].as_array().map(Vec::len), Some(0));
    a.start_pcscd().unwrap();
    a.wire.set_down(false);
    a.wait_status("the tail to be delivered", |s| s["tails_waiting"] == 0)
        .unwrap();
    insert(&mut rig, &b, &anna).unwrap();
    unlocked(&b, &anna);
    equal(&a, &b).unwrap();
    eject(&mut rig, &b, &anna).unwrap();
    // The same daemon, by itself.
    insert(&mut rig, &a, &anna).unwrap();
    unlocked(&a, &anna);
    save(&a, "after.txt");
    assert_eq!(a.daemon_pid(), pid);
}

#[test]
fn m14_another_program_may_hold_the_card() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (mut a, anna) = paired(&mut rig, "A").unwrap();
    // Alone, before the daemon could look at the card: said, and over by itself.
    a.stop_daemon().unwrap();
    rig.bridge.insert(&anna.card, a.port).unwrap();
    let held = wait_for("the card", DEADLINE, || {
        let cards = a.card_tool(&["info"], &Secrets::default()).ok()?;
        (cards.code == 0).then(|| Other::start(&a, "exclusive").unwrap())
    })
    .unwrap();
    a.start_daemon().unwrap();
    a.wait_status("the other program to be told of", |s| {
        has_reason(s, "card-busy")
    })
    .unwrap();
    held.finish().unwrap();
    a.wait_status("the card to be known", |s| s["state"] == "locked")
        .unwrap();
    // A transaction, while the session is to be opened: it waits.
    let held = Other::start(&a, "transaction").unwrap();
    std::thread::scope(|scope| {
        let opened = scope.spawn(|| unlock(&a, &anna));
        a.wait_status("the other program to be told of", |s| {
            s["state"] == "opening" && has_reason(s, "card-busy")
        })
        .unwrap();
        assert!(!opened.is_finished());
        held.finish().unwrap();
        opened.join().unwrap().unwrap();
    });
    // And with a session open: work goes on, and so does the session.
    let session = a.status().unwrap()["session"].clone();
    let held = Other::start(&a, "transaction").unwrap();
    save(&a, "while it is held.txt");
    held.finish().unwrap();
    save(&a, "later.txt");
    assert_eq!(a.status().unwrap()["session"], session);
    // Pulled while it is held: that is seen, and the keys go.
    let held = Other::start(&a, "transaction").unwrap();
    pull(&mut rig, &a, &anna).unwrap();
    a.wait_status("the keys to be wiped", |s| {
        mark(s, "wiped").is_some() && mark(s, "wiped") >= mark(s, "removed")
    })
    .unwrap();
    drop(held);
}

#[test]
fn m5_the_pin_is_asked_for_again_only_when_the_card_forgot_it() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, anna) = paired(&mut rig, "A").unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    unlocked(&a, &anna);
    let again = |name: &str| {
        // A connection that is lost is what makes the card prove its presence.
        a.wire.set_down(true);
        std::fs::write(a.data.join(name), name).unwrap();
        a.wait_status("the server to be missed", |s| s["online"] == false)
            .unwrap();
        a.wire.set_down(false);
    };
    let before = a.status().unwrap();
    again("no reset.txt");
    a.wait_status("the upload, without a PIN", |s| {
        s["sequence"].as_u64() > before["sequence"].as_u64() && s["state"] == "synced"
    })
    .unwrap();
    assert_eq!(a.status().unwrap()["session"], before["session"]);
    for what in ["reset", "select"] {
        let before = a.status().unwrap()["sequence"].as_u64().unwrap();
        Other::start(&a, what).unwrap().finish().unwrap();
        // The server's grant is there still: nothing has to be asked.
        save(&a, &format!("{what}.txt"));
        again(&format!("{what} and cut.txt"));
        let status = a
            .wait_status("the PIN to be missed", |s| {
                s["state"] == "locked" && has_reason(s, "no-agent")
            })
            .unwrap();
        assert!(has_reason(&status, "card-reset"), "{status}");
        assert_eq!(status["cards"][0]["pin_tries"], 3, "{status}");
        assert!(status["session"].is_null(), "{status}");
        unlocked(&a, &anna);
        let status = a.status().unwrap();
        assert!(!has_reason(&status, "card-reset"), "{status}");
        assert!(status["sequence"].as_u64().unwrap() > before, "{status}");
        assert_eq!(status["conflicts"], 0);
        assert_eq!(status["cards"][0]["pin_tries"], 3, "{status}");
    }
}

#[test]
fn m2_a_server_killed_in_an_upload_has_all_or_nothing() {
    let seed = seed();
    let mut rig = Rig::start().unwrap();
    let small = serde_json::json!({ "pack_target": 64 << 10 });
    let (a, mut anna) = paired_with(&mut rig, "A", "card", &small).unwrap();
    let b = joined(&mut rig, &mut anna, "B").unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    unlocked(&a, &anna);
    for round in 0..4 {
        let (server, before) = (rig.server.dir.clone(), rig.server.packs());
        let sequence = a.status().unwrap()["sequence"].as_u64().unwrap();
        a.wire
            .hold_when(move || packs_below(&server) > before + round);
        let seed = seed.wrapping_add(round as u64);
        tree::fill(&a.data.join(format!("{round}")), 60, 24 << 10, seed).unwrap();
        wait_for("the upload to be held", DEADLINE, || {
            a.wire.is_held().then_some(())
        })
        .unwrap();
        rig.server.kill();
        a.wire.release();
        rig.server.serve().unwrap();
        a.wait_status("the upload to go on", |s| {
            s["sequence"].as_u64().is_some_and(|n| n > sequence) && s["state"] == "synced"
        })
        .unwrap();
    }
    eject(&mut rig, &a, &anna).unwrap();
    insert(&mut rig, &b, &anna).unwrap();
    unlocked(&b, &anna);
    equal(&a, &b).unwrap();
}

/// The daemon, which must not start: its exit code and what it says.
fn refuses(t: &Terminal) -> (Option<i32>, String) {
    let mut command: Command = t.inside(&program("simsyncd").unwrap());
    command
        .arg("--home")
        .arg(&t.home)
        .arg("--bus")
        .arg(t.bus_address())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let ended = wait_for("the daemon's end", DEADLINE, || child.try_wait().unwrap());
    let _ = child.kill();
    let _ = child.wait();
    let mut text = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    (ended.unwrap_or_else(|e| panic!("{e}: {text}")).code(), text)
}

fn sql(path: &Path, text: &str) {
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.execute_batch(text).unwrap();
}

#[test]
fn damaged_and_newer_files_are_named_and_left_alone() {
    let seed = seed();
    let mut rig = Rig::start().unwrap();
    let (mut a, anna) = paired(&mut rig, "A").unwrap();
    a.stop_daemon().unwrap();
    let data = tree::snapshot(&a.data).unwrap();
    let database = a.home.join("state/state.db");
    let (config, terminal) = (
        a.home.join("config/config.json"),
        a.home.join("state/terminal.json"),
    );
    let newer = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["version"] = 99.into();
        std::fs::write(path, value.to_string()).unwrap();
    };
    type Harm<'a> = Box<dyn Fn(&Path) + 'a>;
    let cases: Vec<(&str, &Path, Harm<'_>, &str)> = vec![
        (
            "cut in half",
            &database,
            Box::new(|p| {
                let bytes = std::fs::read(p).unwrap();
                std::fs::write(p, &bytes[..bytes.len() / 2]).unwrap();
            }),
            "move the file aside",
        ),
        (
            "noise",
            &database,
            Box::new(move |p| {
                use rand::{Rng, SeedableRng};
                let mut noise = vec![0; 64 << 10];
                rand::rngs::StdRng::seed_from_u64(seed).fill_bytes(&mut noise);
                std::fs::write(p, noise).unwrap();
            }),
            "move the file aside",
        ),
        (
            "a row of nonsense",
            &database,
            Box::new(|p| sql(p, "UPDATE key_objects SET bytes = x'0102'")),
            "move the file aside",
        ),
        (
            "a commit of nonsense",
            &database,
            Box::new(|p| sql(p, "UPDATE commits SET bytes = x'0102'")),
            "move the file aside",
        ),
        (
            "a newer database",
            &database,
            Box::new(|p| sql(p, "PRAGMA journal_mode = DELETE; PRAGMA user_version = 99")),
            "update simsync",
        ),
        ("newer settings", &config, Box::new(newer), "update simsync"),
        (
            "a newer terminal",
            &terminal,
            Box::new(newer),
            "update simsync",
        ),
    ];
    for (what, path, harm, words) in cases {
        let good = std::fs::read(path).unwrap();
        harm(path);
        let harmed = std::fs::read(path).unwrap();
        let (code, text) = refuses(&a);
        assert_eq!(code, Some(78), "{what}: {text}");
        let last = text.lines().last().unwrap_or_default();
        assert!(last.starts_with("simsyncd: "), "{what}: {text}");
        assert!(last.contains(words), "{what}: {text}");
        let name = path.file_name().unwrap().to_string_lossy();
        assert!(last.contains(&*name), "{what}: {text}");
        assert!(!text.contains("panicked"), "{what}: {text}");
        assert!(std::fs::read(path).unwrap() == harmed, "{what}: written");
        assert_eq!(tree::snapshot(&a.data).unwrap(), data, "{what}");
        std::fs::write(path, good).unwrap();
        for extra in ["state.db-wal", "state.db-shm"] {
            let _ = std::fs::remove_file(path.with_file_name(extra));
        }
    }
    // With the files as they were, everything is.
    a.start_daemon().unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    unlocked(&a, &anna);
    save(&a, "as before.txt");
}

#[test]
fn m6_without_logind_the_owners_policy_decides() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (mut a, anna) = paired(&mut rig, "A").unwrap();
    let restart = |a: &mut Terminal, policy: &str| {
        a.stop_daemon().unwrap();
        a.configure(&serde_json::json!({ "login_session": policy }))
            .unwrap();
        a.start_daemon().unwrap();
    };
    restart(&mut a, "required");
    insert(&mut rig, &a, &anna).unwrap();
    let before = rig.bridge.stats(&anna.card).unwrap().apdus;
    let secrets = Secrets::give("--pin-fd", &anna.pin).and("--terminal-pin-fd", &anna.terminal_pin);
    let refused = a.simsync(&["unlock"], &secrets).unwrap();
    assert_eq!(refused.code, 9, "{}", refused.json);
    assert_eq!(
        refused.json["error"]["code"], "session-unknown",
        "{}",
        refused.json
    );
    let status = a.status().unwrap();
    assert!(has_reason(&status, "session-unknown"), "{status}");
    assert!(status["login_active"].is_null() && status["session"].is_null());
    // Before anything of the card or the server was asked.
    assert_eq!(rig.bridge.stats(&anna.card).unwrap().apdus, before);
    restart(&mut a, "when-known");
    unlocked(&a, &anna);
    assert!(a.status().unwrap()["login_locked"].is_null());
    save(&a, "allowed.txt");
}
