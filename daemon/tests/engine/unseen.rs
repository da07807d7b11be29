//! What cannot be seen is not deleted, and what was written by us is no edit of a person's.

use simsyncd::engine::{Answer, Answers, Cancel, SyncOptions};

use crate::machine::Mount;
use crate::rig::{Person, close, sync, sync_with};

/// As it is found at home: on a file system of its own, or a part of the same one that is mounted there.
#[derive(Debug, Clone, Copy)]
enum Disk {
    Own,
    Bound,
}

async fn a_disk_below_the_root(kind: Disk) {
    let (person, a, b) = Person::new().await;
    let (place, disk) = (a.data().join("disk"), a.dir.path().join("disk"));
    std::fs::create_dir(&place).unwrap();
    std::fs::create_dir(&disk).unwrap();
    let _own = matches!(kind, Disk::Own).then(|| Mount::disk("8m", &disk));
    let mount = || Mount::bind(&disk, &place);
    let mounted = mount();
    for i in 0..5 {
        a.write(&format!("disk/f{i}"), &format!("on the disk {i}"));
    }
    for i in 0..20 {
        a.write(&format!("beside{i}"), "beside");
    }
    let s = person.open(&a).await;
    close(&a, &s).await;
    assert_eq!(a.outstanding(), []);
    let s = person.open(&b).await;
    close(&b, &s).await;
    let before = b.tree();

    drop(mounted);
    std::fs::remove_file(a.data().join("beside0")).unwrap();
    let s = person.open(&a).await;
    let report = close(&a, &s).await;
    assert_eq!(report.published, 1, "{kind:?} {report:?}");
    assert_eq!(a.outstanding(), [("unseen", "disk".to_owned())]);
    assert!(report.outstanding.person > 0);
    let s = person.open(&b).await;
    sync(&b, &s).await;
    assert_eq!(b.tree().len(), before.len() - 1, "{kind:?}");

    // What B writes there waits, and what lies in the empty place is nobody's.
    b.write("disk/f1", "edited on B");
    b.write("disk/new", "new on B");
    close(&b, &s).await;
    a.write("disk/not on the disk", "x");
    let s = person.open(&a).await;
    sync(&a, &s).await;
    assert_eq!(a.read("disk/new"), None);
    assert_eq!(a.outstanding(), [("unseen", "disk".to_owned())]);
    // Nor does a card that is pulled now take them away.
    let report = person.yank(&a, &s, true).await;
    assert_eq!(report.items, 0, "{report:?}");
    std::fs::remove_file(a.data().join("disk/not on the disk")).unwrap();

    let _mounted = mount();
    let s = person.open(&a).await;
    let report = close(&a, &s).await;
    assert_eq!((report.conflicts, report.published), (0, 0), "{report:?}");
    assert_eq!(a.outstanding(), []);
    assert_eq!(a.read("disk/new").as_deref(), Some("new on B"));
    assert_eq!(a.tree(), b.tree(), "{kind:?}");
    // While it is there it is a folder like any other.
    std::fs::remove_file(a.data().join("disk/f2")).unwrap();
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!((a.tree(), b.read("disk/f2")), (b.tree(), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn f_a1_a_disk_that_is_unmounted_below_the_root_deletes_nothing() {
    a_disk_below_the_root(Disk::Own).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f_a1_a_bind_mount_that_is_undone_below_the_root_deletes_nothing() {
    a_disk_below_the_root(Disk::Bound).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f_a1_a_disk_that_is_gone_for_good_is_deleted_or_given_back_when_its_owner_says_so() {
    for answer in [Answer::Delete, Answer::GiveBack] {
        let (person, a, b) = Person::new().await;
        let place = a.data().join("disk");
        std::fs::create_dir(&place).unwrap();
        let disk = Mount::disk("8m", &place);
        a.write("disk/f", "on the disk");
        a.write("disk/g", "on the disk, too");
        a.write("beside", "beside");
        let s = person.open(&a).await;
        close(&a, &s).await;
        drop(disk);
        let s = person.open(&a).await;
        sync(&a, &s).await;
        assert_eq!(a.outstanding(), [("unseen", "disk".to_owned())]);
        let options = SyncOptions {
            answers: a.answered(answer),
            closing: true,
            ..SyncOptions::default()
        };
        sync_with(&a, &s, options).await.unwrap();
        assert_eq!(a.outstanding(), [], "{answer:?}");
        let s = person.open(&b).await;
        close(&b, &s).await;
        assert_eq!(a.tree(), b.tree());
        let there = answer == Answer::GiveBack;
        assert_eq!(a.read("disk/f").is_some(), there, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f_a1_another_folder_in_place_of_the_root_deletes_nothing() {
    let (person, a, b) = Person::new().await;
    for i in 0..20 {
        a.write(&format!("f{i}"), &format!("content {i}"));
    }
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    // Put back from a backup that lacks the newest files: fewer than a guard asks about.
    std::fs::rename(a.data(), a.dir.path().join("old")).unwrap();
    std::fs::create_dir(a.data()).unwrap();
    for i in 0..18 {
        a.write(&format!("f{i}"), &format!("content {i}"));
    }
    let s = person.open(&a).await;
    let report = close(&a, &s).await;
    assert_eq!(report.published, 0, "{report:?}");
    assert_eq!(a.outstanding(), [("unseen", String::new())]);
    let s = person.open(&b).await;
    b.write("f19", "edited on B");
    b.write("new", "new on B");
    close(&b, &s).await;
    // What others write comes all the same, and the rest when its owner asks for it.
    let s = person.open(&a).await;
    sync(&a, &s).await;
    assert_eq!(a.read("new").as_deref(), Some("new on B"));
    let options = SyncOptions {
        answers: Answers {
            all: Some(Answer::GiveBack),
            ..Answers::default()
        },
        closing: true,
        ..SyncOptions::default()
    };
    sync_with(&a, &s, options).await.unwrap();
    assert_eq!(a.outstanding(), []);
    assert_eq!(a.tree(), b.tree());
    assert_eq!(a.read("f19").as_deref(), Some("edited on B"));
}

#[tokio::test(flavor = "multi_thread")]
async fn f_a1_a_terminal_with_a_disk_below_the_root_takes_what_is_to_be_on_it() {
    let (person, a, b) = Person::new().await;
    a.write("disk/deep/f", "1");
    a.write("disk/link to be", "1");
    let s = person.open(&a).await;
    close(&a, &s).await;
    std::fs::create_dir(b.data().join("disk")).unwrap();
    let _disk = Mount::disk("8m", &b.data().join("disk"));
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!((b.outstanding(), a.tree()), (vec![], b.tree()));
    a.write("disk/deep/f", "2");
    std::fs::remove_file(a.data().join("disk/link to be")).unwrap();
    std::os::unix::fs::symlink("deep/f", a.data().join("disk/link to be")).unwrap();
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!((b.outstanding(), a.tree()), (vec![], b.tree()));
}

/// Stops a sync of B's in the middle of its renames, as a crash does: nothing is written down afterwards.
async fn b_dies_while_it_writes(person: &Person, b: &mut crate::rig::Terminal) {
    let s = person.open(b).await;
    let (engine, session) = (b.engine.clone(), s.clone());
    let done = b.engine.progress.clone();
    let task =
        tokio::task::spawn_blocking(move || engine.sync(&session, SyncOptions::default(), None));
    while !task.is_finished() && done.files_done.load(std::sync::atomic::Ordering::Relaxed) < 4_096
    {
        tokio::task::yield_now().await;
    }
    b.engine.cancel.cancel();
    let result = task.await.unwrap();
    assert!(result.is_err(), "{result:?}");
    assert!(b.tree().len() > 100, "it wrote {}", b.tree().len());
    b.engine.cancel = Cancel::default();
}

const MANY: usize = 4_200;

#[tokio::test(flavor = "multi_thread")]
async fn f_a3_a_crash_in_the_middle_of_a_download_makes_no_conflicts() {
    let (person, a, mut b) = Person::new().await;
    for i in 0..MANY {
        a.write(&format!("d{}/f{i}", i % 7), &format!("one {i}"));
    }
    let s = person.open(&a).await;
    close(&a, &s).await;
    b_dies_while_it_writes(&person, &mut b).await;
    for i in 0..MANY {
        a.write(&format!("d{}/f{i}", i % 7), &format!("another {i}"));
    }
    std::fs::remove_file(a.data().join("d0/f0")).unwrap();
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    let report = close(&b, &s).await;
    assert_eq!((report.conflicts, report.published), (0, 0), "{report:?}");
    assert_eq!(a.tree(), b.tree());
}

#[tokio::test(flavor = "multi_thread")]
async fn f_a3_what_a_crash_left_half_written_is_no_change_for_a_tail() {
    let (person, a, mut b) = Person::new().await;
    for i in 0..MANY {
        a.write(&format!("d{}/f{i}", i % 7), &format!("one {i}"));
    }
    let s = person.open(&a).await;
    close(&a, &s).await;
    b_dies_while_it_writes(&person, &mut b).await;
    b.write("own", "of a person");
    let s = person.open(&b).await;
    let report = person.yank(&b, &s, true).await;
    assert_eq!((report.items, report.left), (1, 0), "{report:?}");
    let s = person.open(&a).await;
    let report = close(&a, &s).await;
    assert_eq!((report.tails, report.conflicts), (1, 0), "{report:?}");
    let s = person.open(&b).await;
    let report = close(&b, &s).await;
    assert_eq!(report.conflicts, 0, "{report:?}");
    assert_eq!(a.tree(), b.tree());
}

#[tokio::test(flavor = "multi_thread")]
async fn f_a2_a_file_that_grows_while_the_card_is_pulled_conflicts_with_nothing() {
    let (person, a, b) = Person::new().await;
    a.write("log", "begin\n");
    let s = person.open(&a).await;
    close(&a, &s).await;
    let mut left = 0;
    for round in 0..8 {
        let s = person.open(&a).await;
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (path, stopped) = (a.data().join("log"), stop.clone());
        let writer = std::thread::spawn(move || {
            use std::io::Write;
            let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                file.write_all(b"one more line\n").unwrap();
            }
        });
        a.write(&format!("rest{round}"), "at rest");
        let len = || std::fs::metadata(a.data().join("log")).unwrap().len();
        let before = len();
        while len() == before {
            tokio::task::yield_now().await;
        }
        let report = person.yank(&a, &s, true).await;
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().unwrap();
        assert!(report.items >= 1, "the one at rest: {report:?}");
        // A writer that rests for as long as one state needs leaves one behind, which is sealed.
        match report.left {
            0 => assert_eq!((report.items, a.outstanding()), (2, vec![]), "{report:?}"),
            1 => assert_eq!(a.outstanding(), [("not-sealed", "log".to_owned())]),
            _ => panic!("round {round}: {report:?}"),
        }
        left += report.left;
        let s = person.open(&b).await;
        close(&b, &s).await;
        let s = person.open(&a).await;
        let report = close(&a, &s).await;
        assert_eq!(report.conflicts, 0, "round {round}: {report:?}");
        assert_eq!(a.outstanding(), []);
        let s = person.open(&b).await;
        let report = close(&b, &s).await;
        assert_eq!(report.conflicts, 0, "round {round}: {report:?}");
        assert_eq!(a.tree(), b.tree(), "round {round}");
    }
    assert!(left > 0, "the writer rested in every round");
}

#[tokio::test(flavor = "multi_thread")]
async fn f_b2_a_yes_is_to_what_was_asked_and_to_nothing_that_went_after_it() {
    let (person, a, b) = Person::new().await;
    for i in 0..30 {
        a.write(&format!("lost/f{i}"), "1");
    }
    for i in 0..12 {
        a.write(&format!("moved/f{i}"), "2");
    }
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;

    std::fs::remove_dir_all(a.data().join("lost")).unwrap();
    let s = person.open(&a).await;
    sync(&a, &s).await;
    let asked = [("mass-deletion", String::new())];
    assert_eq!(a.outstanding(), asked);
    let yes = || SyncOptions {
        answers: a.answered(Answer::Delete),
        ..SyncOptions::default()
    };
    let before = yes();
    // While the person thinks, another folder goes for a while.
    let aside = a.dir.path().join("aside");
    std::fs::rename(a.data().join("moved"), &aside).unwrap();
    sync_with(&a, &s, before.clone()).await.unwrap();
    assert_ne!(yes().answers, before.answers, "the question is another one");
    std::fs::rename(&aside, a.data().join("moved")).unwrap();
    sync(&a, &s).await;
    assert_eq!(yes().answers, before.answers);
    assert_eq!(a.outstanding(), asked);
    sync_with(&a, &s, yes()).await.unwrap();
    assert_eq!(a.outstanding(), []);
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!((b.tree().len(), b.outstanding()), (13, vec![]));
    assert_eq!(a.tree(), b.tree());
}

#[tokio::test(flavor = "multi_thread")]
async fn f_b2_a_yes_to_what_others_deleted_is_to_no_more_of_it() {
    let (person, a, b) = Person::new().await;
    for i in 0..40 {
        a.write(&format!("f{i}"), &format!("{i}"));
    }
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    // On B so few at a time that nobody there is asked.
    let delete_on_b = async |files: std::ops::Range<usize>| {
        files.for_each(|i| std::fs::remove_file(b.data().join(format!("f{i}"))).unwrap());
        let s = person.open(&b).await;
        close(&b, &s).await;
        assert_eq!(b.outstanding(), []);
    };
    delete_on_b(0..19).await;
    delete_on_b(19..28).await;
    let s = person.open(&a).await;
    close(&a, &s).await;
    let asked = [("mass-deletion", String::new())];
    assert_eq!(a.outstanding(), asked);
    let yes = || SyncOptions {
        answers: a.answered(Answer::Delete),
        ..SyncOptions::default()
    };
    let before = yes();
    delete_on_b(28..36).await;
    let s = person.open(&a).await;
    sync_with(&a, &s, before).await.unwrap();
    assert_eq!((a.outstanding(), a.tree().len()), (asked.to_vec(), 40));
    sync_with(&a, &s, yes()).await.unwrap();
    assert_eq!((a.outstanding(), a.tree().len()), (vec![], 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn f_b2_a_file_in_place_of_the_folder_is_named() {
    let (person, a, _) = Person::new().await;
    a.write("f", "1");
    let s = person.open(&a).await;
    sync(&a, &s).await;
    let aside = a.dir.path().join("aside");
    std::fs::rename(a.data(), &aside).unwrap();
    std::fs::write(a.data(), "a file").unwrap();
    for answers in [Answers::default(), a.answered(Answer::GiveBack)] {
        let options = SyncOptions {
            answers,
            ..SyncOptions::default()
        };
        sync_with(&a, &s, options).await.unwrap();
        let rows = a.engine.store.outstanding().unwrap();
        assert_eq!(rows.len(), 1);
        assert!(rows[0].detail.contains("move that away"), "{rows:?}");
    }
    std::fs::remove_file(a.data()).unwrap();
    std::fs::rename(&aside, a.data()).unwrap();
    sync(&a, &s).await;
    assert_eq!((a.outstanding(), a.tree().len()), (vec![], 1));
}
