//! The local database: versions, damage, rows.

use super::*;
use crate::outstanding::{Producer, Report, Unsynced};
use simsync_card::ids::Hash;
use simsync_vault::commit::PackRef;
use simsync_vault::ids::{CollectionId, ObjectId, PackId};
use simsync_vault::pack::IndexEntry;

#[test]
fn a_newer_database_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    drop(Store::open(&path).unwrap());
    let other = Connection::open(&path).unwrap();
    // A newer one may keep its journal otherwise, and that is written in the file, too.
    other.pragma_update(None, "journal_mode", "DELETE").unwrap();
    other.pragma_update(None, "user_version", 99).unwrap();
    drop(other);
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(
        Store::open(&path),
        Err(StoreError::Newer { found: 99, .. })
    ));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_damaged_database_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    std::fs::write(
        &path,
        "this is no database, but it is long enough to be read as one".repeat(100),
    )
    .unwrap();
    let Err(error) = Store::open(&path) else {
        panic!("opened")
    };
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    assert!(error.to_string().contains("nothing is lost"));
}

#[test]
fn deselecting_a_collection_forgets_its_rows() {
    let store = Store::in_memory().unwrap();
    let id = CollectionId([1; 16]);
    store.put_collection(&id, "files", "Documents").unwrap();
    let pk = store.collections().unwrap()[0].pk;
    store.set_root(pk, Some("/somewhere")).unwrap();
    let row = FileRow {
        node: simsync_sync::node::Node::Dir { mode: 0o755 },
        stat: simsync_sync::dir::Stat {
            mode: 0o755,
            ..Default::default()
        },
    };
    let path = simsync_sync::node::RelPath::new("d").unwrap();
    store
        .synced(
            pk,
            &simsync_vault::ids::ObjectId([2; 32]),
            &[(path.clone(), Some(row.clone()))],
            &[],
        )
        .unwrap();
    assert_eq!(store.file(pk, &path).unwrap(), Some(row));
    store.set_root(pk, None).unwrap();
    assert!(store.files(pk).unwrap().is_empty());
    assert_eq!(
        store.collections().unwrap()[0].base_root,
        simsync_vault::ids::ObjectId::ZERO
    );
}

#[test]
fn p7_what_a_large_commit_needed_for_a_moment_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("state.db")).unwrap();
    let id = CollectionId([1; 16]);
    store.put_collection(&id, "files", "Documents").unwrap();
    let pk = store.collections().unwrap()[0].pk;
    let row = FileRow {
        node: simsync_sync::node::Node::Dir { mode: 0o755 },
        stat: simsync_sync::dir::Stat::default(),
    };
    let path = |i: usize| simsync_sync::node::RelPath::new(format!("{i:0200}")).unwrap();
    let rows = |some: bool| {
        (0..20_000)
            .map(|i| (path(i), some.then(|| row.clone())))
            .collect::<Vec<_>>()
    };
    let pages = || -> (i64, i64) {
        let count = |what| {
            let conn = store.lock();
            conn.pragma_query_value(None, what, |r| r.get(0)).unwrap()
        };
        (count("page_count"), count("freelist_count"))
    };
    for (some, left) in [(true, 20_000), (false, 0)] {
        let sent = SentCollection {
            pk,
            base: ObjectId([2; 32]),
            rows: rows(some),
            pending: Vec::new(),
        };
        store.note_sent(&Hash([3; 32]), &[sent]).unwrap();
        let (before, _) = pages();
        store.settle_sent().unwrap();
        assert_eq!(store.row_count(pk).unwrap(), left);
        assert_eq!(store.files(pk).unwrap().len(), left);
        let (after, free) = pages();
        assert!(
            free < 600 && after < before + 600,
            "{free} of {after}, {before} before"
        );
    }
    assert!(pages().0 < 1_000);
}

#[test]
fn w_1_what_others_chose_is_made_visible_before_it_is_kept() {
    let store = Store::in_memory().unwrap();
    let id = CollectionId([1; 16]);
    store.put_collection(&id, "files", "Documents").unwrap();
    let pk = store.collections().unwrap()[0].pk;
    let detail = "what the vault has of a\u{1b}[2J\u{202e}b cannot be used";
    let report = Report::whole(Unsynced::VaultDamaged, detail);
    store.report(Producer::Publish, pk, &[report], 1).unwrap();
    let kept = &store.outstanding().unwrap()[0].detail;
    let seen = "what the vault has of a\\u{1b}[2J\\u{202e}b cannot be used";
    assert_eq!(kept, seen);
}

/// Objects of two collections, in several packs, proven, damaged and neither.
#[test]
fn many_objects_are_looked_up_as_one_is() {
    let store = Store::in_memory().unwrap();
    let ours = CollectionId([1; 16]);
    let pack = |n: u8| PackRef {
        id: PackId([n; 16]),
        collection: CollectionId([1 + n % 2; 16]),
        size: 1000 + u64::from(n),
    };
    let entry = |n: u8, offset: u32| IndexEntry {
        kind: 1,
        id: ObjectId([n; 32]),
        offset,
        stored: 10,
        plain: 9,
    };
    let indexes: Vec<_> = (0..6)
        .map(|p| {
            let held = (0..8).filter(|n| (n + p) % 3 != 0);
            let index = held.map(|n| entry(n, u32::from(p) * 100 + u32::from(n)));
            (pack(p), index.collect::<Vec<_>>())
        })
        .collect();
    store.add_pack(&pack(5), PackState::Uploaded, &[]).unwrap();
    store.add_fetched(&indexes).unwrap();
    // What waits to be named in a commit waits still.
    let uploaded = store.packs_in(PackState::Uploaded).unwrap();
    assert_eq!(uploaded.len(), 1);
    let mut found = Vec::new();
    for (i, (_, index)) in indexes.iter().enumerate() {
        for e in index {
            let at = store.locations(&ours, &e.id).unwrap()[0];
            found.push(match (i + usize::from(e.id.0[0])) % 4 {
                0 => (at.pack.pk, e.id, Found::Good),
                1 => (at.pack.pk, e.id, Found::Damaged),
                _ => continue,
            });
        }
    }
    let ids: Vec<ObjectId> = (0..10).map(|n| ObjectId([n; 32])).collect();
    for found in [&found[..0], &found[..]] {
        store.set_found(found).unwrap();
        for collection in [ours, CollectionId([2; 16]), CollectionId([9; 16])] {
            let all = store.first_locations(&collection, &ids).unwrap();
            for id in &ids {
                let one = store.locations(&collection, id).unwrap();
                assert_eq!(all.get(id), one.first(), "{id:?}");
            }
            assert_eq!(all.len(), 8);
            let mut lacking = ids.clone();
            lacking.retain(|id| !store.has_object(&collection, id).unwrap());
            assert_eq!(store.lacking(&collection, &ids).unwrap(), lacking);
        }
    }
}

#[test]
fn what_is_written_without_waiting_is_there_and_the_next_one_waits_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("state.db")).unwrap();
    store
        .add_dirs(&[(ObjectId([1; 32]), b"listing".to_vec())])
        .unwrap();
    assert_eq!(store.dir(&ObjectId([1; 32])).unwrap().unwrap(), b"listing");
    let level = |store: &Store| -> i64 {
        let conn = store.lock();
        conn.pragma_query_value(None, "synchronous", |r| r.get(0))
            .unwrap()
    };
    assert_eq!(level(&store), 2);
    let failed: Result<()> = store.write_unhurried(|_| Err(damaged("on purpose")));
    assert!(failed.is_err());
    assert_eq!(level(&store), 2);
}
