//! Triggers neither starve nor get lost: a busy file, a folder that comes back, a daemon that only does what it is told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use simsync_rig::claims::{ends_with, listed, open};
use simsync_rig::demo::{insert, unlock};
use simsync_rig::rig::{DEADLINE, Rig, Terminal, wait_for};
use simsync_rig::scene::{paired, paired_with, seed, tell};
use simsync_sync::node::RelPath;
use simsyncd::store::Store;

/// The terminal's own database.
fn store_of(t: &Terminal) -> Store {
    Store::open(&t.home.join("state/state.db")).unwrap()
}

/// Whether a commit holds this file of the first collection.
fn is_uploaded(store: &Store, name: &str) -> bool {
    let collection = store.collections().unwrap().remove(0);
    let row = store.file(collection.pk, &RelPath::new(name).unwrap());
    row.unwrap().is_some()
}

#[test]
fn f_d_a_file_that_is_written_all_the_time_keeps_no_other_from_being_uploaded() {
    seed();
    let mut rig = Rig::start().unwrap();
    // Ten delays are the ceiling: five seconds.
    let settings = serde_json::json!({ "change_delay_ms": 500 });
    let (a, anna) = paired_with(&mut rig, "A", "card", &settings).unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    unlock(&a, &anna).unwrap();
    let (stop, stopped) = channel::<()>();
    std::thread::scope(|scope| {
        let busy = a.data.join("busy.log");
        let writer = scope.spawn(move || {
            let mut round = 0_u64;
            while stopped.recv_timeout(Duration::from_millis(200)) == Err(RecvTimeoutError::Timeout)
            {
                round += 1;
                std::fs::write(&busy, format!("{round}")).unwrap();
            }
            round
        });
        wait_for("the busy file", DEADLINE, || {
            a.data.join("busy.log").exists().then_some(())
        })
        .unwrap();
        std::fs::write(a.data.join("letter.txt"), "dear reader").unwrap();
        let store = store_of(&a);
        let uploaded = wait_for("the letter to be uploaded", Duration::from_secs(20), || {
            is_uploaded(&store, "letter.txt").then_some(())
        });
        drop(stop);
        let rounds = writer.join().unwrap();
        assert!(uploaded.is_ok(), "after {rounds} writes: {}", tell(&a));
    });
    // It rests: it goes up, too.
    a.wait_state(&["synced"]).unwrap();
    assert!(is_uploaded(&store_of(&a), "busy.log"));
}

#[test]
fn f_d_a_folder_that_was_moved_away_and_put_back_is_watched_again() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, anna) = paired(&mut rig, "A").unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    unlock(&a, &anna).unwrap();
    let pid = a.daemon_pid();
    let away = a.data.with_file_name("away");
    for round in 0..2 {
        std::fs::rename(&a.data, &away).unwrap();
        a.wait_state(&["attention"]).unwrap();
        std::fs::rename(&away, &a.data).unwrap();
        a.wait_state(&["synced"]).unwrap();
        // In a folder that was there, and in a new one.
        for name in [format!("{round}.txt"), format!("new {round}/inner.txt")] {
            let path = a.data.join(&name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "x").unwrap();
            goes_up(&a, &name);
        }
    }
    assert_eq!(a.daemon_pid(), pid);
}

#[test]
fn f_d_a_daemon_that_does_only_what_it_is_told_says_what_it_did() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (mut a, anna) = paired(&mut rig, "A").unwrap();
    a.configure(&serde_json::json!({ "sync_on_insertion": false, "sync_on_change": false }))
        .unwrap();
    a.stop_daemon().unwrap();
    a.start_daemon().unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    open(&a, &anna).unwrap();
    std::fs::write(a.data.join("letter.txt"), "dear reader").unwrap();
    a.wait_state(&["pending"]).unwrap();
    ends_with(&a, &["sync"], 0).unwrap();
    assert!(is_uploaded(&store_of(&a), "letter.txt"));
    a.wait_state(&["synced"]).unwrap();
    std::fs::write(a.data.join("second.txt"), "more").unwrap();
    a.wait_state(&["pending"]).unwrap();
    ends_with(&a, &["eject"], 0).unwrap();
    let status = a.status().unwrap();
    assert_eq!(status["state"], "closed", "{status}");
}

/// A command in the terminal's own mount namespace.
fn within(t: &Terminal, command: &[&str]) {
    let ended = t
        .inside(Path::new(command[0]))
        .args(&command[1..])
        .status()
        .unwrap();
    assert!(ended.success(), "{command:?}");
}

fn goes_up(t: &Terminal, name: &str) {
    let store = store_of(t);
    let uploaded = wait_for(&format!("{name} to be uploaded"), DEADLINE, || {
        is_uploaded(&store, name).then_some(())
    });
    if let Err(e) = uploaded {
        panic!("{e}\n{}", tell(t));
    }
}

#[test]
fn f_d_a_disk_that_comes_and_goes_is_watched() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, anna) = paired(&mut rig, "A").unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    unlock(&a, &anna).unwrap();
    let (stick, place) = (a.data.with_file_name("stick"), a.data.join("disk"));
    for folder in [&stick, &place] {
        std::fs::create_dir(folder).unwrap();
    }
    std::fs::write(stick.join("first"), "1").unwrap();
    goes_up(&a, "disk");
    let (from, to) = (stick.to_string_lossy(), place.to_string_lossy());
    for round in 0..2 {
        within(&a, &["mount", "--bind", &from, &to]);
        goes_up(&a, "disk/first");
        a.wait_state(&["synced"]).unwrap();
        let name = format!("later {round}");
        std::fs::write(stick.join(&name), "2").unwrap();
        goes_up(&a, &format!("disk/{name}"));
        within(&a, &["umount", &to]);
        let status = a.wait_state(&["attention"]).unwrap();
        let all = listed(&status);
        assert!(all.iter().all(|(code, ..)| code == "unseen"), "{status}");
        assert!(!all.is_empty(), "{status}");
    }
    within(&a, &["mount", "--bind", &from, &to]);
    a.wait_state(&["synced"]).unwrap();
    ends_with(&a, &["eject"], 0).unwrap();
}

#[test]
fn f_d_a_folder_that_was_made_readable_is_watched() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (mut a, anna) = paired(&mut rig, "A").unwrap();
    a.stop_daemon().unwrap();
    a.plain_user = true;
    a.start_daemon().unwrap();
    let private = a.data.join("private");
    std::fs::create_dir_all(private.join("inner")).unwrap();
    let bits = |mode| std::fs::set_permissions(&private, Permissions::from_mode(mode)).unwrap();
    // Closed; and one whose list can be read, and nothing in it.
    for (round, mode) in [0o000, 0o600].into_iter().enumerate() {
        bits(mode);
        if round == 0 {
            insert(&mut rig, &a, &anna).unwrap();
            open(&a, &anna).unwrap();
        }
        a.wait_state(&["attention"]).unwrap();
        bits(0o700);
        a.wait_state(&["synced"]).unwrap();
        for name in [format!("{round}.txt"), format!("inner/{round}.txt")] {
            std::fs::write(private.join(&name), "x").unwrap();
            goes_up(&a, &format!("private/{name}"));
        }
    }
}
