//! "Everything is in sync" is true or not said: paths that cannot be synced, and collections that cannot be found.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use simsync_rig::claims::{
    PARTIAL, add_folder, claims_nothing, ends_with, listed, not_in_sync, open, rows,
};
use simsync_rig::demo::{eject, insert, pull, unlock};
use simsync_rig::rig::{DEADLINE, Rig, Secrets, Terminal, wait_for};
use simsync_rig::scene::{has_reason, joined, paired, seed};

/// Folders within each other that are synced, at most.
const DEPTH_MAX: usize = 512;

/// Something in the way, until a person mends it.
struct Obstacle {
    code: &'static str,
    /// What the list names.
    path: String,
    make: fn(&Path),
    mend: fn(&Path),
}

fn obstacles() -> Vec<Obstacle> {
    vec![
        Obstacle {
            code: "special",
            path: "letters/pipe".to_owned(),
            make: |root| {
                let pipe = root.join("letters/pipe");
                let made = std::process::Command::new("mkfifo").arg(pipe).status();
                assert!(made.unwrap().success());
            },
            mend: |root| std::fs::remove_file(root.join("letters/pipe")).unwrap(),
        },
        Obstacle {
            code: "unreadable",
            path: "letters/closed.txt".to_owned(),
            make: |root| {
                let file = root.join("letters/closed.txt");
                std::fs::write(&file, "nobody's business").unwrap();
                std::fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
            },
            mend: |root| {
                let file = root.join("letters/closed.txt");
                std::fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
            },
        },
        Obstacle {
            code: "unreadable",
            path: "letters/private".to_owned(),
            make: |root| {
                let folder = root.join("letters/private");
                std::fs::create_dir(&folder).unwrap();
                std::fs::write(folder.join("diary.txt"), "dear diary").unwrap();
                std::fs::set_permissions(&folder, Permissions::from_mode(0o000)).unwrap();
            },
            mend: |root| {
                let folder = root.join("letters/private");
                std::fs::set_permissions(folder, Permissions::from_mode(0o700)).unwrap();
            },
        },
        Obstacle {
            code: "too-deep",
            path: vec!["d"; DEPTH_MAX + 1].join("/"),
            make: |root| std::fs::create_dir_all(root.join("d/".repeat(520))).unwrap(),
            // No more than that: without the folders above it, simsync would ask first.
            mend: |root| std::fs::remove_dir_all(root.join("d/".repeat(DEPTH_MAX + 1))).unwrap(),
        },
    ]
}

#[test]
fn f_c_what_cannot_be_synced_is_named_until_it_is_mended() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (mut a, anna) = paired(&mut rig, "A").unwrap();
    a.stop_daemon().unwrap();
    a.plain_user = true;
    a.start_daemon().unwrap();
    std::fs::create_dir(a.data.join("letters")).unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    unlock(&a, &anna).unwrap();
    for Obstacle {
        code,
        path,
        make,
        mend,
    } in obstacles()
    {
        make(&a.data);
        let attention = a.wait_state(&["attention"]).unwrap();
        assert!(has_reason(&attention, "attention"), "{attention}");
        let status = not_in_sync(&a).unwrap();
        assert_eq!(listed(&status), rows(&[(code, "Documents", &path)]));
        for command in ["sync", "eject"] {
            // What is beside it goes on.
            let beside = format!("{code} {command}.txt");
            std::fs::write(a.data.join(&beside), &beside).unwrap();
            let text = ends_with(&a, &[command], PARTIAL).unwrap();
            assert!(text.contains(&path), "{text}");
            claims_nothing(&text).unwrap();
            let status = not_in_sync(&a).unwrap();
            assert_eq!(listed(&status), rows(&[(code, "Documents", &path)]));
        }
        // Closed, the card still in. The word of the last change may come after that, and is looked into first.
        a.wait_status("the session to be closed", |s| {
            s["state"] == "attention" && has_reason(s, "ejected")
        })
        .unwrap();
        open(&a, &anna).unwrap();
        a.wait_state(&["attention"]).unwrap();
        mend(&a.data);
        let status = a.wait_state(&["synced"]).unwrap();
        assert_eq!(listed(&status), rows(&[]));
        let text = ends_with(&a, &["sync"], 0).unwrap();
        assert!(text.contains("Everything is in sync"), "{text}");
    }
    ends_with(&a, &["eject"], 0).unwrap();
    a.wait_state(&["closed"]).unwrap();
}

fn holds(what: &Path, text: &str) {
    let read = || std::fs::read_to_string(what).ok();
    wait_for(&format!("{}", what.display()), DEADLINE, || {
        (read().as_deref() == Some(text)).then_some(())
    })
    .unwrap();
}

/// Its folder is gone, and that is said, by everything that syncs.
fn is_missing(t: &Terminal, name: &str) {
    // Whoever looks while a folder is deleted finds it empty first.
    let missing = rows(&[("root-missing", name, "")]);
    t.wait_status("only the folder to be missing", |s| {
        s["state"] == "attention" && listed(s) == missing
    })
    .unwrap();
    not_in_sync(t).unwrap();
}

