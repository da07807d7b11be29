//! Every store and blob store runs through the same suite.

use std::sync::Arc;

use simsync_server::store::blobs::FolderBlobs;
use simsync_server::store::conformance;
use simsync_server::store::sqlite::SqliteStore;

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
    assert!(left.iter().all(|p| !p.ends_with(".new")), "{left:?}");
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
