//! The card is pulled: what no commit holds travels sealed.

use simsync_server::testing::Seed;
use simsyncd::engine::{Cancel, EngineConfig, SyncOptions};

use crate::rig::{Person, close, sync};

#[tokio::test(flavor = "multi_thread")]
async fn b4_what_was_not_uploaded_travels_sealed() {
    let (person, a, b) = Person::new().await;
    a.write("keep", "1");
    a.write("gone", "2");
    a.write("dir/changed", "3");
    let s = person.open(&a).await;
    sync(&a, &s).await;
    a.write("dir/changed", "three");
    a.write("dir/sub/new", "new");
    std::fs::remove_file(a.data().join("gone")).unwrap();
    let report = person.yank(&a, &s, true).await;
    assert!(report.items >= 4 && report.left == 0, "{report:?}");
    let s = person.open(&b).await;
    let report = close(&b, &s).await;
    assert_eq!(report.tails, 1);
    assert_eq!(a.tree(), b.tree());
    // Back on A nothing is left to do, and B's later edit is no conflict.
    b.write("dir/changed", "edited on B");
    let s = person.open(&b).await;
    close(&b, &s).await;
    let s = person.open(&a).await;
    let report = sync(&a, &s).await;
    assert_eq!((report.conflicts, report.published), (0, 0), "{report:?}");
    assert_eq!(a.read("dir/changed").unwrap(), "edited on B");
    assert_eq!(a.tree(), b.tree());
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_a_yank_at_many_points_of_an_upload_loses_nothing() {
    let (person, mut a, b) = Person::new().await;
    let seed = Seed::new();
    for round in 0..12 {
        a.engine.cancel = Cancel::default();
        for i in 0..40 {
            a.write(
                &format!("r{round}/f{i}"),
                &format!("{round} {i} {:?}", seed.bytes()).repeat(40),
            );
        }
        if round > 0 {
            std::fs::remove_file(a.data().join(format!("r{}/f0", round - 1))).unwrap();
        }
        let s = person.open(&a).await;
        let (engine, session) = (a.engine.clone(), s.clone());
        let task = tokio::task::spawn_blocking(move || {
            engine.sync(&session, SyncOptions::default(), None)
        });
        // The yank comes after this many bytes were sent.
        let at = 20_000 * round as u64;
        let sent = || {
            a.engine
                .progress
                .bytes
                .load(std::sync::atomic::Ordering::Relaxed)
        };
        while !task.is_finished() && sent() < at {
            tokio::task::yield_now().await;
        }
        a.engine
            .progress
            .bytes
            .store(0, std::sync::atomic::Ordering::Relaxed);
        a.engine.keys.wipe();
        a.engine.cancel.cancel();
        let result = task.await.unwrap();
        let network = round % 3 != 2;
        let report = person.yank(&a, &s, network).await;
        println!("round {round}: {result:?} {report:?}");
        let s = person.open(&b).await;
        if !network {
            // B is open before the tail arrives.
            sync(&b, &s).await;
            person.deliver(&a).await;
        }
        close(&b, &s).await;
        assert_eq!(a.tree(), b.tree(), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_a_second_yank_before_anyone_merged_replaces_the_first_tail() {
    let (person, a, b) = Person::new().await;
    let s = person.open(&a).await;
    a.write("one", "1");
    person.yank(&a, &s, true).await;
    let s = person.open(&a).await;
    a.write("two", "2");
    let report = person.yank(&a, &s, true).await;
    assert!(report.items >= 2, "{report:?}");
    let s = person.open(&b).await;
    let report = close(&b, &s).await;
    assert_eq!(report.tails, 2);
    assert_eq!(b.read("one").as_deref(), Some("1"));
    assert_eq!(a.tree(), b.tree());
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_a_folder_that_was_deleted_before_a_yank_takes_nothing_of_others_with_it() {
    let (person, a, b) = Person::new().await;
    a.write("dir/sub/old", "1");
    a.write("dir/becomes/old", "1");
    for t in [&a, &b] {
        let s = person.open(t).await;
        close(t, &s).await;
    }
    let s = person.open(&a).await;
    std::fs::remove_dir_all(a.data().join("dir/sub")).unwrap();
    std::fs::remove_dir_all(a.data().join("dir/becomes")).unwrap();
    a.write("dir/becomes", "a file");
    person.yank(&a, &s, false).await;
    // B puts something into both before the tail arrives.
    b.write("dir/sub/new", "2");
    b.write("dir/becomes/new", "2");
    let s = person.open(&b).await;
    sync(&b, &s).await;
    person.deliver(&a).await;
    close(&b, &s).await;
    assert_eq!(b.read("dir/sub/new").as_deref(), Some("2"));
    assert_eq!(b.read("dir/becomes/new").as_deref(), Some("2"));
    assert_eq!(b.read("dir/sub/old"), None);
    assert_eq!(
        b.read("dir/becomes (conflict, A)").as_deref(),
        Some("a file")
    );
    let s = person.open(&a).await;
    close(&a, &s).await;
    assert_eq!(a.tree(), b.tree());
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_a_version_of_a_tail_that_is_kept_aside_replaces_none_that_was() {
    let (person, a, b) = Person::new().await;
    a.write("file", "1");
    a.write("file (conflict, A)", "kept before");
    for t in [&a, &b] {
        let s = person.open(t).await;
        close(t, &s).await;
    }
    let s = person.open(&a).await;
    a.write("file", "of A");
    person.yank(&a, &s, false).await;
    b.write("file", "of B, longer");
    let s = person.open(&b).await;
    sync(&b, &s).await;
    person.deliver(&a).await;
    close(&b, &s).await;
    assert_eq!(b.read("file").as_deref(), Some("of B, longer"));
    let kept = |name: &str| b.read(name);
    assert_eq!(kept("file (conflict, A)").as_deref(), Some("kept before"));
    assert_eq!(kept("file (conflict 2, A)").as_deref(), Some("of A"));
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_a_link_that_changes_after_a_tail_is_kept() {
    let (person, a, b) = Person::new().await;
    let s = person.open(&a).await;
    std::os::unix::fs::symlink("sealed", a.data().join("link")).unwrap();
    a.write("becomes", "sealed");
    person.yank(&a, &s, true).await;
    std::fs::remove_file(a.data().join("link")).unwrap();
    std::os::unix::fs::symlink("changed", a.data().join("link")).unwrap();
    std::fs::remove_file(a.data().join("becomes")).unwrap();
    a.write("becomes/folder", "changed");
    let s = person.open(&b).await;
    close(&b, &s).await;
    let s = person.open(&a).await;
    close(&a, &s).await;
    let links = ["link", "link (conflict, A)"].map(|n| std::fs::read_link(a.data().join(n)).ok());
    assert!(links.contains(&Some("changed".into())), "{links:?}");
    assert_eq!(a.read("becomes/folder").as_deref(), Some("changed"));
    assert_eq!(a.read("becomes (conflict, vault)"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_a_folder_of_a_merged_tail_that_others_deleted_since_does_not_come_back() {
    let (person, a, b) = Person::new().await;
    let s = person.open(&a).await;
    a.write("folder/in/it", "1");
    person.yank(&a, &s, true).await;
    let s = person.open(&b).await;
    sync(&b, &s).await;
    std::fs::rename(b.data().join("folder"), b.data().join("moved")).unwrap();
    close(&b, &s).await;
    let s = person.open(&a).await;
    let report = close(&a, &s).await;
    assert_eq!(report.conflicts, 0, "{report:?}");
    assert_eq!(a.tree(), b.tree());
    assert!(!a.data().join("folder").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_what_changes_after_a_tail_goes_on_from_there() {
    let (person, a, b) = Person::new().await;
    let s = person.open(&a).await;
    a.write("dir/removed", "1");
    a.write("dir/edited", "1");
    a.write("dir/left", "1");
    person.yank(&a, &s, true).await;
    // The card is out, the person works on.
    std::fs::remove_file(a.data().join("dir/removed")).unwrap();
    a.write("dir/edited", "another length");
    let s = person.open(&b).await;
    let report = close(&b, &s).await;
    assert_eq!(report.tails, 1);
    assert_eq!(b.read("dir/removed").as_deref(), Some("1"));
    let s = person.open(&a).await;
    let report = close(&a, &s).await;
    assert_eq!((report.conflicts, report.published), (0, 2), "{report:?}");
    let s = person.open(&b).await;
    let report = close(&b, &s).await;
    assert_eq!(report.conflicts, 0, "{report:?}");
    assert_eq!(a.tree(), b.tree());
    assert_eq!((b.read("dir/removed"), a.read("dir/removed")), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_a_second_tail_that_comes_after_the_first_was_merged_goes_on_from_there() {
    let (person, a, b) = Person::new().await;
    let s = person.open(&a).await;
    a.write("dir/removed", "1");
    a.write("dir/edited", "1");
    a.write("dir/left", "1");
    person.yank(&a, &s, true).await;
    let s = person.open(&a).await;
    std::fs::remove_file(a.data().join("dir/removed")).unwrap();
    a.write("dir/edited", "another length");
    a.write("dir/new", "2");
    person.yank(&a, &s, false).await;
    // B takes the first one before the second arrives.
    let s = person.open(&b).await;
    let report = close(&b, &s).await;
    assert_eq!(report.tails, 1);
    assert_eq!(b.read("dir/edited").as_deref(), Some("1"));
    person.deliver(&a).await;
    let s = person.open(&b).await;
    let report = close(&b, &s).await;
    assert_eq!((report.tails, report.conflicts), (1, 0), "{report:?}");
    assert_eq!(a.tree(), b.tree());
    let s = person.open(&a).await;
    let report = close(&a, &s).await;
    assert_eq!((report.conflicts, report.published), (0, 0), "{report:?}");
    assert_eq!(a.tree(), b.tree());
}

/// Bytes that neither compress nor repeat.
fn noise(seed: &Seed, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new_keyed(&seed.bytes())
        .finalize_xof()
        .fill(&mut out);
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_files_larger_than_an_item_travel_in_parts() {
    let (person, a, b) = Person::new().await;
    let seed = Seed::new();
    let s = person.open(&a).await;
    // More than one item each, and together more than one answer of the server holds.
    for (name, len) in [("one", 40 << 20), ("two", 33 << 20), ("just", 16 << 20)] {
        std::fs::write(a.data().join(name), noise(&seed, len)).unwrap();
    }
    a.write("small", "beside them");
    let report = person.yank(&a, &s, true).await;
    assert_eq!((report.items, report.left), (4, 0), "{report:?}");
    let s = person.open(&b).await;
    let report = close(&b, &s).await;
    assert_eq!(report.tails, 1);
    assert!(a.tree() == b.tree());
    // What B cut is what A would have cut: nothing is left to do.
    let s = person.open(&a).await;
    let report = sync(&a, &s).await;
    assert_eq!((report.published, report.applied), (0, 0), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_a_large_file_that_is_being_written_stays_behind_whole() {
    let (person, a, b) = Person::new().await;
    let seed = Seed::new();
    let s = person.open(&a).await;
    let growing = a.data().join("growing");
    std::fs::write(&growing, noise(&seed, 20 << 20)).unwrap();
    a.write("small", "beside it");
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (stop, path) = (stop.clone(), growing.clone());
        move || {
            let mut file = std::fs::File::options().append(true).open(path).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                std::io::Write::write_all(&mut file, b"more").unwrap();
            }
        }
    });
    let report = person.yank(&a, &s, true).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    assert_eq!((report.items, report.left), (1, 1), "{report:?}");
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!(b.read("small").as_deref(), Some("beside it"));
    assert!(!b.data().join("growing").exists(), "half a file is no file");
    // It is not forgotten: A's next session brings it.
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert!(a.tree() == b.tree());
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_a_tail_takes_no_more_items_than_whoever_opens_it() {
    let (person, mut a, b) = Person::new().await;
    let seed = Seed::new();
    for i in 0..9 {
        a.write(&format!("old/{i}"), "1");
    }
    let s = person.open(&a).await;
    sync(&a, &s).await;
    let config = (*a.engine.config).clone();
    a.engine.config = std::sync::Arc::new(EngineConfig {
        tail_items: 5,
        ..config
    });
    for i in 0..3 {
        std::fs::remove_file(a.data().join(format!("old/{i}"))).unwrap();
        std::fs::create_dir(a.data().join(format!("dir{i}"))).unwrap();
        a.write(&format!("new{i}"), "2");
    }
    // Three parts and what they belong to: as a whole or not at all.
    std::fs::write(a.data().join("large"), noise(&seed, 40 << 20)).unwrap();
    let report = person.yank(&a, &s, true).await;
    // Files that were written in the tick of the last look may be among what is left.
    assert!(report.items == 5 && report.left >= 5, "{report:?}");
    let s = person.open(&b).await;
    let report = close(&b, &s).await;
    assert_eq!(report.tails, 1, "{report:?}");
    assert!(!b.data().join("old/0").exists() && b.data().join("dir0").is_dir());
    // The rest comes with A's next session.
    let s = person.open(&a).await;
    let report = close(&a, &s).await;
    assert_eq!(report.conflicts, 0, "{report:?}");
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert!(a.tree() == b.tree());

    // A large file that there is no room for leaves the room to small ones.
    let s = person.open(&a).await;
    std::fs::write(a.data().join("another"), noise(&seed, 65 << 20)).unwrap();
    a.write("later", "3");
    person.yank(&a, &s, true).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!(b.read("later").as_deref(), Some("3"));
    assert!(!b.data().join("another").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_another_version_of_the_same_size_and_time_is_not_taken_for_the_sealed_one() {
    let (person, a, b) = Person::new().await;
    a.write("x", "first");
    for t in [&a, &b] {
        let s = person.open(t).await;
        close(t, &s).await;
    }
    let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let write_then = |t: &crate::rig::Terminal, text: &str| {
        t.write("x", text);
        let file = std::fs::File::options()
            .write(true)
            .open(t.data().join("x"));
        file.unwrap().set_modified(at).unwrap();
    };
    let s = person.open(&a).await;
    write_then(&a, "of A");
    person.yank(&a, &s, false).await;
    write_then(&b, "of B");
    let s = person.open(&b).await;
    sync(&b, &s).await;
    person.deliver(&a).await;
    close(&b, &s).await;
    // A goes on with what it sealed; what others have under that name is another version.
    a.write("x", "of A, and more");
    for t in [&a, &b] {
        let s = person.open(t).await;
        close(t, &s).await;
    }
    let has = |text: &str| a.tree().values().flatten().any(|t| t == text.as_bytes());
    assert!(
        has("of B") && has("of A") && has("of A, and more"),
        "{:?}",
        a.tree()
    );
    assert_eq!(a.tree(), b.tree());
}
