//! What every store must do, whatever it is made of. Each suite takes a fresh, empty store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod blobs;
mod chain;
mod fixture;
mod moves;
mod packs;
mod pairings;
mod sessions;
mod subscribers;
mod tails;

pub use blobs::blobs;

use std::sync::Arc;

use super::{Store, audit};
use fixture::Fixture;

/// Runs a subscriber's life through a store. Each part goes on where the one before it ended.
pub async fn store(store: Arc<dyn Store>) {
    let mut f = Fixture::new(store);
    f.subscribers().await;
    f.enrolling().await;
    f.pairing().await;
    f.sessions().await;
    f.packs().await;
    f.commits().await;
    f.tails().await;
    f.moving().await;
    f.revoking().await;
    f.states().await;
}

/// Checks that what one handle of a store holds is seen through another.
pub async fn kept(one: &dyn Store, other: &dyn Store) {
    assert_eq!(
        one.subscribers().await.unwrap(),
        other.subscribers().await.unwrap()
    );
    assert_eq!(
        one.cards(None).await.unwrap(),
        other.cards(None).await.unwrap()
    );
    assert_eq!(
        one.terminals(None).await.unwrap(),
        other.terminals(None).await.unwrap()
    );
    let log = other.audit_log().await.unwrap();
    assert_eq!(one.audit_log().await.unwrap(), log);
    assert!(!log.is_empty());
    audit::verify(&log).unwrap();
}
