//! What keeps a folder's adapter beneath its root, and every refusal of it, one at a time.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use simsync_sync::dir::{
    Applier, ApplyError, Found, FoundKind, Hides, Scan, ScanError, SkipReason, Skipped, Stat,
    WORK_FOLDER, dir_bits, lock_dir, open_beneath, open_root, read_link, scan, unlock_dir,
};
use simsync_sync::guard::{Alarm, check};
use simsync_sync::node::{DEPTH_MAX, RelPath};
use tempfile::TempDir;

fn p(path: &str) -> RelPath {
    RelPath::new(path).unwrap()
}

/// A root with `real/file` and `real/link`, and a link to `real` that stays beneath the root.
fn linked() -> (TempDir, OwnedFd) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("real")).unwrap();
    fs::write(dir.path().join("real/file"), "mine").unwrap();
    symlink("file", dir.path().join("real/link")).unwrap();
    symlink("real", dir.path().join("link")).unwrap();
    let root = open_root(dir.path()).unwrap();
    (dir, root)
}

fn applier(dir: &Path) -> Applier {
    Applier::new(open_root(dir).unwrap(), Vec::new()).unwrap()
}

fn write(a: &mut Applier, path: &str, expected: Option<&Stat>) -> Result<Stat, ApplyError> {
    let file_system = a.file_system(&p(path)).unwrap();
    let (staged, mut file) = a.stage(file_system, &p(path), 0o600).unwrap();
    file.write_all(b"theirs").unwrap();
    a.finish(&file, &p(path), 0o640, 5).unwrap();
    a.place(&staged, &p(path), expected)
}

fn walk(root: &OwnedFd) -> (Vec<Found>, Scan) {
    let mut found = Vec::new();
    let done = scan(root.as_fd(), &mut |f| found.push(f), &|| false).unwrap();
    (found, done)
}

// Links. Those that lead outside are found out by the kernel's BENEATH already; these do not.

#[test]
fn w_8_no_link_beneath_the_root_is_followed_in_looking() {
    let (_dir, root) = linked();
    let fd = root.as_fd();
    let open = |path: &[u8]| open_beneath(fd, path, OFlags::PATH).map(drop);
    assert_eq!(open(b"real/file"), Ok(()));
    assert_eq!(open(b"link/file"), Err(Errno::LOOP));
    assert_eq!(open(b"real/link"), Err(Errno::LOOP));
    let kind = |path| Stat::of_path(fd, &p(path)).map(|s| s.map(|(kind, _)| kind));
    assert_eq!(kind("real/file"), Ok(Some(FoundKind::File)));
    assert_eq!(kind("link"), Ok(Some(FoundKind::Symlink)));
    assert_eq!(kind("link/file"), Ok(None));
    assert_eq!(read_link(fd, &p("real/link")), Ok(b"file".to_vec()));
    assert_eq!(read_link(fd, &p("link/link")), Err(Errno::LOOP));
    let (found, done) = walk(&root);
    let mut paths: Vec<String> = found.iter().map(|f| f.path.to_string()).collect();
    paths.sort();
    assert_eq!(paths, ["link", "real", "real/file", "real/link"]);
    assert_eq!((done.entries, done.skipped.len()), (4, 0));
}

#[test]
fn w_8_no_link_beneath_the_root_is_followed_in_writing() {
    let (dir, root) = linked();
    let mine = dir.path().join("real/file");
    fs::set_permissions(&mine, fs::Permissions::from_mode(0o600)).unwrap();
    let mut a = applier(dir.path());
    assert!(write(&mut a, "link/new", None).is_err());
    assert!(a.directory(&p("link/folder"), 0o755).is_err());
    assert!(a.symlink(&p("link/other"), b"target", None).is_err());
    assert!(a.chmod(&p("link/file"), 0o777).is_err());
    assert!(a.rename(&p("link/file"), &p("gone")).is_err());
    assert!(a.rename(&p("real/link"), &p("link/gone")).is_err());
    a.remove(&p("link/file"), None).unwrap();
    unlock_dir(root.as_fd(), Some(&p("link"))).unwrap();
    assert_eq!(dir_bits(root.as_fd(), Some(&p("link"))).unwrap(), None);
    let mut left: Vec<_> = fs::read_dir(dir.path().join("real"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["file", "link"]);
    assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
    let mode = fs::metadata(&mine).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn w_8_a_work_folder_that_is_a_link_is_not_emptied() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("real")).unwrap();
    fs::write(dir.path().join("real/file"), "mine").unwrap();
    symlink("real", dir.path().join(WORK_FOLDER)).unwrap();
    assert!(Applier::new(open_root(dir.path()).unwrap(), Vec::new()).is_err());
    assert!(dir.path().join("real/file").exists());
}

