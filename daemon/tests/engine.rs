//! The engine against the real server, with a card in software: syncs, conflicts, yanks at many points, tails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use simsync_server::testing::{Opened, Seed, SoftCard, SoftTerminal, TestServer};
use simsync_vault::ids::{CollectionId, VaultId};
use simsync_vault::keyobject::{KeyObject, KeyObjectBody, Recipient, TerminalEntry, Wrap};
use simsync_vault::keys::{KeyRing, VaultKey};
use simsyncd::engine::{
    Cancel, Engine, EngineConfig, EngineError, KeyCell, Session, SyncOptions, SyncReport,
    TailReport, TrustedCard, fresh_rng,
};
use simsyncd::store::Store;

const FILES: CollectionId = CollectionId([7; 16]);

struct Person {
    server: TestServer,
    card: SoftCard,
    vk: VaultKey,
    list: KeyObject,
    wraps: Vec<Wrap>,
}

struct Terminal {
    soft: SoftTerminal,
    dir: tempfile::TempDir,
    engine: Engine,
}

impl Terminal {
    fn new(soft: SoftTerminal, label: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["data", "packs", "outbox"] {
            std::fs::create_dir(dir.path().join(sub)).unwrap();
        }
        let engine = Engine {
            store: Arc::new(Store::open(&dir.path().join("state.db")).unwrap()),
            config: Arc::new(EngineConfig {
                pack_cache: dir.path().join("packs"),
                pack_target: 64 << 10,
                label: label.to_owned(),
            }),
            key: Arc::new(soft.key.clone()),
            keys: KeyCell::default(),
            cancel: Cancel::default(),
            progress: Arc::default(),
            runtime: tokio::runtime::Handle::current(),
        };
        Self { soft, dir, engine }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.data().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.data().join(path)).ok()
    }

    fn tree(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        fn walk(root: &Path, dir: &Path, out: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
            for e in std::fs::read_dir(dir).unwrap().flatten() {
                let path = e.path();
                if e.file_name() == ".simsync-work" {
                    continue;
                }
                let relative = path.strip_prefix(root).unwrap().to_path_buf();
                if path.is_dir() {
                    out.insert(relative, None);
                    walk(root, &path, out);
                } else {
                    out.insert(relative, Some(std::fs::read(&path).unwrap()));
                }
            }
        }
        let mut out = BTreeMap::new();
        walk(&self.data(), &self.data(), &mut out);
        out
    }

    fn register(&self) {
        let store = &self.engine.store;
        store.put_collection(&FILES, "files", "Documents").unwrap();
        let pk = store.collections().unwrap()[0].pk;
        store
            .set_root(pk, Some(self.data().to_str().unwrap()))
            .unwrap();
    }
}

impl Person {
    async fn new() -> (Self, Terminal, Terminal) {
        let seed = Seed::new();
        let server = TestServer::start().await;
        let client = server.client();
        let (subscriber, code) = server.add_subscriber("anna").await;
        let card = SoftCard::new(&seed);
        card.enrol(&client, &subscriber, &code).await.unwrap();
        let (mut a, mut b) = (SoftTerminal::new(&seed), SoftTerminal::new(&seed));
        a.pair(&client, &subscriber, &card).await.unwrap();
        b.pair(&client, &subscriber, &card).await.unwrap();
        let (a, b) = (Terminal::new(a, "A"), Terminal::new(b, "B"));
        let mut rng = fresh_rng();
        let vault = VaultId(seed.id());
        let vk = VaultKey::generate(&mut rng);
        let wrap = vk
            .wrap(&vault, 1, &card.id, &card.keys().kem, &mut rng)
            .unwrap();
        let entry = |t: &Terminal, label: &str| TerminalEntry {
            key: t.soft.key.point(),
            label: label.to_owned(),
            collections: vec![FILES],
        };
        let list = card.sign_key_object(KeyObjectBody {
            version: 1,
            vault,
            list_number: 1,
            epoch: 1,
            recipients: vec![Recipient {
                id: card.id,
                keys: card.keys(),
                wrap_hash: wrap.hash(),
            }],
            check: vk.check(),
            outbox_key: vk.outbox().1,
            previous_key: Vec::new(),
            terminals: vec![entry(&a, "A"), entry(&b, "B")],
            flags: 0,
            previous: simsync_card::ids::Hash::ZERO,
            signer: card.id,
        });
        let person = Self {
            server,
            card,
            vk,
            list,
            wraps: vec![wrap],
        };
        let session = person.open(&a).await;
        let options = SyncOptions {
            key_object: Some((person.list.clone(), person.wraps.clone())),
            ..SyncOptions::default()
        };
        sync_with(&a, &session, options).await.unwrap();
        a.register();
        b.register();
        (person, a, b)
    }

