//! A newcomer's folder: names, links and sizes that nobody planned, a daemon killed while it works, a disk that is full.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use simsync_rig::claims::{ends_with, listed, not_in_sync, open, rows};
use simsync_rig::demo::{eject, insert, unlock};
use simsync_rig::rig::{DEADLINE, Rig, Terminal, packs_below, wait_for};
use simsync_rig::scene::{equal, has_reason, joined, paired, paired_with, seed, tell};
use simsync_rig::tree;

fn plain(t: &mut Terminal) {
    t.stop_daemon().unwrap();
    t.plain_user = true;
    t.start_daemon().unwrap();
}

fn names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "-rf",
        " leading and trailing ",
        "two\nlines",
        "tab\tand \u{1b}[31mred",
        "\u{fc}ber",
        "u\u{308}ber",
        "con.txt",
        "report (conflict, B).txt",
        "*?<>|\":\\",
        "....",
        "~$draft.docx",
        "\u{1f4be}",
        "\u{202e}txt.exe",
    ]
    .map(|n| n.as_bytes().to_vec())
    .to_vec();
    names.push(vec![b'n'; 255]);
    names.push(b"no utf-8 \xff\xfe".to_vec());
    names
}

fn mess(root: &Path) {
    for name in names() {
        let name = OsStr::from_bytes(&name);
        std::fs::create_dir_all(root.join("names")).unwrap();
        std::fs::write(root.join("names").join(name), name.as_bytes()).unwrap();
        std::fs::create_dir_all(root.join("folders").join(name).join("x")).unwrap();
    }
    let links = root.join("links");
    std::fs::create_dir(&links).unwrap();
    for (name, to) in [
        ("outside", "/etc/hostname"),
        ("nowhere", "../not/there"),
        ("loop", "loop"),
        ("up", "../.."),
        ("folder", "../names"),
    ] {
        symlink(to, links.join(name)).unwrap();
    }
    let one = root.join("one of two names");
    std::fs::write(&one, "twice").unwrap();
    std::fs::hard_link(&one, root.join("the other name")).unwrap();
    std::fs::write(root.join("empty"), "").unwrap();
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(40 << 20).unwrap();
    for mode in [0o400, 0o444, 0o755, 0o666] {
        let path = root.join(format!("mode {mode:o}"));
        std::fs::write(&path, "m").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    let closed = root.join("not writable");
    std::fs::create_dir_all(closed.join("inner")).unwrap();
    std::fs::write(closed.join("inner/file"), "in it").unwrap();
    std::fs::set_permissions(&closed, Permissions::from_mode(0o555)).unwrap();
}

#[test]
fn f_c_a_messy_folder_is_the_same_on_both_terminals() {
    let seed = seed();
    let mut rig = Rig::start().unwrap();
    let small = serde_json::json!({ "pack_target": 64 << 10 });
    let (mut a, mut anna) = paired_with(&mut rig, "A", "card", &small).unwrap();
    let mut b = joined(&mut rig, &mut anna, "B").unwrap();
    plain(&mut a);
    plain(&mut b);
    insert(&mut rig, &a, &anna).unwrap();
    unlock(&a, &anna).unwrap();
    // Killed in the middle of the upload, while files come and go.
    let (server, before) = (rig.server.dir.clone(), rig.server.packs());
    a.wire.hold_when(move || packs_below(&server) > before + 2);
    mess(&a.data);
    tree::fill(&a.data.join("many"), 3_000, 2 << 10, seed).unwrap();
    wait_for("the upload to be held", DEADLINE, || {
        a.wire.is_held().then_some(())
    })
    .unwrap();
    tree::change(&a.data.join("many"), 300, 2 << 10, seed).unwrap();
    std::fs::rename(a.data.join("many"), a.data.join("renamed")).unwrap();
    a.kill_daemon();
    a.wire.release();
    a.start_daemon().unwrap();
    open(&a, &anna).unwrap();
    a.wait_state(&["synced"]).unwrap();
    assert_eq!(listed(&a.status().unwrap()), rows(&[]));
    ends_with(&a, &["eject"], 0).unwrap();
    simsync_rig::demo::pull(&mut rig, &a, &anna).unwrap();
    insert(&mut rig, &b, &anna).unwrap();
    unlock(&b, &anna).unwrap();
    equal(&a, &b).unwrap();
    assert_eq!(listed(&b.status().unwrap()), rows(&[]));
    // A storm of changes of modes and names at B, and at A meanwhile one of content, without a card.
    for (i, path) in tree::walk(&b.data.join("renamed"))
        .unwrap()
        .iter()
        .enumerate()
    {
        if path.is_file() {
            let mode = [0o600, 0o640, 0o755][i % 3];
            std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
    }
    std::fs::rename(b.data.join("folders"), b.data.join("names/folders")).unwrap();
    b.wait_state(&["synced"]).unwrap();
    eject(&mut rig, &b, &anna).unwrap();
    tree::change(&a.data.join("renamed"), 100, 2 << 10, seed + 1).unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    let status = unlock(&a, &anna).unwrap();
    assert_eq!(status["conflicts"], 0, "{status}");
    eject(&mut rig, &a, &anna).unwrap();
    insert(&mut rig, &b, &anna).unwrap();
    unlock(&b, &anna).unwrap();
    equal(&a, &b).unwrap();
}

#[test]
fn f_c_a_full_disk_below_the_daemons_own_files_is_said_and_mends_itself() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (mut a, anna) = paired(&mut rig, "A").unwrap();
    // The daemon's own folder goes to a disk of its own, which only the terminal sees.
    a.stop_daemon().unwrap();
    let home = a.home.to_string_lossy().into_owned();
    let script = "cp -a \"$1\" \"$1.copy\" && mount -t tmpfs -o size=24m,mode=700 tmpfs \"$1\" && cp -a \"$1.copy/.\" \"$1\"";
    let within = |t: &Terminal, script: &str| {
        let mut command = t.inside(Path::new("sh"));
        let ended = command.args(["-c", script, "sh", &home]).status().unwrap();
        assert!(ended.success(), "{script}");
    };
    within(&a, script);
    a.start_daemon().unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    unlock(&a, &anna).unwrap();
    // As much as there is room for.
    within(&a, "cat /dev/zero > \"$1/ballast\" 2>/dev/null || true");
    for i in 0..2_000 {
        std::fs::write(a.data.join(format!("file {i}")), format!("{i}")).unwrap();
    }
    let status = a
        .wait_status("the full disk to be told of", |s| {
            !s["last_error"].is_null() && s["state"] != "syncing"
        })
        .unwrap();
    assert_ne!(status["state"], "synced", "{status}");
    not_in_sync(&a).unwrap();
    within(&a, "rm \"$1/ballast\"");
    let found = a.wait_status_for("the files to be uploaded", Duration::from_secs(60), |s| {
        s["state"] == "synced" && s["last_error"].is_null()
    });
    if let Err(e) = found {
        panic!("{e}\n{}", tell(&a));
    }
    assert!(!has_reason(&a.status().unwrap(), "attention"));
    ends_with(&a, &["eject"], 0).unwrap();
}
