//! The subscriber whose life all suites tell together.

use std::sync::Arc;

use simsync_card::ids::{Hash, ServerId, SubscriberId};
use simsync_vault::commit::{Commit, PackRef, SessionRef};
use simsync_vault::ids::{CollectionId, PackId};
use simsync_vault::keyobject::{KeyObject, Wrap};

use crate::rules::Refusal;
use crate::store::types::{ConnectionId, Known, NewGrant, OpenSession, PutCommit};
use crate::store::{Result, Store, StoreError};
use crate::testing::{Seed, SoftCard, SoftTerminal, SoftVault};

#[track_caller]
pub(super) fn refused<T: std::fmt::Debug>(result: Result<T>, why: Refusal) {
    match result {
        Err(StoreError::Refused(refusal)) if refusal == why => {}
        other => panic!("expected the refusal {why:?}, got {other:?}"),
    }
}

pub(super) struct Fixture {
    pub(super) seed: Seed,
    pub(super) store: Arc<dyn Store>,
    pub(super) sub: SubscriberId,
    pub(super) card: SoftCard,
    pub(super) terminal: SoftTerminal,
    pub(super) vault: SoftVault,
    pub(super) files: CollectionId,
}

impl Fixture {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        let seed = Seed::new();
        Self {
            sub: "alice".parse().unwrap(),
            card: SoftCard::new(&seed),
            terminal: SoftTerminal::new(&seed),
            vault: SoftVault::new(&seed),
            files: CollectionId(seed.id()),
            seed,
            store,
        }
    }

    pub(super) fn grant(&self, n: u8, expires: u64) -> NewGrant {
        NewGrant {
            hash: Hash([n; 32]),
            connection: ConnectionId([n; 16]),
            certificate: Hash::of(b"first"),
            expires,
        }
    }

    pub(super) fn open(&self, n: u32) -> OpenSession {
        let binding = Hash([9; 32]);
        OpenSession {
            subscriber: self.sub.clone(),
            statement: self.card.statement(n, &self.terminal.id(), &binding),
            grant: self.grant(u8::try_from(n).unwrap(), 1000),
            known: Known {
                sequence: 0,
                list: 0,
            },
            now: 10,
        }
    }

    pub(super) fn session(&self, n: u32) -> SessionRef {
        SessionRef {
            card: self.card.id,
            n,
        }
    }

    pub(super) fn pack(&self, n: u8, size: u64) -> PackRef {
        PackRef {
            id: PackId([n; 16]),
            collection: self.files,
            size,
        }
    }

    pub(super) fn put(
        &self,
        commit: Commit,
        key_object: Option<(KeyObject, Vec<Wrap>)>,
    ) -> PutCommit {
        PutCommit {
            subscriber: self.sub.clone(),
            terminal: self.terminal.id(),
            session: self.session(commit.body.session.n),
            server: ServerId([1; 16]),
            commit,
            key_object,
            now: 30,
        }
    }
}