    /// The card is put in and the PIN typed.
    async fn open(&self, t: &Terminal) -> Session {
        let Opened {
            connection,
            statement,
            answer,
        } = t
            .soft
            .open(&self.server.client(), &self.card)
            .await
            .unwrap();
        let card = TrustedCard {
            id: self.card.id,
            keys: self.card.keys(),
        };
        t.engine
            .accept_key_objects(&card, &answer.key_objects, &answer.wraps)
            .unwrap();
        t.engine.accept_commits(&answer.commits).unwrap();
        t.engine.store.add_session(&statement).unwrap();
        let ring = KeyRing::new(self.vk.clone(), std::slice::from_ref(&self.list)).unwrap();
        t.engine.keys.put(Box::new(ring));
        Session {
            statement,
            conn: connection,
            card,
        }
    }

    /// The card is pulled: keys away, tail made and, with network, delivered.
    async fn yank(&self, t: &Terminal, session: &Session, network: bool) -> TailReport {
        t.engine.keys.wipe();
        t.engine.store.end_sessions().unwrap();
        let _ = session
            .conn
            .narrow(simsync_protocol::api::Narrow::Removed)
            .await;
        session.conn.set_grant(None);
        let engine = Engine {
            cancel: Cancel::default(),
            ..t.engine.clone()
        };
        let outbox = t.dir.path().join("outbox");
        let statement = session.statement.clone();
        let report = tokio::task::spawn_blocking(move || engine.make_tail(&statement, &outbox))
            .await
            .unwrap()
            .unwrap();
        if network {
            self.deliver(t).await;
        }
        report
    }

    async fn deliver(&self, t: &Terminal) {
        let conn = t.soft.connect(&self.server.client()).await.unwrap();
        let engine = Engine {
            cancel: Cancel::default(),
            ..t.engine.clone()
        };
        let outbox = t.dir.path().join("outbox");
        tokio::task::spawn_blocking(move || engine.deliver_tails(&conn, &outbox))
            .await
            .unwrap()
            .unwrap();
    }
}

async fn sync_with(
    t: &Terminal,
    session: &Session,
    options: SyncOptions,
) -> Result<SyncReport, EngineError> {
    let (engine, session) = (t.engine.clone(), session.clone());
    tokio::task::spawn_blocking(move || engine.sync(&session, options, None))
        .await
        .unwrap()
}

async fn sync(t: &Terminal, session: &Session) -> SyncReport {
    sync_with(t, session, SyncOptions::default()).await.unwrap()
}

async fn close(t: &Terminal, session: &Session) -> SyncReport {
    let options = SyncOptions {
        closing: true,
        ..SyncOptions::default()
    };
    let report = sync_with(t, session, options).await.unwrap();
    t.engine.keys.wipe();
    report
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
async fn m4_a_missing_or_emptied_folder_deletes_nothing() {
    let (person, a, b) = Person::new().await;
    for i in 0..30 {
        a.write(&format!("f{i}"), "x");
    }
    let s = person.open(&a).await;
    sync(&a, &s).await;
    let kept = a.dir.path().join("kept");
    std::fs::rename(a.data(), &kept).unwrap();
    let refused = sync_with(&a, &s, SyncOptions::default()).await;
    assert!(
        matches!(refused, Err(EngineError::Guard { .. })),
        "{refused:?}"
    );
    std::fs::create_dir(a.data()).unwrap();
    let refused = sync_with(&a, &s, SyncOptions::default()).await;
    assert!(
        matches!(refused, Err(EngineError::Guard { .. })),
        "{refused:?}"
    );
    std::fs::remove_dir(a.data()).unwrap();
    std::fs::rename(&kept, a.data()).unwrap();
    assert_eq!(close(&a, &s).await.published, 0);
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!(a.tree(), b.tree());
    // Meant deletions go through once they are allowed.
    for i in 0..30 {
        std::fs::remove_file(a.data().join(format!("f{i}"))).unwrap();
    }
    let s = person.open(&a).await;
    let options = SyncOptions {
        allow_deletions: true,
        closing: true,
        ..SyncOptions::default()
    };
    sync_with(&a, &s, options.clone()).await.unwrap();
    let s = person.open(&b).await;
    assert!(matches!(
        sync_with(&b, &s, SyncOptions::default()).await,
        Err(EngineError::Guard { remote: true, .. })
    ));
    sync_with(&b, &s, options).await.unwrap();
    assert!(b.tree().is_empty());
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
                    "4711",
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
