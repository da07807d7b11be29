//! A new folder is built aside: whoever is killed on the way goes on where it was, and what a person makes meanwhile stays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use simsync_failpoint as failpoint;
use simsync_sim::rig::{Person, Terminal, close, engine_in, sync, sync_with};
use simsyncd::engine::{Engine, SyncOptions};
use tokio::sync::{Mutex, MutexGuard};

/// What is armed is armed for the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A vault with a new folder in it, `new`, that B does not have yet.
async fn world() -> (MutexGuard<'static, ()>, Person, Terminal, Terminal) {
    let turn = ONE_AT_A_TIME.lock().await;
    let (person, a, b) = Person::new().await;
    for i in 0..3 {
        a.write(&format!("new/{i}"), &format!("{i}"));
        a.write(&format!("new/in it/{i}"), &format!("in it {i}"));
    }
    let s = person.open(&a).await;
    close(&a, &s).await;
    (turn, person, a, b)
}

fn in_work_folder(t: &Terminal) -> usize {
    let work = t.data().join(".simsync-work");
    std::fs::read_dir(work).map_or(0, Iterator::count)
}

/// The daemon of a terminal begins anew, from its disk.
fn started_again(person: &Person, t: Terminal) -> Terminal {
    let Terminal { soft, dir, engine } = t;
    let engine_before: Engine = engine;
    drop(engine_before);
    let engine = engine_in(dir.path(), &soft, "B", person.server.app().server);
    Terminal { soft, dir, engine }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_while_a_folder_is_built_goes_on_where_it_was() {
    for step in [
        "daemon.apply.aside",
        "daemon.apply.staged",
        "daemon.apply.batch",
        "daemon.apply.folder-placed",
        "daemon.store.synced",
    ] {
        for after in [false, true] {
            let what = format!("{step}, after: {after}");
            let (_turn, person, a, b) = world().await;
            let s = person.open(&b).await;
            failpoint::arm(step, u64::from(after), None);
            let (engine, session) = (b.engine.clone(), s.clone());
            let work = move || engine.sync(&session, SyncOptions::default(), None);
            let killed = tokio::task::spawn_blocking(work).await;
            let happened = failpoint::disarm().unwrap();
            assert_eq!((happened.step, happened.after), (step, after));
            assert!(killed.is_err(), "{what}");
            // The step of a batch ends with its names.
            let has_names = ["daemon.apply.batch", "daemon.apply.folder-placed"].contains(&step);
            let is_placed = step == "daemon.store.synced" || (has_names && after);
            assert_eq!(b.data().join("new").exists(), is_placed, "{what}");
            failpoint::revive("daemon");
            let b = started_again(&person, b);
            let s = person.open(&b).await;
            let report = sync(&b, &s).await;
            assert_eq!((report.conflicts, b.outstanding()), (0, vec![]), "{what}");
            assert_eq!(a.tree(), b.tree(), "{what}");
            assert_eq!(in_work_folder(&b), 0, "{what}");
            let report = close(&b, &s).await;
            assert_eq!(report.published, 0, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn m4_a_folder_that_a_person_makes_meanwhile_keeps_what_is_in_it() {
    for what in ["a folder", "a file", "a link"] {
        let (_turn, person, a, b) = world().await;
        let s = person.open(&b).await;
        let theirs = b.data().join("new");
        let elsewhere = b.dir.path().join("elsewhere");
        std::fs::write(&elsewhere, "precious").unwrap();
        failpoint::arm(
            "daemon.apply.folder-placed",
            0,
            Some(Box::new(move || match what {
                "a folder" => {
                    std::fs::create_dir(&theirs).unwrap();
                    std::fs::write(theirs.join("1"), "mine").unwrap();
                    std::fs::write(theirs.join("own"), "own").unwrap();
                }
                "a file" => std::fs::write(theirs, "mine").unwrap(),
                _ => std::os::unix::fs::symlink(elsewhere, theirs).unwrap(),
            })),
        );
        sync_with(&b, &s, SyncOptions::default()).await.unwrap();
        assert!(failpoint::disarm().is_some());
        let outstanding = b.outstanding();
        let new = b.data().join("new");
        match what {
            "a folder" => {
                let one = ("changed-meanwhile", "new/1".to_owned());
                assert_eq!(outstanding, [one]);
                assert_eq!(b.read("new/1").as_deref(), Some("mine"));
                assert_eq!(b.read("new/own").as_deref(), Some("own"));
                assert_eq!(b.read("new/in it/2").as_deref(), Some("in it 2"));
            }
            "a file" => assert_eq!(std::fs::read_to_string(new).unwrap(), "mine"),
            _ => assert!(std::fs::read_link(new).is_ok()),
        }
        assert_eq!(in_work_folder(&b), 0, "{what}");
        // What both made is there under two names; nothing is lost.
        sync(&b, &s).await;
        close(&b, &s).await;
        let s = person.open(&a).await;
        close(&a, &s).await;
        assert_eq!(a.tree(), b.tree(), "{what}");
        assert_eq!(
            (a.outstanding(), b.outstanding()),
            (vec![], vec![]),
            "{what}"
        );
    }
}
