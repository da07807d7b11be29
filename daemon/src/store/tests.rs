//! The local database: versions, damage, rows.

use super::*;
use crate::outstanding::{Producer, Report, Unsynced};
use simsync_vault::ids::CollectionId;

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
