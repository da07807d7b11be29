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
    // More at a time, and in more than one piece.
    for ranges in [vec![(0, 3)], vec![(3, 10), (10, 20)], vec![(0, 2)]] {
        let mut staging = blobs.begin(sub.clone()).await.unwrap();
        for (from, to) in ranges {
            let packs =
                (from..to).map(|n| (PackId([u8::try_from(n).unwrap(); 16]), bytes[n].clone()));
            let hashes = staging.write(packs.collect()).await.unwrap();
            let expected: Vec<Hash> = bytes[from..to].iter().map(|b| Hash::of(b)).collect();
            assert_eq!(hashes, expected);
        }
        staging.finish().await.unwrap();
    }
    assert_eq!(blobs.list(sub.clone()).await.unwrap().len(), 20);
    // What is written aside and given up, or forgotten, or refused, is not there.
    let other = |n: u8| vec![(PackId([n; 16]), seed.blob(10))];
    let mut taken = blobs.begin(sub.clone()).await.unwrap();
    taken.write(other(0)).await.unwrap();
    refused(taken.finish().await, Refusal::PackExists);
    let mut given_up = blobs.begin(sub.clone()).await.unwrap();
    given_up.write(other(98)).await.unwrap();
    given_up.abort().await.unwrap();
    let mut forgotten = blobs.begin(sub.clone()).await.unwrap();
    forgotten.write(other(99)).await.unwrap();
    drop(forgotten);
    assert_eq!(blobs.list(sub.clone()).await.unwrap().len(), 20);
    let read = blobs
        .read(vec![(key(1), 0..101), (key(0), 10..20)])
        .await
        .unwrap();
    assert_eq!(read, [bytes[1].clone(), bytes[0].slice(10..20)]);
    assert!(blobs.read(vec![(key(1), 0..102)]).await.is_err());
    for n in [98, 99] {
        assert!(blobs.read(vec![(key(n), 0..1)]).await.is_err());
    }

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
