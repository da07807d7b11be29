//! Syncs without yanks: there and back, conflicts, guards, reviews.

use simsyncd::engine::{Answer, Answers, EngineError, SyncOptions, SyncReport};

use crate::rig::{Person, close, sync, sync_with};

/// They are gone on purpose.
pub fn deleted() -> Answers {
    Answers {
        all: Some(Answer::Delete),
        ..Answers::default()
    }
}

fn said_yes() -> SyncOptions {
    SyncOptions {
        answers: deleted(),
        ..SyncOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn m1_m4_data_goes_from_a_to_b_and_back() {
    let (person, a, b) = Person::new().await;
    a.write("notes/today.txt", "hello");
    a.write("empty", "");
    a.write("large.bin", &"0123456789abcdef".repeat(400_000));
    std::fs::create_dir(a.data().join("nothing in it")).unwrap();
    std::os::unix::fs::symlink("notes/today.txt", a.data().join("link")).unwrap();
    let s = person.open(&a).await;
    let report = sync(&a, &s).await;
    assert_eq!(report.published, 6);
    assert_eq!(
        sync(&a, &s).await,
        SyncReport::default(),
        "nothing changed, nothing done"
    );
    close(&a, &s).await;

    let s = person.open(&b).await;
    let report = sync(&b, &s).await;
    assert_eq!((report.applied, report.conflicts), (4, 0), "{report:?}");
    assert_eq!(a.tree(), b.tree());
    b.write("notes/today.txt", "hello again");
    std::fs::rename(b.data().join("large.bin"), b.data().join("notes/moved.bin")).unwrap();
    std::fs::remove_dir(b.data().join("nothing in it")).unwrap();
    close(&b, &s).await;

    let s = person.open(&a).await;
    sync(&a, &s).await;
    assert_eq!(a.tree(), b.tree());
    assert_eq!(a.read("notes/today.txt").unwrap(), "hello again");
}

#[tokio::test(flavor = "multi_thread")]
async fn m4_both_sides_of_a_conflict_are_kept_and_travel() {
    let (person, a, b) = Person::new().await;
    a.write("f.txt", "base");
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    // Both write without the card.
    a.write("f.txt", "from A");
    b.write("f.txt", "from B");
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    let report = close(&b, &s).await;
    assert_eq!(report.conflicts, 1);
    assert_eq!(b.read("f.txt").unwrap(), "from A");
    assert_eq!(b.read("f (conflict, B).txt").unwrap(), "from B");
    assert_eq!(b.engine.store.conflicts().unwrap().len(), 1);
    let s = person.open(&a).await;
    sync(&a, &s).await;
    assert_eq!(a.tree(), b.tree());
}

#[tokio::test(flavor = "multi_thread")]
async fn m4_a_missing_or_emptied_folder_deletes_nothing() {
    let (person, a, b) = Person::new().await;
    for i in 0..30 {
        a.write(&format!("f{i}"), "x");
    }
    let s = person.open(&a).await;
    sync(&a, &s).await;
    let kept = a.dir.path().join("kept");
    std::fs::rename(a.data(), &kept).unwrap();
    assert_eq!(sync(&a, &s).await.published, 0);
    assert_eq!(a.outstanding(), [("root-missing", String::new())]);
    std::fs::create_dir(a.data()).unwrap();
    assert_eq!(sync(&a, &s).await.published, 0);
    let codes: Vec<_> = a.outstanding().into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, ["root-empty", "unseen"]);
    std::fs::remove_dir(a.data()).unwrap();
    std::fs::rename(&kept, a.data()).unwrap();
    assert_eq!(close(&a, &s).await.published, 0);
    assert_eq!(a.outstanding(), []);
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!(a.tree(), b.tree());
    // Meant deletions go through once they are allowed.
    for i in 0..30 {
        std::fs::remove_file(a.data().join(format!("f{i}"))).unwrap();
    }
    let s = person.open(&a).await;
    let options = SyncOptions {
        closing: true,
        ..said_yes()
    };
    sync_with(&a, &s, options).await.unwrap();
    // And are not asked about a second time.
    let s = person.open(&b).await;
    sync(&b, &s).await;
    assert!(b.tree().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn m4_a_renamed_folder_is_no_mass_deletion_but_a_vanished_one_is() {
    let (person, a, b) = Person::new().await;
    for i in 0..30 {
        a.write(&format!("old/deep/f{i}"), &format!("content {i}"));
    }
    std::os::unix::fs::symlink("f1", a.data().join("old/deep/link")).unwrap();
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!(a.tree(), b.tree());

    // Everything there is, on the terminal that renames and on the one that takes it.
    let s = person.open(&a).await;
    std::fs::rename(a.data().join("old"), a.data().join("new")).unwrap();
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert!(b.read("new/deep/f7").is_some() && b.read("old/deep/f7").is_none());
    assert_eq!(a.tree(), b.tree());

    // Files of the same size that came at the same time make up for nothing.
    let s = person.open(&a).await;
    std::fs::remove_dir_all(a.data().join("new")).unwrap();
    for i in 0..30 {
        a.write(&format!("other{i}"), &format!("another {i}"));
    }
    assert_eq!(sync(&a, &s).await.published, 0);
    assert_eq!(a.outstanding(), [("mass-deletion", String::new())]);
    let options = SyncOptions {
        closing: true,
        ..said_yes()
    };
    sync_with(&a, &s, options).await.unwrap();
    assert_eq!(a.outstanding(), []);
    let s = person.open(&b).await;
    sync(&b, &s).await;
    assert_eq!(a.tree(), b.tree());
}

/// Few at a time on the one terminal are many at once on the other.
#[tokio::test(flavor = "multi_thread")]
async fn m4_deletions_that_nobody_agreed_to_are_asked_about_where_they_come_all_at_once() {
    let (person, a, b) = Person::new().await;
    for i in 0..30 {
        a.write(&format!("f{i}"), &format!("content {i}"));
    }
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    let s = person.open(&a).await;
    for i in 0..24 {
        std::fs::remove_file(a.data().join(format!("f{i}"))).unwrap();
        if i % 8 == 7 {
            sync(&a, &s).await;
        }
    }
    close(&a, &s).await;
    assert_eq!(a.outstanding(), []);
    let s = person.open(&b).await;
    sync(&b, &s).await;
    assert_eq!(b.outstanding(), [("mass-deletion", String::new())]);
    assert_eq!(b.tree().len(), 30);
    sync_with(&b, &s, said_yes()).await.unwrap();
    assert_eq!((b.outstanding().len(), a.tree()), (0, b.tree()));
}

/// A folder that is deleted goes file by file, and some of it is synced before the rest is asked about.
#[tokio::test(flavor = "multi_thread")]
async fn f_c_a_yes_is_to_all_that_went_before_and_to_nothing_that_goes_after() {
    // How many of three go before the rest does; all three: only the empty folder is left to be asked about.
    for first in 0..=3 {
        let (person, a, b) = Person::new().await;
        for i in 0..3 {
            a.write(&format!("f{i}"), &format!("content {i}"));
        }
        let s = person.open(&a).await;
        close(&a, &s).await;
        let s = person.open(&b).await;
        close(&b, &s).await;
        let s = person.open(&a).await;
        for i in 0..first {
            std::fs::remove_file(a.data().join(format!("f{i}"))).unwrap();
            assert_eq!(sync(&a, &s).await.published, 1, "{first}");
        }
        std::fs::remove_dir_all(a.data()).unwrap();
        sync(&a, &s).await;
        assert_eq!(a.outstanding(), [("root-missing", String::new())]);
        sync_with(&a, &s, said_yes()).await.unwrap();
        assert_eq!(a.outstanding(), []);
        let s = person.open(&b).await;
        close(&b, &s).await;
        assert_eq!(b.outstanding(), [], "{first} went before");
        assert!(b.tree().is_empty());
    }

    let (person, a, b) = Person::new().await;
    for i in 0..40 {
        a.write(&format!("f{i}"), &format!("content {i}"));
    }
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    let s = person.open(&a).await;
    for i in 0..32 {
        std::fs::remove_file(a.data().join(format!("f{i}"))).unwrap();
        match i {
            7 => sync_with(&a, &s, said_yes()).await.unwrap().published,
            15 | 23 | 31 => sync(&a, &s).await.published,
            _ => continue,
        };
    }
    close(&a, &s).await;
    assert_eq!((a.outstanding().len(), a.tree().len()), (0, 8));
    let s = person.open(&b).await;
    sync(&b, &s).await;
    assert_eq!(b.outstanding(), [("mass-deletion", String::new())]);
    assert_eq!(b.tree().len(), 40);
}

/// What is asked about is one question, also after the card was pulled: what is gone is on no terminal only.
#[tokio::test(flavor = "multi_thread")]
async fn f_c_deletions_that_are_asked_about_stay_one_question_after_a_yank() {
    let (person, a, _b) = Person::new().await;
    for i in 0..30 {
        a.write(&format!("f{i}"), &format!("content {i}"));
    }
    let s = person.open(&a).await;
    close(&a, &s).await;
    for asked_before in [false, true] {
        let s = person.open(&a).await;
        for i in 0..25 {
            let _ = std::fs::remove_file(a.data().join(format!("f{i}")));
        }
        if asked_before {
            sync(&a, &s).await;
        }
        person.yank(&a, &s, true).await;
        let question = [("mass-deletion", String::new())];
        assert_eq!(a.outstanding(), question, "{asked_before}");
    }
}

/// The files that a yes was about are made again, and go a few at a time, which is asked about nowhere but where all comes
/// at once.
#[tokio::test(flavor = "multi_thread")]
async fn f_c_a_yes_is_not_to_what_was_there_again_after_it() {
    let (person, a, b) = Person::new().await;
    let make = |from: usize| {
        for i in from..60 {
            a.write(&format!("f{i}"), &format!("content {i}"));
        }
    };
    make(0);
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    let s = person.open(&a).await;
    for i in 0..45 {
        std::fs::remove_file(a.data().join(format!("f{i}"))).unwrap();
    }
    assert_eq!(sync_with(&a, &s, said_yes()).await.unwrap().published, 45);
    make(0);
    sync(&a, &s).await;
    for i in 0..44 {
        std::fs::remove_file(a.data().join(format!("f{i}"))).unwrap();
        if i % 11 == 10 {
            sync(&a, &s).await;
        }
    }
    close(&a, &s).await;
    assert_eq!((a.outstanding().len(), a.tree().len()), (0, 16));
    let s = person.open(&b).await;
    sync(&b, &s).await;
    assert_eq!(b.outstanding(), [("mass-deletion", String::new())]);
    assert_eq!(b.tree().len(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn m3_a_declined_review_takes_nothing() {
    let (person, a, b) = Person::new().await;
    a.write("f", "x");
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    let (engine, session) = (b.engine.clone(), s.clone());
    let refused = tokio::task::spawn_blocking(move || {
        engine.sync(
            &session,
            SyncOptions {
                review: true,
                ..SyncOptions::default()
            },
            Some(&|entries| {
                assert_eq!(entries.len(), 1);
                false
            }),
        )
    })
    .await
    .unwrap();
    assert!(matches!(refused, Err(EngineError::Declined)));
    assert!(b.tree().is_empty());
    sync(&b, &s).await;
    assert_eq!(a.tree(), b.tree());
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_only_postpones_and_loses_nothing() {
    let (person, a, b) = Person::new().await;
    a.write("from a", "a");
    a.write("both", "a");
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    b.write("from b", "b");
    b.write("both", "b");
    let options = SyncOptions {
        upload_only: true,
        ..SyncOptions::default()
    };
    let report = sync_with(&b, &s, options).await.unwrap();
    assert_eq!((report.applied, report.published), (0, 1), "{report:?}");
    assert_eq!(b.read("from a"), None);
    assert_eq!(b.read("both").as_deref(), Some("b"));
    close(&b, &s).await;
    assert_eq!(b.read("from a").as_deref(), Some("a"));
    assert_eq!(b.read("both (conflict, B)").as_deref(), Some("b"));
    let s = person.open(&a).await;
    sync(&a, &s).await;
    assert_eq!(a.tree(), b.tree());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_disk_holds_no_name_and_no_content() {
    let (person, a, _b) = Person::new().await;
    a.write(
        "Geheimnis-Ordner/streng-geheim.txt",
        &"Kontonummer 4711 ".repeat(50),
    );
    let s = person.open(&a).await;
    sync(&a, &s).await;
    a.write(
        "Geheimnis-Ordner/zweites-geheimnis.txt",
        &"Losungswort Mandelbaum ".repeat(50),
    );
    person.yank(&a, &s, true).await;
    let mut found = Vec::new();
    let mut files = 0;
    let mut stack = vec![person.server.dir()];
    while let Some(dir) = stack.pop() {
        for e in std::fs::read_dir(dir).unwrap().flatten() {
            if e.path().is_dir() {
                stack.push(e.path());
            } else if e.path().is_file() {
                files += 1;
                let bytes = std::fs::read(e.path()).unwrap();
                for word in [
                    "Geheimnis",
                    "geheim",
                    "Kontonummer",
                    "4711 Kontonummer",
                    "Mandelbaum",
                    "Documents",
                ] {
                    if bytes.windows(word.len()).any(|w| w == word.as_bytes()) {
                        found.push(format!("{word} in {}", e.path().display()));
                    }
                }
            }
        }
    }
    assert!(files > 5);
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f_c_a_file_of_the_vault_where_a_folder_is_outlasts_a_sync_that_takes_nothing() {
    let (person, a, b) = Person::new().await;
    a.write("place", "of A");
    let s = person.open(&a).await;
    close(&a, &s).await;
    b.write("place/file", "of B");
    let s = person.open(&b).await;
    let options = SyncOptions {
        upload_only: true,
        ..SyncOptions::default()
    };
    sync_with(&b, &s, options).await.unwrap();
    close(&b, &s).await;
    assert_eq!(b.read("place/file").as_deref(), Some("of B"));
    assert_eq!(b.read("place (conflict, vault)").as_deref(), Some("of A"));
    let s = person.open(&a).await;
    close(&a, &s).await;
    assert_eq!(a.tree(), b.tree());
}
