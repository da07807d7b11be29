//! Every store and blob store runs through the same suite.

use std::sync::Arc;

use bytes::Bytes;
use simsync_server::store::blobs::{BlobKey, Blobs as _, FolderBlobs};
use simsync_server::store::conformance;
use simsync_server::store::sqlite::SqliteStore;
use simsync_vault::ids::PackId;

#[tokio::test]
async fn m2_sqlite_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    conformance::store(store.clone()).await;
    // And it is all still there for another process.
    let again = SqliteStore::open(&path).unwrap();
    conformance::kept(store.as_ref(), &again).await;
}

#[tokio::test]
async fn m2_a_folder_conforms() {
    let dir = tempfile::tempdir().unwrap();
    conformance::blobs(Arc::new(FolderBlobs::open(dir.path()).unwrap())).await;
    let left: Vec<_> = walk(dir.path());
    assert!(left.iter().all(|p| !p.contains("/staging/")), "{left:?}");
}

#[tokio::test]
async fn m2_what_an_older_version_wrote_aside_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = FolderBlobs::open(dir.path()).unwrap();
    let key = BlobKey {
        subscriber: "alice".parse().unwrap(),
        pack: PackId([1; 16]),
    };
    let half = Bytes::from_static(b"half");
    blobs.append(key.clone(), 0, half).await.unwrap();
    let under_way = walk(dir.path());
    let [part] = &under_way[..] else {
        panic!("{under_way:?}");
    };
    let aside = format!("{}.0123456789abcdef.new", key.pack);
    std::fs::write(std::path::Path::new(part).with_file_name(aside), "whole").unwrap();
    let blobs = FolderBlobs::open(dir.path()).unwrap();
    assert_eq!(walk(dir.path()), under_way);
    assert_eq!(blobs.sync_parts(key).await.unwrap(), 4);
}

fn walk(dir: &std::path::Path) -> Vec<String> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(walk(&path));
        } else {
            out.push(path.display().to_string());
        }
    }
    out
}
