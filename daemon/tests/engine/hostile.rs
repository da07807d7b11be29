//! What a terminal that means harm, and a server that does, can do to the others: name one bad thing, and no more.

use std::path::PathBuf;

use simsync_protocol::api::B64;
use simsync_vault::chunker::ChunkerParams;
use simsync_vault::commit::Commit;
use simsync_vault::ids::ObjectId;
use simsync_vault::metadata::{CollectionMeta, Metadata};
use simsync_vault::tree::Entry;
use simsyncd::engine::{Cancel, EngineError, SyncOptions};

use crate::forger::Forger;
use crate::rig::{FILES, NOTES, Person, Terminal, close, sync};

/// B goes on beside what A did: takes the rest, gives its own, closes, and says that something is not as it should be.
async fn goes_on(person: &Person, b: &Terminal, what: &str, bad: &[(&str, &str)]) {
    b.write("own of B", what);
    let s = person.open(b).await;
    let report = sync(b, &s).await;
    assert_eq!(b.read("good").as_deref(), Some("good"), "{what}");
    let out = b.outstanding();
    let bad: Vec<(&str, String)> = bad.iter().map(|(c, p)| (*c, (*p).to_owned())).collect();
    assert_eq!(out, bad, "{what}");
    // And by whom it is, where it is the vault's.
    for row in b.engine.store.outstanding().unwrap() {
        let of_a = row.detail.ends_with("; from terminal \"A\"");
        let is_disks = row.code.as_str() == "disk-full";
        assert_eq!(of_a, !is_disks, "{what}: {}", row.detail);
    }
    assert!(report.outstanding.all() > 0, "{what}");
    let report = close(b, &s).await;
    assert!(report.commit.is_some(), "{what}");
    assert!(!b.dir.path().join("outside").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn w_1_one_bad_listing_of_another_terminal_stops_nobody() {
    let long = "n".repeat(250);
    for what in [
        "name",
        "slash",
        "mode",
        "deep",
        "long",
        "missing chunk",
        "missing listing",
        "work folder",
        "empty link",
    ] {
        let (person, a, b) = Person::new().await;
        let s = person.open(&a).await;
        sync(&a, &s).await;
        let mut f = Forger::new(&a, &s);
        let good = f.chunk(b"good", None);
        let x = Forger::file(4, &[good]);
        let (bad, expected) = match what {
            "name" => (
                f.listing(&[(b"..", x.clone())]),
                vec![("vault-damaged", "bad".to_owned())],
            ),
            "slash" => (
                f.listing(&[(b"../outside", x.clone())]),
                vec![("vault-damaged", "bad".to_owned())],
            ),
            "mode" => {
                let Entry::File(mut setuid) = x.clone() else {
                    unreachable!()
                };
                setuid.mode = 0o4755;
                (
                    f.listing(&[(b"x", Entry::File(setuid))]),
                    vec![("vault-damaged", "bad".to_owned())],
                )
            }
            "deep" => {
                let mut id = f.listing(&[(b"x", x.clone())]);
                for _ in 0..600 {
                    id = f.listing(&[(b"d", Forger::folder(id))]);
                }
                (
                    id,
                    vec![("too-deep", format!("bad/{}", vec!["d"; 512].join("/")))],
                )
            }
            "long" => {
                let mut id = f.listing(&[(b"x", x.clone())]);
                for _ in 0..20 {
                    id = f.listing(&[(long.as_bytes(), Forger::folder(id))]);
                }
                (
                    id,
                    vec![(
                        "vault-damaged",
                        format!("bad/{}", vec![long.clone(); 17].join("/")),
                    )],
                )
            }
            "missing chunk" => {
                let nobody = Forger::file(4, &[ObjectId([7; 32])]);
                (
                    f.listing(&[(b"x", nobody)]),
                    vec![("vault-incomplete", "bad/x".to_owned())],
                )
            }
            "missing listing" => {
                let nothing = Forger::folder(ObjectId([8; 32]));
                (
                    f.listing(&[(b"x", nothing)]),
                    vec![("vault-incomplete", "bad/x".to_owned())],
                )
            }
            "work folder" => {
                let dir = f.listing(&[]);
                let work = f.listing(&[(b"dir", Forger::folder(dir))]);
                (
                    f.listing(&[(b".simsync-work", Forger::folder(work))]),
                    vec![("vault-damaged", "bad/.simsync-work".to_owned())],
                )
            }
            _ => {
                let link = Entry::Symlink { target: Vec::new() };
                (
                    f.listing(&[(b"x", link)]),
                    vec![("vault-damaged", "bad".to_owned())],
                )
            }
        };
        let root = f.listing(&[(b"bad", Forger::folder(bad)), (b"good", x)]);
        f.commit(root, None).await;
        let expected: Vec<(&str, &str)> = expected.iter().map(|(c, p)| (*c, p.as_str())).collect();
        goes_on(&person, &b, what, &expected).await;
        // A third look finds the same, and writes nothing for it.
        let s = person.open(&b).await;
        let report = sync(&b, &s).await;
        assert_eq!(report.published, 0, "{what}: {report:?}");
        assert!(!b.data().join(".simsync-work/dir").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w_2_content_under_the_name_of_other_content_is_found_out_and_relied_on_by_nobody() {
    let (person, a, b) = Person::new().await;
    let s = person.open(&a).await;
    sync(&a, &s).await;
    let mut f = Forger::new(&a, &s);
    let good = f.chunk(b"good", None);
    let own = b"what B has, too";
    let id = f.id_of(own);
    f.chunk(b"something else", Some(id));
    let root = f.listing(&[
        (b"good", Forger::file(4, &[good])),
        (b"lie", Forger::file(own.len() as u64, &[id])),
    ]);
    f.commit(root, None).await;
    // B has content of this very ID, and gives its own.
    b.write("mine", std::str::from_utf8(own).unwrap());
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!(b.outstanding(), []);
    assert_eq!(
        b.read("lie").as_deref().map(str::as_bytes),
        Some(&own[..]),
        "from B's own disk"
    );
    // A terminal that comes later gets what B gave.
    let c = a;
    std::fs::remove_dir_all(c.data()).unwrap();
    std::fs::create_dir(c.data()).unwrap();
    let store = &c.engine.store;
    store
        .set_root(c.pk(&FILES), Some(c.data().to_str().unwrap()))
        .unwrap();
    let s = person.open(&c).await;
    sync(&c, &s).await;
    assert_eq!(c.read("mine").as_deref().map(str::as_bytes), Some(&own[..]));
    assert_eq!(
        c.read("lie").as_deref().map(str::as_bytes),
        Some(&own[..]),
        "the true one is there now"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn w_2_few_listings_that_make_very_many_paths_are_not_followed() {
    let (person, a, b) = Person::new().await;
    let s = person.open(&a).await;
    sync(&a, &s).await;
    let mut f = Forger::new(&a, &s);
    let good = f.chunk(b"good", None);
    let x = Forger::file(4, &[good]);
    let mut id = f.listing(&[(b"x", x.clone())]);
    for _ in 0..40 {
        id = f.listing(&[(b"a", Forger::folder(id)), (b"b", Forger::folder(id))]);
    }
    let root = f.listing(&[(b"good", x), (b"tree", Forger::folder(id))]);
    f.commit(root, None).await;
    // It can be stopped at any moment.
    let s = person.open(&b).await;
    let mut stopped = b.engine.clone();
    stopped.cancel = Cancel::default();
    let (engine, session) = (stopped.clone(), s.clone());
    let task =
        tokio::task::spawn_blocking(move || engine.sync(&session, SyncOptions::default(), None));
    stopped.cancel.cancel();
    assert!(matches!(task.await.unwrap(), Err(EngineError::Cancelled)));
    // Nothing of it is taken, and B's own goes up all the same.
    b.write("own", "of B");
    b.write("good", "B's own");
    let report = sync(&b, &s).await;
    assert_eq!(b.outstanding(), [("vault-damaged", String::new())]);
    assert!(report.commit.is_some(), "{report:?}");
    let out: Vec<String> = b.tree().keys().map(|p| p.display().to_string()).collect();
    assert_eq!(out, ["good", "good (conflict, B)", "own"]);
    assert_eq!(b.read("good").as_deref(), Some("good"), "both are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn w_2_a_file_that_is_larger_than_it_says_is_not_written() {
    let (person, a, b) = Person::new().await;
    let s = person.open(&a).await;
    sync(&a, &s).await;
    let mut f = Forger::new(&a, &s);
    let good = f.chunk(b"good", None);
    let zeros = f.chunk(&vec![0; 32 << 20], None);
    let root = f.listing(&[
        (b"good", Forger::file(4, &[good])),
        (b"small", Forger::file(1, &[zeros; 24])),
        (b"vast", Forger::file(u64::MAX, &[good])),
    ]);
    f.commit(root, None).await;
    goes_on(
        &person,
        &b,
        "sizes",
        &[("disk-full", "vast"), ("vault-damaged", "small")],
    )
    .await;
    assert!(!b.data().join("small").exists() && !b.data().join("vast").exists());
    let left = std::fs::read_dir(b.data().join(".simsync-work"))
        .unwrap()
        .count();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn w_2_names_are_believed_of_terminals_that_sync_them_and_chunk_sizes_of_nobody() {
    let (person, a, b) = Person::with(&[FILES]).await;
    let s = person.open(&b).await;
    b.register_notes(&s).await;
    std::fs::write(b.notes().join("private"), "x").unwrap();
    close(&b, &s).await;
    // A, which does not sync the notes, gives them another name and attribute, leaves them out, and sets tiny chunks.
    for (round, names) in [true, false].into_iter().enumerate() {
        let s = person.open(&a).await;
        sync(&a, &s).await;
        let mut f = Forger::new(&a, &s);
        let x = f.chunk(format!("{round}").as_bytes(), None);
        let root = f.listing(&[(b"x", Forger::file(1, &[x]))]);
        let mut metadata = Metadata::new();
        metadata.chunker = ChunkerParams {
            min: 64,
            average: 128,
            max: 256,
            whole_file_max: 64,
        };
        let named = |id, name: &str| CollectionMeta {
            id,
            attribute: "files".to_owned(),
            name: name.to_owned(),
        };
        metadata.collections = vec![named(FILES, "Mine")];
        if names {
            metadata.collections.push(named(NOTES, "Not private"));
        }
        f.commit(root, Some(metadata)).await;
        let s = person.open(&b).await;
        let report = sync(&b, &s).await;
        let all = b.engine.store.collections().unwrap();
        let name = |id| {
            all.iter()
                .find(|c| c.id == id)
                .map(|c| (c.name.as_str(), c.attribute.as_str()))
        };
        assert_eq!(
            name(NOTES),
            Some(("Notes", "notes")),
            "round {round} {report:?}"
        );
        assert_eq!(name(FILES), Some(("Mine", "files")));
        // A file of B's is cut as ever: one chunk.
        b.write(&format!("f{round}"), &format!("{round}").repeat(10_000));
        close(&b, &s).await;
        let path = simsync_sync::node::RelPath::new(format!("f{round}")).unwrap();
        let row = b.engine.store.file(b.pk(&FILES), &path).unwrap().unwrap();
        let simsync_sync::node::Node::File { content, .. } = row.node else {
            panic!("no file")
        };
        assert_eq!(content.chunks.len(), 1);
        // And B's own commit says what is believed.
        let head = b.engine.store.newest_commit().unwrap().unwrap();
        let ring = simsync_vault::keys::KeyRing::new(
            person.vk.clone(),
            std::slice::from_ref(&person.list),
        )
        .unwrap();
        let said = Metadata::open(&ring, &head.body.metadata).unwrap();
        assert!(
            said.collections
                .iter()
                .any(|c| c.id == NOTES && c.name == "Notes")
        );
        assert_eq!(said.chunker, ChunkerParams::V1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w_2_nothing_comes_under_a_session_that_was_closed_or_overtaken() {
    let (person, a, b) = Person::new().await;
    let s = person.open(&a).await;
    a.write("x", "1");
    let old = s.statement.clone();
    close(&a, &s).await;
    let s = person.open(&a).await;
    // The terminal's key and an old statement of the card: no card, no vault key, and a server that takes it.
    let forged = |statement: simsync_vault::statement::SessionStatement| {
        let mut body = Forger::new(&a, &s).body();
        body.session = statement;
        body.roots.clear();
        B64(Commit::sign(body, &a.soft.key).to_bytes())
    };
    let sb = person.open(&b).await;
    sync(&b, &sb).await;
    let refused = b.engine.accept_commits(&[forged(old.clone())]);
    assert!(refused.unwrap_err().to_string().contains("closed"));
    // Overtaken by B's commit, without having been closed.
    let open = s.statement.clone();
    b.write("y", "2");
    sync(&b, &sb).await;
    let sa = person.open(&a).await;
    sync(&a, &sa).await;
    let sb = person.open(&b).await;
    sync(&b, &sb).await;
    let refused = b.engine.accept_commits(&[forged(open)]);
    assert!(refused.unwrap_err().to_string().contains("newer"));
    assert_eq!(
        b.engine.store.witness().unwrap().sequence,
        a.engine.store.witness().unwrap().sequence
    );
}

/// The largest pack on the server's disk.
pub fn largest_pack(dir: PathBuf) -> PathBuf {
    let mut found = (0, PathBuf::new());
    let mut stack = vec![dir.join("blobs/packs")];
    while let Some(dir) = stack.pop() {
        for e in std::fs::read_dir(dir).unwrap().flatten() {
            let meta = e.metadata().unwrap();
            if meta.is_dir() {
                stack.push(e.path());
            } else if meta.len() > found.0 {
                found = (meta.len(), e.path());
            }
        }
    }
    found.1
}

#[tokio::test(flavor = "multi_thread")]
async fn w_1_a_byte_that_the_server_turned_concerns_one_file_and_is_fetched_again_when_it_is_mended()
 {
    let (person, a, b) = Person::new().await;
    let seed = simsync_server::testing::Seed::new();
    a.write("good", "good");
    std::fs::write(a.data().join("large"), seed.blob(300_000)).unwrap();
    let s = person.open(&a).await;
    close(&a, &s).await;
    let path = largest_pack(person.server.dir());
    let whole = std::fs::read(&path).unwrap();
    let mut turned = whole.clone();
    turned[whole.len() / 2] ^= 1;
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, &turned).unwrap();
    goes_on(&person, &b, "a byte", &[("vault-damaged", "large")]).await;
    std::fs::write(&path, &whole).unwrap();
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!(b.outstanding(), []);
    let s = person.open(&a).await;
    close(&a, &s).await;
    assert_eq!(a.tree(), b.tree());
}
