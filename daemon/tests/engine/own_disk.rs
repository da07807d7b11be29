//! What a terminal keeps for itself is missing, damaged, or something else stands in its place, while the daemon runs.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use simsync_server::testing::Seed;

use crate::rig::{Person, Terminal, close, sync};

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|e| e.unwrap().path()).collect()
}

/// Where packs would be kept there is now what `change` makes of it: B takes everything all the same.
async fn takes_all_the_same(what: &str, change: impl Fn(&Person, &Terminal)) {
    let (person, a, b) = Person::new().await;
    let seed = Seed::new();
    for i in 0..40 {
        a.write(&format!("many/{i}"), &format!("{i}"));
    }
    std::fs::write(a.data().join("large"), seed.blob(3 << 20)).unwrap();
    let s = person.open(&a).await;
    close(&a, &s).await;
    change(&person, &b);
    let s = person.open(&b).await;
    b.write("own", what);
    let report = close(&b, &s).await;
    assert_eq!(b.outstanding(), [], "{what}");
    assert!(report.commit.is_some(), "{what}");
    let s = person.open(&a).await;
    close(&a, &s).await;
    assert_eq!(a.tree(), b.tree(), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn w_1_the_folder_of_packs_may_vanish_or_be_something_else() {
    let packs = |t: &Terminal| t.dir.path().join("packs");
    takes_all_the_same("removed", |_, b| {
        std::fs::remove_dir_all(packs(b)).unwrap();
    })
    .await;
    takes_all_the_same("a file", |_, b| {
        std::fs::remove_dir_all(packs(b)).unwrap();
        std::fs::write(packs(b), "x").unwrap();
    })
    .await;
    for what in ["folders", "fifos", "links"] {
        takes_all_the_same(what, |person, b| {
            for pack in packs_of(person.server.dir()) {
                for name in [pack.clone(), format!("{pack}.part")] {
                    let path = packs(b).join(name);
                    match what {
                        "folders" => std::fs::create_dir_all(path.join("in it")).unwrap(),
                        "fifos" => fifo(&path),
                        _ => std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
                    }
                }
            }
        })
        .await;
    }
}

/// IDs of the packs that the server has.
fn packs_of(dir: PathBuf) -> Vec<String> {
    let mut out = Vec::new();
    let mut stack = vec![dir.join("blobs/packs")];
    while let Some(dir) = stack.pop() {
        for path in files_in(&dir) {
            if path.is_dir() {
                stack.push(path);
            } else {
                out.push(path.file_name().unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    assert!(!out.is_empty());
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn w_1_listings_that_are_damaged_in_the_database_are_fetched_anew() {
    let (person, a, b) = Person::new().await;
    a.write("dir/one", "1");
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    // One that cannot be read any more, and one that reads well and is another.
    for damage in [&b"\xff\xff"[..], &empty_listing()] {
        let database = rusqlite::Connection::open(b.dir.path().join("state.db")).unwrap();
        let damaged = database
            .execute("UPDATE dirs SET bytes = ?1", [damage])
            .unwrap();
        assert!(damaged > 0);
        drop(database);
        let s = person.open(&a).await;
        a.write("dir/two", &format!("{damage:?}"));
        close(&a, &s).await;
        b.write("own", &format!("{damage:?}"));
        let s = person.open(&b).await;
        let report = close(&b, &s).await;
        assert_eq!((b.outstanding(), report.conflicts), (vec![], 0));
        let s = person.open(&a).await;
        close(&a, &s).await;
        assert_eq!(a.tree(), b.tree());
        assert!(a.read("dir/one").is_some() && b.read("own").is_some());
    }
}

fn empty_listing() -> Vec<u8> {
    postcard::to_stdvec(&simsync_vault::tree::Directory::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn w_1_what_was_sealed_and_is_not_as_it_was_signed_is_named_and_holds_up_no_other() {
    for what in ["missing", "a byte", "cut", "a fifo", "a folder", "its row"] {
        let (person, a, b) = Person::new().await;
        let s = person.open(&a).await;
        sync(&a, &s).await;
        a.write("sealed", what);
        person.yank(&a, &s, false).await;
        let outbox = a.dir.path().join("outbox");
        let packs = files_in(&outbox);
        assert_eq!(packs.len(), 1);
        let pack = &packs[0];
        let bytes = std::fs::read(pack).unwrap();
        if what != "its row" && what != "a byte" && what != "cut" {
            std::fs::remove_file(pack).unwrap();
        }
        let file = || std::fs::OpenOptions::new().write(true).open(pack).unwrap();
        match what {
            "missing" => {}
            "a byte" => {
                let at = bytes.len() as u64 / 2;
                let turned = [bytes[bytes.len() / 2] ^ 1];
                file().write_all_at(&turned, at).unwrap();
            }
            "cut" => file().set_len(bytes.len() as u64 - 1).unwrap(),
            "a fifo" => fifo(pack),
            "a folder" => std::fs::create_dir(pack).unwrap(),
            _ => {
                let database = rusqlite::Connection::open(a.dir.path().join("state.db")).unwrap();
                database
                    .execute("UPDATE sessions SET tail = x'00'", [])
                    .unwrap();
            }
        }
        person.deliver(&a).await;
        assert_eq!(
            a.outstanding(),
            [("not-sealed", "sealed".to_owned())],
            "{what}"
        );
        // Nobody got half of it.
        let s = person.open(&b).await;
        let report = close(&b, &s).await;
        assert_eq!((report.tails, b.read("sealed")), (0, None), "{what}");
        assert_eq!(b.outstanding(), [], "{what}");
        // It does as it says: the card comes again, and it is there.
        let s = person.open(&a).await;
        close(&a, &s).await;
        assert_eq!(a.outstanding(), [], "{what}");
        let s = person.open(&b).await;
        close(&b, &s).await;
        assert_eq!(b.read("sealed").as_deref(), Some(what));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_a_tail_that_the_server_has_and_did_not_say_so_is_delivered() {
    let (person, a, b) = Person::new().await;
    let s = person.open(&a).await;
    a.write("sealed", "x");
    person.yank(&a, &s, false).await;
    let packs = files_in(&a.dir.path().join("outbox"));
    let kept: Vec<Vec<u8>> = packs.iter().map(|p| std::fs::read(p).unwrap()).collect();
    let database = rusqlite::Connection::open(a.dir.path().join("state.db")).unwrap();
    person.deliver(&a).await;
    // The server's answer was lost: all is here as before.
    for (path, bytes) in packs.iter().zip(&kept) {
        std::fs::write(path, bytes).unwrap();
    }
    let again = database.execute("UPDATE sessions SET delivered = 0", []);
    assert!(again.unwrap() > 0);
    person.deliver(&a).await;
    assert_eq!(a.engine.store.sealed_changes().unwrap(), 0);
    assert_eq!(a.outstanding(), []);
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!(b.read("sealed").as_deref(), Some("x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn w_1_a_later_tail_goes_although_an_earlier_one_is_damaged() {
    let (person, a, b) = Person::new().await;
    let s = person.open(&a).await;
    a.write("first", "1");
    person.yank(&a, &s, false).await;
    let outbox = a.dir.path().join("outbox");
    for pack in files_in(&outbox) {
        std::fs::write(pack, "damaged").unwrap();
    }
    let s = person.open(&a).await;
    a.write("second", "2");
    // The folder is gone, too: it is made again.
    std::fs::remove_dir_all(&outbox).unwrap();
    person.yank(&a, &s, true).await;
    assert_eq!(a.outstanding(), []);
    assert!(files_in(&outbox).is_empty());
    let s = person.open(&b).await;
    let report = close(&b, &s).await;
    assert_eq!(report.tails, 1);
    assert_eq!(a.tree(), b.tree());
}
