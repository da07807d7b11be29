//! The whole chain on real parts: pcscd, the applet in jCardSim, D-Bus, the daemon, the server over mutual TLS.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use simsync_rig::demo::{Person, Report, eject, insert, pull, run, unlock, unlock_at_insertion};
use simsync_rig::rig::{Rig, Secrets, Terminal, mark};
use simsync_rig::scene::{joined, paired, seed};

#[test]
fn m1_m2_m3_m4_m14_b4_the_data_follows_the_card() {
    let mut report = Report::new();
    run(&mut report, seed()).unwrap();
    assert!(
        report.handovers.iter().all(|h| h.identical),
        "{:?}",
        report.handovers
    );
    assert!(
        report.refusals.iter().all(|r| r.ok),
        "{:?}",
        report.refusals
    );
    assert_eq!((report.handovers.len(), report.refusals.len()), (2, 3));
}

#[test]
fn the_daemon_survives_a_killed_server_and_a_cut_wire() {
    let mut rig = Rig::start().unwrap();
    let (a, person) = paired(&mut rig, "A").unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    rig.server.kill();
    std::fs::write(a.data.join("while away.txt"), "kept").unwrap();
    a.wait_status("the server to be missed", |s| s["online"] == false)
        .unwrap();
    let before = a.status().unwrap()["sequence"].as_u64().unwrap();
    rig.server.serve().unwrap();
    a.wait_status("the change to be uploaded", |s| {
        s["sequence"].as_u64().is_some_and(|n| n > before) && s["state"] == "synced"
    })
    .unwrap();
    // A yank without network: the tail waits on disk and goes out when the wire is back.
    a.wire.set_down(true);
    std::fs::write(a.data.join("offline.txt"), "sealed").unwrap();
    rig.bridge.eject(&person.card).unwrap();
    a.wait_status("the tail to wait", |s| {
        s["tails_waiting"].as_u64().is_some_and(|n| n > 0)
    })
    .unwrap();
    a.wire.set_down(false);
    a.wait_status("the tail to be delivered", |s| {
        s["tails_waiting"] == 0 && mark(s, "tail-delivered") > mark(s, "removed")
    })
    .unwrap();
}

#[test]
fn m8_a_terminal_that_was_added_meanwhile_is_told_of_at_the_next_session() {
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let told = |status: &serde_json::Value| {
        let all = status["reasons"].as_array().unwrap();
        let one = all.iter().find(|r| r["code"] == "terminals-added")?;
        Some(one["sentence"].as_str().unwrap().to_owned())
    };
    let session = |rig: &mut Rig, t: &Terminal, person: &Person| {
        insert(rig, t, person).unwrap();
        let status = unlock(t, person).unwrap();
        eject(rig, t, person).unwrap();
        assert_eq!(told(&t.status().unwrap()), None);
        told(&status)
    };
    assert_eq!(session(&mut rig, &a, &person), None);
    let b = joined(&mut rig, &mut person, "B").unwrap();
    // Once, and not at the one that was added.
    let sentence = session(&mut rig, &a, &person).unwrap();
    assert!(sentence.contains(": B;"), "{sentence}");
    assert_eq!(session(&mut rig, &a, &person), None);
    assert_eq!(session(&mut rig, &b, &person), None);
    assert_eq!(session(&mut rig, &b, &person), None);
}

#[test]
fn m14_a_card_that_is_waited_for_needs_three_commands() {
    let mut rig = Rig::start().unwrap();
    let (mut a, person) = paired(&mut rig, "A").unwrap();
    // By itself the daemon would go on to sync, and write the head to the card.
    a.configure(&serde_json::json!({ "sync_on_insertion": false, "sync_on_change": false }))
        .unwrap();
    a.stop_daemon().unwrap();
    a.start_daemon().unwrap();
    let none = ["unlock", "--await-card", "--timeout", "1"];
    let secrets = Secrets::give("--pin-fd", &person.pin);
    let result = a.simsync(&none, &secrets).unwrap();
    assert_eq!(
        (result.code, result.json["error"]["code"].as_str()),
        (6, Some("no-card")),
        "{result:?}"
    );
    // The card is kept for 0.7 s after the first look. On a busy machine a PIN may come later; then it is tried again.
    for _ in 0..20 {
        let result = unlock_at_insertion(&mut rig, &a, &person).unwrap();
        assert_eq!(result.code, 0, "{result:?}");
        // Nobody looked at anything yet.
        let status = a.wait_state(&["pending"]).unwrap();
        let stats = rig.bridge.stats(&person.card).unwrap();
        if stats.apdus == 3 {
            // SELECT, VERIFY, OPEN SESSION.
            return;
        }
        let at = |name| mark(&status, name).unwrap();
        assert!(at("pin") - at("inserted") > 600, "{stats:?}, {status}");
        pull(&mut rig, &a, &person).unwrap();
    }
    panic!("no PIN came in time");
}

#[test]
fn b4_after_a_yank_no_key_of_the_vault_is_left_in_memory() {
    let mut rig = Rig::start().unwrap();
    let (a, person) = paired(&mut rig, "A").unwrap();
    let code =
        simsyncd::recovery::RecoveryCode::parse(person.recovery.as_deref().unwrap()).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    // The vault key by the recovery code, from the terminal's own copy of the key object.
    let store = simsyncd::store::Store::open(&a.home.join("state/state.db")).unwrap();
    let object = store.key_objects().unwrap().pop().unwrap();
    let wrap = store
        .wrap(&simsync_vault::keyobject::RECOVERY_ID)
        .unwrap()
        .unwrap();
    let key =
        simsync_vault::keys::VaultKey::unwrap_with_key(&object, &wrap, &code.kem_secret()).unwrap();
    let needles = key.secrets_for_tests();
    // `nsenter` has become it.
    let daemon = a.daemon_pid().unwrap();
    let found = |needle: &[u8; 32]| memory_holds(daemon, needle);
    assert!(
        needles.iter().any(found),
        "with the card in, the search must find something"
    );
    rig.bridge.eject(&person.card).unwrap();
    a.wait_status("the keys to be wiped", |s| {
        mark(s, "wiped") >= mark(s, "removed") && mark(s, "removed").is_some()
    })
    .unwrap();
    a.wait_status("the tail to be delivered", |s| {
        mark(s, "tail-delivered").is_some()
    })
    .unwrap();
    let left: Vec<usize> = (0..needles.len())
        .filter(|i| memory_holds(daemon, &needles[*i]))
        .collect();
    assert!(
        left.is_empty(),
        "keys {left:?} of {} are still in memory",
        needles.len()
    );
}

fn memory_holds(pid: u32, needle: &[u8; 32]) -> bool {
    use std::os::unix::fs::FileExt;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mem = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    for line in maps
        .lines()
        .filter(|l| l.split(' ').nth(1).is_some_and(|p| p.starts_with("rw")))
    {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let from = u64::from_str_radix(from, 16).unwrap();
        let to = u64::from_str_radix(to, 16).unwrap();
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        let Ok(n) = mem.read_at(&mut bytes, from) else {
            continue;
        };
        let first = needle[0];
        let hay = &bytes[..n];
        if hay
            .iter()
            .enumerate()
            .any(|(i, b)| *b == first && hay.get(i..i + 32).is_some_and(|w| w == needle))
        {
            return true;
        }
    }
    false
}