#[test]
fn f_c_a_missing_folder_is_asked_about_and_the_other_collection_goes_on() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut anna) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut anna, "B").unwrap();
    let mut photos = Vec::new();
    for t in [&a, &b] {
        insert(&mut rig, t, &anna).unwrap();
        unlock(t, &anna).unwrap();
        photos.push(add_folder(t, &anna, "Photos").unwrap());
        eject(&mut rig, t, &anna).unwrap();
    }
    let (at_a, at_b) = (&photos[0], &photos[1]);
    let away = a.data.with_file_name("away");
    let session = |rig: &mut Rig, t: &Terminal| {
        insert(rig, t, &anna).unwrap();
        open(t, &anna).unwrap();
    };

    // Photos go both ways meanwhile, and `eject` works.
    std::fs::rename(&a.data, &away).unwrap();
    session(&mut rig, &a);
    std::fs::write(at_a.join("from a"), "a").unwrap();
    is_missing(&a, "Documents");
    for command in ["sync", "eject"] {
        let text = ends_with(&a, &[command], PARTIAL).unwrap();
        assert!(text.contains("Documents: root missing"), "{text}");
        assert!(text.contains("collections answer NAME"), "{text}");
        claims_nothing(&text).unwrap();
    }
    pull(&mut rig, &a, &anna).unwrap();
    session(&mut rig, &b);
    holds(&at_b.join("from a"), "a");
    assert!(b.data.join("first.txt").exists());
    std::fs::write(at_b.join("from b"), "b").unwrap();
    std::fs::write(b.data.join("second.txt"), "second").unwrap();
    b.wait_state(&["synced"]).unwrap();
    eject(&mut rig, &b, &anna).unwrap();
    session(&mut rig, &a);
    holds(&at_a.join("from b"), "b");
    is_missing(&a, "Documents");

    // Give it back.
    let answer = |t: &Terminal, name: &str, word: &str| {
        let text = ends_with(t, &["collections", "answer", name, word], 0).unwrap();
        let status = t.wait_state(&["synced"]).unwrap();
        assert_eq!(listed(&status), rows(&[]), "{text}");
    };
    answer(&a, "Documents", "give-back");
    holds(&a.data.join("first.txt"), "first");
    holds(&a.data.join("second.txt"), "second");
    // It is watched, too.
    std::fs::write(a.data.join("third.txt"), "third").unwrap();
    a.wait_status("the file to go up", |s| s["state"] == "synced")
        .unwrap();
    ends_with(&a, &["eject"], 0).unwrap();
    pull(&mut rig, &a, &anna).unwrap();

    // Gone on purpose: nobody asks again elsewhere.
    session(&mut rig, &b);
    holds(&b.data.join("third.txt"), "third");
    eject(&mut rig, &b, &anna).unwrap();
    session(&mut rig, &a);
    std::fs::remove_dir_all(&a.data).unwrap();
    is_missing(&a, "Documents");
    answer(&a, "Documents", "deleted");
    ends_with(&a, &["eject"], 0).unwrap();
    pull(&mut rig, &a, &anna).unwrap();
    session(&mut rig, &b);
    b.wait_status("the files to be gone", |s| {
        s["state"] == "synced" && !b.data.join("first.txt").exists()
    })
    .unwrap();
    assert_eq!(listed(&b.status().unwrap()), rows(&[]));

    // Two ways to stop: neither is refused, and neither deletes.
    let pin = Secrets::give("--pin-fd", &anna.pin);
    let path_of = |t: &Terminal, name: &str| {
        let status = t.status().unwrap();
        let all = status["collections"].as_array().unwrap();
        let one = all.iter().find(|c| c["name"] == name).unwrap();
        one["path"].clone()
    };
    std::fs::rename(at_b, at_b.with_file_name("elsewhere")).unwrap();
    is_missing(&b, "Photos");
    let stop = ["collections", "answer", "Photos", "stop"];
    // Without a PIN nothing is signed, and nothing is stopped.
    let text = ends_with(&b, &stop, 8).unwrap();
    assert!(path_of(&b, "Photos").is_string(), "{text}");
    is_missing(&b, "Photos");
    b.simsync(&stop, &pin).unwrap().ok("stop").unwrap();
    b.wait_state(&["synced"]).unwrap();
    assert!(path_of(&b, "Photos").is_null());
    ends_with(&b, &["eject"], 0).unwrap();
    pull(&mut rig, &b, &anna).unwrap();
    session(&mut rig, &a);
    a.wait_state(&["synced"]).unwrap();
    holds(&at_a.join("from b"), "b");
    std::fs::rename(at_a, at_a.with_file_name("elsewhere")).unwrap();
    is_missing(&a, "Photos");
    let remove = ["collections", "remove", "Photos"];
    a.simsync(&remove, &pin).unwrap().ok("remove").unwrap();
    a.wait_state(&["synced"]).unwrap();
    assert!(path_of(&a, "Photos").is_null());
    assert!(at_a.with_file_name("elsewhere").join("from b").exists());
}
