//! What every blob store must do.

use std::sync::Arc;

use bytes::Bytes;
use simsync_card::ids::{Hash, SubscriberId};
use simsync_vault::ids::PackId;

use super::fixture::refused;
use crate::rules::Refusal;
use crate::store::blobs::{BlobKey, Blobs};
use crate::testing::Seed;

/// Runs packs through a blob store.
pub async fn blobs(blobs: Arc<dyn Blobs>) {
    let (seed, sub) = (Seed::new(), "..".parse::<SubscriberId>().unwrap());
    let key = |n: u8| BlobKey {
        subscriber: sub.clone(),
        pack: PackId([n; 16]),
    };
    let bytes: Vec<Bytes> = (0..20).map(|n| seed.blob(100 + n)).collect();
    for range in [0..3, 3..20, 0..2] {
        let packs = range
            .clone()
            .map(|n| (key(u8::try_from(n).unwrap()), bytes[n].clone()));
        let staged = blobs.stage(packs.collect()).await.unwrap();
        for (aside, n) in staged.iter().zip(range) {
            assert_eq!(aside.hash(), Hash::of(&bytes[n]));
        }
        blobs.publish(staged).await.unwrap();
    }
    assert_eq!(blobs.list(sub.clone()).await.unwrap().len(), 20);
    let aside = blobs.stage(vec![(key(0), seed.blob(100))]).await.unwrap();
    refused(blobs.publish(aside).await, Refusal::PackExists);
    drop(blobs.stage(vec![(key(99), seed.blob(10))]).await.unwrap());
    let read = blobs
        .read(vec![(key(1), 0..101), (key(0), 10..20)])
        .await
        .unwrap();
    assert_eq!(read, [bytes[1].clone(), bytes[0].slice(10..20)]);
    assert!(blobs.read(vec![(key(1), 0..102)]).await.is_err());
    assert!(blobs.read(vec![(key(99), 0..1)]).await.is_err());

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
    assert!(blobs.finish(key(50), 1000).await.is_err());
    blobs
        .append(key(50), 600, whole.slice(600..))
        .await
        .unwrap();
    for _ in 0..2 {
        assert_eq!(blobs.finish(key(50), 1000).await.unwrap(), Hash::of(&whole));
    }
    assert_eq!(blobs.read(vec![(key(50), 0..1000)]).await.unwrap(), [whole]);
    blobs.delete(vec![key(50), key(51), key(0)]).await.unwrap();
    assert_eq!(blobs.list(sub).await.unwrap().len(), 19);
}