#[test]
fn w_8_no_path_leads_above_the_root() {
    let above = tempfile::tempdir().unwrap();
    fs::write(above.path().join("precious"), "p").unwrap();
    fs::create_dir(above.path().join("root")).unwrap();
    let root = open_root(&above.path().join("root")).unwrap();
    let open = |path: &[u8]| open_beneath(root.as_fd(), path, OFlags::PATH).map(drop);
    assert_eq!(open(b"../precious"), Err(Errno::XDEV));
    assert_eq!(open(b"/etc"), Err(Errno::XDEV));
    assert_eq!(open(b"."), Ok(()));
}

// What a scan does not look at.

#[test]
fn w_8_a_scan_goes_so_deep_and_no_deeper() {
    let dir = tempfile::tempdir().unwrap();
    let mut path = dir.path().to_owned();
    for _ in 0..=DEPTH_MAX {
        path.push("d");
    }
    fs::create_dir_all(&path).unwrap();
    fs::write(path.parent().unwrap().join("file"), "f").unwrap();
    let (found, done) = walk(&open_root(dir.path()).unwrap());
    assert_eq!(
        found.len(),
        DEPTH_MAX + 1,
        "the folders, and a file in the last"
    );
    let skipped = Skipped {
        path: vec!["d"; DEPTH_MAX + 1].join("/").into_bytes(),
        reason: SkipReason::TooDeep,
        hides: Hides::Subtree,
    };
    assert_eq!(done.skipped, [skipped]);
}

#[test]
fn w_8_a_path_that_is_too_long_is_named_and_hides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = open_root(dir.path()).unwrap();
    let name = "n".repeat(255);
    // 15 names of 255 bytes make 3,839; one more of 255 makes 4,095, the most; then there is no room for any.
    let mut at = root.try_clone().unwrap();
    for _ in 0..16 {
        rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, &name, OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    rustix::fs::mkdirat(&at, "x", Mode::RWXU).unwrap();
    let (found, done) = walk(&root);
    assert_eq!(found.len(), 16);
    let [skipped] = &done.skipped[..] else {
        panic!("{:?}", done.skipped)
    };
    assert_eq!(skipped.path.len(), RelPath::MAX + 2);
    assert_eq!(
        (skipped.reason, skipped.hides),
        (SkipReason::PathTooLong, Hides::Nothing)
    );
}

#[test]
fn w_8_what_is_no_file_is_named_and_work_folders_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let kind = rustix::fs::FileType::Fifo;
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, fifo, kind, Mode::RUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    fs::create_dir(dir.path().join(WORK_FOLDER)).unwrap();
    fs::write(dir.path().join(WORK_FOLDER).join("1.part"), "x").unwrap();
    let (found, done) = walk(&open_root(dir.path()).unwrap());
    assert_eq!(found, []);
    let mut named: Vec<_> = done.skipped.iter().map(|s| (s.reason, s.hides)).collect();
    named.sort_by_key(|n| format!("{n:?}"));
    let special = |what| (SkipReason::Special(what), Hides::Path);
    assert_eq!(named, [special("a FIFO"), special("a socket")]);
}

#[test]
fn w_8_a_scan_stops_when_it_is_told() {
    let (_dir, root) = linked();
    let stopped = scan(root.as_fd(), &mut |_| {}, &|| true);
    assert_eq!(stopped, Err(ScanError::Stopped));
}

#[test]
fn w_8_what_is_skipped_covers_itself_and_what_is_below() {
    let covers = |path: &str, hides, what: &str| {
        let skipped = Skipped {
            path: path.as_bytes().to_vec(),
            reason: SkipReason::TooDeep,
            hides,
        };
        skipped.covers(&p(what))
    };
    for (hides, own, below) in [
        (Hides::Nothing, false, false),
        (Hides::Path, true, false),
        (Hides::Subtree, true, true),
    ] {
        assert_eq!(covers("a/b", hides, "a/b"), own);
        assert_eq!(covers("a/b", hides, "a/b/c"), below);
        for other in ["a", "a/bc", "a/c", "b"] {
            assert!(!covers("a/b", hides, other), "{other}");
        }
    }
    assert!(covers("", Hides::Subtree, "any/thing"));
}

