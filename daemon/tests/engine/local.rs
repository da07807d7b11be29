//! What this disk has already is not fetched.

use simsyncd::engine::{Answer, Answers, SyncOptions};

use crate::machine::{chmod, inode, mode};
use crate::rig::{Person, Terminal, close, sync_with};

/// What a terminal received since the last call, in bytes.
fn received(t: &Terminal) -> u64 {
    t.engine
        .progress
        .bytes
        .swap(0, std::sync::atomic::Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread")]
async fn f_e_what_this_disk_has_already_is_not_fetched() {
    let (person, a, b) = Person::new().await;
    let seed = simsync_server::testing::Seed::new();
    let blob = |n: usize| seed.blob(n);
    std::fs::create_dir(a.data().join("photos")).unwrap();
    for i in 0..8 {
        std::fs::write(a.data().join(format!("photos/p{i}")), blob(1 << 20)).unwrap();
    }
    std::fs::write(a.data().join("image"), blob(24 << 20)).unwrap();
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!(a.tree(), b.tree());
    let was = inode(&b.data().join("photos/p3"));
    let all = received(&b);
    assert!(all > 30 << 20, "{all}");

    // A folder that is renamed; one of the files also stays as a copy, another one gets other permissions.
    std::fs::rename(a.data().join("photos"), a.data().join("pictures")).unwrap();
    std::fs::copy(a.data().join("pictures/p1"), a.data().join("copy")).unwrap();
    chmod(&a.data().join("pictures/p2"), 0o600);
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!((b.outstanding(), a.tree()), (vec![], b.tree()));
    assert_eq!(
        inode(&b.data().join("pictures/p3")),
        was,
        "a rename is a rename"
    );
    assert_eq!(mode(&b.data().join("pictures/p2")), 0o600);
    let renamed = received(&b);
    assert!(renamed < 100_000, "{renamed} bytes for a rename");

    // One byte in the middle of a large file.
    let mut data = std::fs::read(a.data().join("image")).unwrap();
    data[11 << 20] ^= 1;
    std::fs::write(a.data().join("image"), data).unwrap();
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!(a.tree(), b.tree());
    let one = received(&b);
    assert!(one < all / 4, "{one} of {all} bytes for one that changed");

    // Two that change places.
    std::fs::rename(a.data().join("pictures/p4"), a.data().join("pictures/x")).unwrap();
    std::fs::rename(a.data().join("pictures/p5"), a.data().join("pictures/p4")).unwrap();
    std::fs::rename(a.data().join("pictures/x"), a.data().join("pictures/p5")).unwrap();
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!(a.tree(), b.tree());
    let swapped = received(&b);
    assert!(swapped < 100_000, "{swapped} bytes for a swap");
}

#[tokio::test(flavor = "multi_thread")]
async fn f_e_a_pack_of_which_little_is_needed_is_fetched_in_parts() {
    let (person, a, b) = Person::new().await;
    let seed = simsync_server::testing::Seed::new();
    for i in 0..400 {
        std::fs::write(a.data().join(format!("f{i}")), seed.blob(2048)).unwrap();
    }
    let mut engine = a.engine.clone();
    let config = simsyncd::engine::EngineConfig {
        pack_target: 4 << 20,
        ..(*engine.config).clone()
    };
    engine.config = std::sync::Arc::new(config);
    let a = Terminal { engine, ..a };
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    // B loses one of them, and wants it back.
    std::fs::remove_file(b.data().join("f7")).unwrap();
    let _ = received(&b);
    let s = person.open(&b).await;
    let options = SyncOptions {
        answers: Answers {
            all: Some(Answer::GiveBack),
            ..Answers::default()
        },
        closing: true,
        ..SyncOptions::default()
    };
    sync_with(&b, &s, options).await.unwrap();
    assert_eq!(a.tree(), b.tree());
    let got = received(&b);
    assert!(got < 50_000, "{got} bytes for one file of 2 KB");
}
