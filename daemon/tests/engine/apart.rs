//! One bad thing stops nothing else: equal content in two collections, limits, full disks, closed folders, guards.

use simsync_vault::commit::PackRef;
use simsync_vault::ids::PackId;
use simsync_vault::pack::IndexEntry;
use simsyncd::engine::{Answer, Answers, SyncOptions};
use simsyncd::store::{Found, PackState};

use crate::machine::{Mount, chmod, mode, without_capabilities};
use crate::rig::{FILES, NOTES, Person, Terminal, close, sync, sync_with};

/// B syncs the notes only, and never knew of the files.
async fn notes_only(person: &Person, b: &Terminal) {
    b.engine.store.set_root(b.pk(&FILES), None).unwrap();
    let s = person.open(b).await;
    b.register_notes(&s).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f_a4_equal_content_in_two_collections_reaches_whoever_has_one_of_them() {
    let (person, a, b) = Person::new().await;
    notes_only(&person, &b).await;
    let s = person.open(&a).await;
    a.register_notes(&s).await;
    a.write("same", "the same in both");
    a.write("folder/x", "x");
    std::fs::create_dir(a.data().join("empty")).unwrap();
    std::fs::write(a.notes().join("same"), "the same in both").unwrap();
    std::fs::create_dir_all(a.notes().join("folder")).unwrap();
    std::fs::write(a.notes().join("folder/x"), "x").unwrap();
    std::fs::create_dir(a.notes().join("empty")).unwrap();
    close(&a, &s).await;
    let s = person.open(&b).await;
    sync(&b, &s).await;
    assert_eq!(b.outstanding(), []);
    let read = |t: &Terminal, path: &str| std::fs::read_to_string(t.notes().join(path)).ok();
    assert_eq!(read(&b, "same").as_deref(), Some("the same in both"));
    assert_eq!(read(&b, "folder/x").as_deref(), Some("x"));
    assert!(b.notes().join("empty").is_dir());
    close(&b, &s).await;

    // Moved from one collection into the other.
    let s = person.open(&a).await;
    a.write("moves", "from the files to the notes");
    sync(&a, &s).await;
    std::fs::rename(a.data().join("moves"), a.notes().join("moves")).unwrap();
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!(
        read(&b, "moves").as_deref(),
        Some("from the files to the notes")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn f_a4_a_vault_that_lacks_content_in_one_collection_heals_by_itself() {
    let (person, a, b) = Person::new().await;
    notes_only(&person, &b).await;
    let s = person.open(&a).await;
    a.register_notes(&s).await;
    a.write("same", "the same in both");
    sync(&a, &s).await;
    // As an older terminal saw it: what the files hold is taken for stored with the notes.
    let store = &a.engine.store;
    let row = store.file(
        a.pk(&FILES),
        &simsync_sync::node::RelPath::new("same").unwrap(),
    );
    let simsync_sync::node::Node::File { content, .. } = row.unwrap().unwrap().node else {
        panic!("no file")
    };
    let at = store.object(&FILES, &content.chunks[0]).unwrap().unwrap();
    let believed = PackRef {
        id: PackId([9; 16]),
        collection: NOTES,
        size: 1,
    };
    let index = [IndexEntry {
        kind: at.kind,
        id: content.chunks[0],
        offset: at.offset,
        stored: at.stored,
        plain: at.plain,
    }];
    store
        .add_pack(&believed, PackState::Indexed, &index)
        .unwrap();
    let row = store.object(&NOTES, &content.chunks[0]).unwrap().unwrap();
    let good = [(row.pack.pk, content.chunks[0], Found::Good)];
    store.set_found(&good).unwrap();
    std::fs::write(a.notes().join("same"), "the same in both").unwrap();
    std::fs::write(a.notes().join("other"), "other").unwrap();
    sync(&a, &s).await;
    store.forget_packs(&[believed.id]).unwrap();
    store.set_whole(a.pk(&NOTES), false).unwrap();

    let sb = person.open(&b).await;
    let report = sync(&b, &sb).await;
    assert_eq!(b.outstanding(), [("vault-incomplete", "same".to_owned())]);
    assert!(report.outstanding.waiting > 0, "{report:?}");
    assert!(b.notes().join("other").exists(), "the rest came");
    std::fs::write(b.notes().join("own"), "from B").unwrap();
    sync(&b, &sb).await;

    let s = person.open(&a).await;
    let report = close(&a, &s).await;
    assert!(report.commit.is_some());
    assert!(a.notes().join("own").exists(), "B's own went up meanwhile");
    let sb = person.open(&b).await;
    close(&b, &sb).await;
    assert_eq!(b.outstanding(), []);
    assert_eq!(
        std::fs::read_to_string(b.notes().join("same")).unwrap(),
        "the same in both"
    );
    // Once.
    let s = person.open(&a).await;
    sync(&a, &s).await;
    assert_eq!(sync(&a, &s).await.commit, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn f_a5_permissions_changed_there_and_content_here_go_together() {
    let (person, a, b) = Person::new().await;
    a.write("f", "one");
    a.write("large", &"0123456789abcdef".repeat(100_000));
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    for f in ["f", "large"] {
        chmod(&a.data().join(f), 0o600);
        b.write(f, &"edited on B ".repeat(50_000));
    }
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    let report = close(&b, &s).await;
    assert_eq!((report.conflicts, b.outstanding()), (0, vec![]));
    let s = person.open(&a).await;
    close(&a, &s).await;
    assert_eq!(a.tree(), b.tree());
    for t in [&a, &b] {
        for f in ["f", "large"] {
            assert_eq!(mode(&t.data().join(f)), 0o600);
            assert_eq!(t.read(f).unwrap(), "edited on B ".repeat(50_000));
        }
    }
}

/// Folders within each other, made one by one: the path as a whole is longer than the system takes.
fn nest(top: &std::path::Path, name: &str, depth: usize) {
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut at = openat(CWD, top, flags, Mode::empty()).unwrap();
    for _ in 0..depth {
        mkdirat(&at, name, Mode::RWXU).unwrap();
        at = openat(&at, name, flags, Mode::empty()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f_b1_what_is_nested_too_deep_is_named_and_stops_nothing() {
    let (person, a, b) = Person::new().await;
    nest(&a.data(), "d", 520);
    a.write("beside", "1");
    let s = person.open(&a).await;
    let report = close(&a, &s).await;
    let first = vec!["d"; 513].join("/");
    assert_eq!(a.outstanding(), [("too-deep", first.clone())]);
    assert!(report.outstanding.person > 0);
    let s = person.open(&b).await;
    sync(&b, &s).await;
    assert_eq!(b.read("beside").as_deref(), Some("1"));
    // And where the card is pulled.
    nest(&b.data(), "e", 520);
    b.write("of B", "2");
    let report = person.yank(&b, &s, true).await;
    assert!(report.items > 500, "{report:?}");
    let s = person.open(&a).await;
    let report = close(&a, &s).await;
    assert_eq!(report.tails, 1, "{report:?}");
    assert_eq!(a.read("of B").as_deref(), Some("2"));
    assert_eq!(a.outstanding(), [("too-deep", first)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn f_b1_a_path_that_is_too_long_is_named_and_stops_nothing() {
    let (person, a, b) = Person::new().await;
    let name = "long".repeat(60);
    nest(&a.data(), &name, 20);
    a.write("beside", "1");
    a.write(&format!("{name}/in the same folder"), "2");
    let s = person.open(&a).await;
    close(&a, &s).await;
    let out = a.outstanding();
    assert_eq!(out.len(), 1, "{out:?}");
    assert_eq!(out[0].0, "path-too-long");
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!(b.read("beside").as_deref(), Some("1"));
    assert_eq!(
        b.read(&format!("{name}/in the same folder")).as_deref(),
        Some("2")
    );
    let deepest = vec![name; 16].join("/");
    assert!(b.data().join(deepest).is_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn f_b2_a_guard_in_one_collection_stops_no_other_one() {
    let (person, a, b) = Person::new().await;
    let s = person.open(&a).await;
    a.register_notes(&s).await;
    for i in 0..30 {
        a.write(&format!("f{i}"), &format!("{i}"));
    }
    std::fs::write(a.notes().join("n"), "1").unwrap();
    close(&a, &s).await;
    let s = person.open(&b).await;
    b.register_notes(&s).await;
    close(&b, &s).await;

    // The folder is lost; the notes go on, both ways, and the session can be closed.
    std::fs::remove_dir_all(a.data()).unwrap();
    std::fs::write(a.notes().join("from A"), "2").unwrap();
    std::fs::write(b.notes().join("from B"), "3").unwrap();
    let s = person.open(&b).await;
    close(&b, &s).await;
    let s = person.open(&a).await;
    let report = close(&a, &s).await;
    assert_eq!((report.applied, report.published), (1, 1), "{report:?}");
    assert_eq!(a.outstanding(), [("root-missing", String::new())]);
    assert!(report.commit.is_some() && report.outstanding.person == 1);
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!(b.tree().len(), 30);
    assert!(b.notes().join("from A").exists());

    // "They are not gone on purpose": everything comes back.
    let s = person.open(&a).await;
    let options = SyncOptions {
        answers: Answers {
            one: Some((FILES, Answer::GiveBack)),
            ..Answers::default()
        },
        ..SyncOptions::default()
    };
    sync_with(&a, &s, options).await.unwrap();
    assert_eq!(a.outstanding(), []);
    assert_eq!(a.tree(), b.tree());
}

#[tokio::test(flavor = "multi_thread")]
async fn f_b2_the_guard_counts_what_comes_as_well_and_one_of_one_is_no_alarm() {
    let (person, a, b) = Person::new().await;
    a.write("only", "1");
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    // Renamed and edited: something is there still, on both terminals.
    std::fs::remove_file(a.data().join("only")).unwrap();
    a.write("renamed", "2");
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!((a.outstanding(), b.outstanding()), (vec![], vec![]));
    assert_eq!((a.tree(), b.tree().len()), (b.tree(), 1));
    // The same folder, and nothing in it any more.
    std::fs::remove_file(a.data().join("renamed")).unwrap();
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!((a.outstanding(), b.outstanding()), (vec![], vec![]));
    assert!(b.tree().is_empty());
    // Another folder with nothing in it: nobody knows.
    a.write("again", "3");
    let s = person.open(&a).await;
    sync(&a, &s).await;
    std::fs::rename(a.data(), a.dir.path().join("old")).unwrap();
    std::fs::create_dir(a.data()).unwrap();
    close(&a, &s).await;
    let codes: Vec<_> = a.outstanding().into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, ["root-empty", "unseen"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn f_b3_a_full_disk_takes_what_fits_and_gives_all_the_same() {
    let (person, a, b) = Person::new().await;
    let noise = |seed: usize, len: usize| {
        let line = |i: usize| format!("{:016x}\n", (i + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (0..len / 17).map(line).collect::<String>()
    };
    for i in 0..6 {
        a.write(&format!("large{i}"), &noise(i * 1_000_000, 1 << 20));
    }
    for i in 0..20 {
        a.write(&format!("small{i}"), &format!("small {i}"));
    }
    let s = person.open(&a).await;
    close(&a, &s).await;
    let disk = Mount::disk("4m", &b.data());
    b.engine.store.set_folder(b.pk(&FILES), None).unwrap();
    b.write("own", "from B");
    let s = person.open(&b).await;
    let report = sync(&b, &s).await;
    let out = b.outstanding();
    assert!(
        !out.is_empty()
            && out
                .iter()
                .all(|(code, p)| *code == "disk-full" && p.starts_with("large")),
        "{out:?}"
    );
    assert!(out.len() < 6, "some of them fit: {out:?}");
    for i in 0..20 {
        assert!(b.read(&format!("small{i}")).is_some());
    }
    assert_eq!(report.published, 1, "{report:?}");
    let left: Vec<_> = std::fs::read_dir(b.data().join(".simsync-work"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let vfs = rustix::fs::statvfs(b.data()).unwrap();
    assert!(
        vfs.f_bavail * vfs.f_frsize > 100_000,
        "some room is left to others"
    );
    // It is tried again when there is room, and nothing is taken for an edit meanwhile.
    let report = sync(&b, &s).await;
    assert_eq!((report.applied, report.published), (0, 0), "{report:?}");
    disk.resize("64m");
    close(&b, &s).await;
    assert_eq!(b.outstanding(), []);
    let s = person.open(&a).await;
    close(&a, &s).await;
    assert_eq!(a.tree(), b.tree());
}

#[test]
fn f_b4_folders_without_write_permission_take_what_comes() {
    without_capabilities(async {
        let (person, a, b) = Person::new().await;
        a.write("closed/in/edited", "1");
        a.write("closed/removed", "1");
        a.write("closed/moved", "moved as it is");
        a.write("open/f", "1");
        for d in ["closed/in", "closed"] {
            chmod(&a.data().join(d), 0o555);
        }
        let s = person.open(&a).await;
        close(&a, &s).await;
        let s = person.open(&b).await;
        close(&b, &s).await;
        assert_eq!(mode(&b.data().join("closed/in")), 0o555);
        assert!(std::fs::write(b.data().join("closed/x"), "x").is_err());

        for d in ["closed", "closed/in"] {
            chmod(&a.data().join(d), 0o755);
        }
        a.write("closed/in/edited", "two");
        a.write("closed/in/new", "new");
        a.write("closed/sub/deep", "new");
        std::fs::remove_file(a.data().join("closed/removed")).unwrap();
        std::fs::rename(
            a.data().join("closed/moved"),
            a.data().join("closed/in/moved"),
        )
        .unwrap();
        std::os::unix::fs::symlink("edited", a.data().join("closed/in/link")).unwrap();
        for d in ["closed/in", "closed"] {
            chmod(&a.data().join(d), 0o555);
        }
        let s = person.open(&a).await;
        close(&a, &s).await;
        let s = person.open(&b).await;
        let report = close(&b, &s).await;
        assert_eq!(
            (b.outstanding(), report.conflicts),
            (vec![], 0),
            "{report:?}"
        );
        assert_eq!(a.tree(), b.tree());
        for d in ["closed", "closed/in"] {
            assert_eq!(mode(&b.data().join(d)), 0o555, "{d} as it was");
        }
        // The root itself.
        chmod(&b.data(), 0o555);
        std::fs::remove_dir(b.data().join(".simsync-work")).unwrap_or_default();
        a.write("at the top", "new");
        let s = person.open(&a).await;
        close(&a, &s).await;
        let s = person.open(&b).await;
        close(&b, &s).await;
        assert_eq!((b.outstanding(), mode(&b.data())), (vec![], 0o555));
        assert_eq!(b.read("at the top").as_deref(), Some("new"));
        for d in [
            b.data().join("closed/in"),
            b.data().join("closed"),
            b.data(),
        ] {
            chmod(&d, 0o755);
        }
        for d in ["closed/in", "closed"] {
            chmod(&a.data().join(d), 0o755);
        }
    });
}

#[test]
fn f_b4_a_folder_that_nobody_may_read_hides_what_is_in_it_and_is_named() {
    without_capabilities(async {
        let (person, a, b) = Person::new().await;
        for i in 0..12 {
            a.write(&format!("secret/f{i}"), "1");
        }
        a.write("unreadable", "1");
        a.write("beside", "1");
        let s = person.open(&a).await;
        close(&a, &s).await;
        let s = person.open(&b).await;
        close(&b, &s).await;
        chmod(&a.data().join("secret"), 0o000);
        chmod(&a.data().join("unreadable"), 0o000);
        a.write("beside", "2");
        let s = person.open(&a).await;
        let report = close(&a, &s).await;
        assert!(report.outstanding.person >= 2, "{report:?}");
        let out = a.outstanding();
        assert!(
            out.contains(&("unreadable", "secret".to_owned())),
            "{out:?}"
        );
        assert!(
            out.contains(&("unreadable", "unreadable".to_owned())),
            "{out:?}"
        );
        let s = person.open(&b).await;
        close(&b, &s).await;
        assert_eq!(b.read("beside").as_deref(), Some("2"));
        // The folder's own permissions are a change as any other; what is in it stays.
        chmod(&b.data().join("secret"), 0o755);
        assert_eq!(b.read("secret/f3").as_deref(), Some("1"));
        chmod(&a.data().join("secret"), 0o755);
        chmod(&a.data().join("unreadable"), 0o644);
        let s = person.open(&a).await;
        close(&a, &s).await;
        assert_eq!(a.outstanding(), []);
    });
}