// What was planned for another state is not done.

fn changed(result: Result<impl std::fmt::Debug, ApplyError>, path: &str) {
    match result {
        Err(ApplyError::ChangedMeanwhile(at)) if at == p(path) => {}
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn w_8_each_mark_of_a_change_stops_a_write() {
    let dir = tempfile::tempdir().unwrap();
    let mut a = applier(dir.path());
    let stat = write(&mut a, "f", None).unwrap();
    let marks = [
        Stat {
            size: stat.size + 1,
            ..stat
        },
        Stat {
            mtime: stat.mtime + 1,
            ..stat
        },
        Stat {
            ino: stat.ino + 1,
            ..stat
        },
    ];
    for mark in &marks {
        changed(write(&mut a, "f", Some(mark)), "f");
        changed(a.symlink(&p("f"), b"t", Some(mark)), "f");
        changed(a.remove(&p("f"), Some(mark)), "f");
        changed(
            a.rename_unchanged(&p("f"), &p("g"), Some(mark), 0o600, 1),
            "f",
        );
        assert!(!stat.same_content(mark));
    }
    changed(write(&mut a, "f", None), "f");
    changed(a.remove(&p("f"), None), "f");
    changed(write(&mut a, "gone", Some(&stat)), "gone");
    assert_eq!(fs::read_to_string(dir.path().join("f")).unwrap(), "theirs");
    // Its own state is no change, and one that is gone is removed already.
    let stat = a
        .rename_unchanged(&p("f"), &p("g"), Some(&stat), 0o600, 1)
        .unwrap();
    assert_eq!((stat.mode, stat.mtime), (0o600, 1));
    a.remove(&p("g"), Some(&stat)).unwrap();
    a.remove(&p("g"), Some(&stat)).unwrap();
    assert!(!dir.path().join("g").exists());
}

#[test]
fn w_8_nothing_is_put_in_the_place_of_something_else() {
    let dir = tempfile::tempdir().unwrap();
    let a = applier(dir.path());
    for name in ["file", "other"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    fs::create_dir_all(dir.path().join("folder/in")).unwrap();
    changed(a.directory(&p("file"), 0o755), "file");
    changed(a.rename(&p("file"), &p("other")), "other");
    changed(a.rename(&p("gone"), &p("new")), "gone");
    changed(a.chmod(&p("folder"), 0o700), "folder");
    changed(a.chmod(&p("gone"), 0o700), "gone");
    changed(a.remove(&p("folder"), None), "folder");
    assert_eq!(
        fs::read_to_string(dir.path().join("other")).unwrap(),
        "other"
    );
    a.rename(&p("file"), &p("new")).unwrap();
    a.remove(&p("folder/in"), None).unwrap();
    a.remove(&p("folder"), None).unwrap();
}

#[test]
fn w_8_what_is_no_file_is_not_moved_away() {
    let dir = tempfile::tempdir().unwrap();
    let a = applier(dir.path());
    let (fifo, kind) = (dir.path().join("fifo"), rustix::fs::FileType::Fifo);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, Mode::RUSR, 0).unwrap();
    changed(
        a.rename_unchanged(&p("fifo"), &p("to"), None, 0o600, 1),
        "fifo",
    );
    assert!(fifo.exists());
}

#[test]
fn w_8_a_folder_is_locked_again_only_as_it_was_left() {
    let (dir, root) = linked();
    let real = dir.path().join("real");
    let bits = || fs::metadata(&real).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(&real, fs::Permissions::from_mode(0o555)).unwrap();
    unlock_dir(root.as_fd(), Some(&p("real"))).unwrap();
    assert_eq!(bits(), 0o755);
    // Its owner chose other bits meanwhile.
    fs::set_permissions(&real, fs::Permissions::from_mode(0o750)).unwrap();
    lock_dir(root.as_fd(), Some(&p("real")), 0o555).unwrap();
    assert_eq!(bits(), 0o750);
    fs::set_permissions(&real, fs::Permissions::from_mode(0o755)).unwrap();
    lock_dir(root.as_fd(), Some(&p("real")), 0o555).unwrap();
    assert_eq!(bits(), 0o555);
    assert_eq!(
        dir_bits(root.as_fd(), Some(&p("real"))).unwrap(),
        Some(0o555)
    );
    fs::set_permissions(&real, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn w_8_errors_tell_a_full_disk_from_permissions() {
    let error = |errno| ApplyError::Io {
        path: "f".to_owned(),
        errno,
    };
    for errno in [Errno::NOSPC, Errno::DQUOT] {
        assert!(error(errno).is_full() && !error(errno).is_denied());
    }
    for errno in [Errno::ACCESS, Errno::PERM] {
        assert!(!error(errno).is_full() && error(errno).is_denied());
    }
    assert!(!error(Errno::IO).is_full() && !error(Errno::IO).is_denied());
}

#[test]
fn w_8_a_part_of_the_disk_is_left_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let room = applier(dir.path()).room(&p("f")).unwrap();
    let disk = rustix::fs::statvfs(dir.path()).unwrap();
    let free = disk.f_bavail * disk.f_frsize;
    let reserve = (disk.f_blocks * disk.f_frsize / 20).min(64 << 20);
    // Others write meanwhile.
    let about = free.saturating_sub(reserve);
    assert!(
        room.abs_diff(about) < reserve / 2,
        "{room} {about} {reserve}"
    );
}

// Guards.

#[test]
fn w_8_a_guard_asks_from_its_limits_on() {
    let mass = |deleted, had| Some(Alarm::MassDeletion { deleted, had });
    assert_eq!(check(12, 2, 10), None, "a few");
    assert_eq!(check(12, 1, 11), mass(11, 12));
    assert_eq!(check(40, 20, 20), None, "half");
    assert_eq!(check(40, 19, 21), mass(21, 40));
    assert_eq!(check(41, 21, 20), None);
    assert_eq!(check(0, 0, 11), mass(11, 0));
    assert_eq!(check(1, 1, 0), None);
}

#[test]
fn w_8_what_an_interrupted_batch_left_is_removed_and_folders_may_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join(WORK_FOLDER);
    fs::create_dir(&work).unwrap();
    for own in ["1.part", "27.link"] {
        fs::write(work.join(own), "half").unwrap();
    }
    // Somebody's, who unpacked a copy of a synced folder, say.
    let others = ["precious", "x.part", ".part", "1.part.txt"];
    for other in others {
        fs::write(work.join(other), "theirs").unwrap();
    }
    let a = applier(dir.path());
    assert_eq!(fs::read_dir(&work).unwrap().count(), others.len());
    a.directory(&p("d"), 0o755).unwrap();
    assert_eq!(a.directory(&p("d"), 0o700).unwrap().mode, 0o700);
}

/// A folder of that name that somebody made, or put something into, is not synced; that is said.
#[test]
fn f_c_what_is_called_as_the_work_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let named = || {
        let root = open_root(dir.path()).unwrap();
        let found = scan(root.as_fd(), &mut |_| {}, &|| false).unwrap();
        let paths: Vec<Vec<u8>> = found.skipped.into_iter().map(|s| s.path).collect();
        paths
    };
    let work = dir.path().join(WORK_FOLDER);
    fs::create_dir(&work).unwrap();
    fs::write(work.join("1.part"), "ours").unwrap();
    assert!(named().is_empty());
    fs::write(work.join("precious"), "theirs").unwrap();
    assert_eq!(named(), [WORK_FOLDER.as_bytes().to_vec()]);
    fs::remove_file(work.join("precious")).unwrap();
    fs::create_dir_all(dir.path().join("sub").join(WORK_FOLDER)).unwrap();
    assert_eq!(named(), [format!("sub/{WORK_FOLDER}").into_bytes()]);
}

#[test]
fn w_8_each_mount_has_one_work_folder() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["k", "m"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let mounts = vec![p("k"), p("m")];
    let mut a = Applier::new(open_root(dir.path()).unwrap(), mounts).unwrap();
    let mut of = |path| a.file_system(&p(path)).unwrap();
    let (root, k, m) = (of("f"), of("k/f"), of("m/f"));
    assert!(root != k && root != m && k != m);
    assert_eq!((of("k/g"), of("m/g"), of("g")), (k, m, root));
}

#[test]
fn w_8_an_open_file_is_still_itself_only_with_all_its_marks() {
    let (dir, _) = linked();
    let file = fs::File::open(dir.path().join("real/file")).unwrap();
    let now = Stat::of_fd(&file).unwrap();
    assert!(now.is_still(&file));
    let attributes = Stat {
        ctime: now.ctime - 1,
        ..now
    };
    let content = Stat {
        size: now.size + 1,
        ..now
    };
    assert!(!attributes.is_still(&file) && !content.is_still(&file));
}
