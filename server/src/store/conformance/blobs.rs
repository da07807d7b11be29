//! What every blob store must do.

use std::sync::Arc;

use bytes::Bytes;
use simsync_card::ids::{Hash, SubscriberId};
use simsync_vault::ids::PackId;

use super::fixture::refused;
use crate::rules::Refusal;
use crate::store::Result;
use crate::store::blobs::{BlobKey, Blobs};
use crate::testing::Seed;

/// One pack, in one part.
async fn put(blobs: &dyn Blobs, key: BlobKey, bytes: Bytes) -> Result<Hash> {
    let size = bytes.len() as u64;
    blobs.append(key.clone(), 0, bytes).await?;
    blobs.finish_parts(key, size).await
}

/// Runs packs through a blob store.
pub async fn blobs(blobs: Arc<dyn Blobs>) {
    let (seed, sub) = (Seed::new(), "..".parse::<SubscriberId>().unwrap());
    let key = |n: u8| BlobKey {
        subscriber: sub.clone(),
        pack: PackId([n; 16]),
    };
    let bytes: Vec<Bytes> = (0..20).map(|n| seed.blob(100 + n)).collect();
    // The second time the same: a crash came before the row.
    for _ in 0..2 {
        for (n, whole) in (0..).zip(&bytes) {
            let hash = put(blobs.as_ref(), key(n), whole.clone()).await.unwrap();
            assert_eq!(hash, Hash::of(whole));
        }
        assert_eq!(blobs.list(sub.clone()).await.unwrap().len(), 20);
    }
    // Never another content under the same name, whatever its length.
    for len in [100, 10, 1000] {
        let other = put(blobs.as_ref(), key(0), seed.blob(len)).await;
        refused(other, Refusal::PackExists);
        assert_eq!(blobs.sync_parts(key(0)).await.unwrap(), 0);
    }
    // What is not finished is not there.
    blobs.append(key(99), 0, seed.blob(10)).await.unwrap();
    assert_eq!(blobs.list(sub.clone()).await.unwrap().len(), 20);
    assert!(blobs.read(vec![(key(99), 0..1)]).await.is_err());
    blobs.delete(vec![key(99)]).await.unwrap();
    assert_eq!(blobs.sync_parts(key(99)).await.unwrap(), 0);
    let read = blobs
        .read(vec![(key(1), 0..101), (key(0), 0..100), (key(0), 10..20)])
        .await
        .unwrap();
    let first = &bytes[0];
    assert_eq!(read, [bytes[1].clone(), first.clone(), first.slice(10..20)]);
    assert!(blobs.read(vec![(key(1), 0..102)]).await.is_err());

    // In parts, with a step back, and finished twice.
    let whole = seed.blob(1000);
    assert_eq!(blobs.sync_parts(key(50)).await.unwrap(), 0);
    blobs.append(key(50), 0, whole.slice(..400)).await.unwrap();
    assert_eq!(blobs.sync_parts(key(50)).await.unwrap(), 400);
    refused(
        blobs.append(key(50), 500, whole.slice(500..)).await,
        Refusal::PackHole(400),
    );
    blobs
        .append(key(50), 300, whole.slice(300..600))
        .await
        .unwrap();
    assert!(blobs.finish_parts(key(50), 1000).await.is_err());
    blobs
        .append(key(50), 600, whole.slice(600..))
        .await
        .unwrap();
    for _ in 0..2 {
        assert_eq!(
            blobs.finish_parts(key(50), 1000).await.unwrap(),
            Hash::of(&whole)
        );
    }
    assert_eq!(blobs.read(vec![(key(50), 0..1000)]).await.unwrap(), [whole]);
    blobs.delete(vec![key(50), key(51), key(0)]).await.unwrap();
    assert_eq!(blobs.list(sub).await.unwrap().len(), 19);
}
