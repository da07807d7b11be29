//! What every store must do, whatever it is made of. Each suite takes a fresh, empty store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod packs;

pub use packs::blobs;

use std::sync::Arc;

use simsync_card::ids::{Hash, ServerId, SubscriberId, TerminalId};
use simsync_protocol::api::{MovingTo, ServerEvent, SessionState};
use simsync_vault::commit::{Commit, PackRef, SessionRef};
use simsync_vault::ids::{CollectionId, PackId};
use simsync_vault::keyobject::TerminalEntry;
use simsync_vault::tail::Tail;

use super::events::Notice;
use super::types::{
    Actor, AddSubscriber, BeginPack, CompletePacks, ConnectionId, Enrol, Known, NewCode, NewGrant,
    OpenSession, PackStatus, Pair, PutCommit, PutTail, RenewSession, Scope, SubscriberState,
};
use super::{Result, Store, StoreError, audit};
use crate::rules::Refusal;
use crate::testing::{Seed, SoftCard, SoftTerminal, SoftVault};

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, why: Refusal) {
    match result {
        Err(StoreError::Refused(refusal)) if refusal == why => {}
        other => panic!("expected the refusal {why:?}, got {other:?}"),
    }
}

struct Fixture {
    seed: Seed,
    store: Arc<dyn Store>,
    sub: SubscriberId,
    card: SoftCard,
    terminal: SoftTerminal,
    vault: SoftVault,
    files: CollectionId,
}

/// Runs a subscriber's life through a store.
pub async fn store(store: Arc<dyn Store>) {
    let seed = Seed::new();
    let mut f = Fixture {
        sub: "alice".parse().unwrap(),
        card: SoftCard::new(&seed),
        terminal: SoftTerminal::new(&seed),
        vault: SoftVault::new(&seed),
        files: CollectionId(seed.id()),
        seed,
        store,
    };
    f.enrolling().await;
    f.pairing().await;
    f.sessions().await;
    f.packs().await;
    f.commits().await;
    f.tails().await;
    f.moving().await;
    f.operator().await;
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

impl Fixture {
    async fn enrolling(&self) {
        let s = &self.store;
        let code = |n: u8| NewCode {
            hash: Hash([n; 32]),
            expires: 100,
        };
        let add = AddSubscriber {
            subscriber: self.sub.clone(),
            label: "Alice".to_owned(),
            code: code(1),
            now: 1,
        };
        s.add_subscriber(add.clone()).await.unwrap();
        refused(
            s.add_subscriber(add).await,
            Refusal::SubscriberExists(self.sub.clone()),
        );
        let nobody: SubscriberId = "nobody".parse().unwrap();
        refused(
            s.add_code(nobody.clone(), code(2), 1).await,
            Refusal::NoSubscriber(nobody),
        );
        s.add_code(self.sub.clone(), code(2), 2).await.unwrap();
        let enrol = |n: u8, now| Enrol {
            subscriber: self.sub.clone(),
            code: Hash([n; 32]),
            card: self.card.id,
            label: "card".to_owned(),
            keys: self.card.keys(),
            now,
        };
        refused(s.enrol(enrol(1, 3)).await, Refusal::CodeRefused);
        refused(s.enrol(enrol(2, 100)).await, Refusal::CodeRefused);
        assert!(!s.enrol(enrol(2, 3)).await.unwrap());
        assert!(s.enrol(enrol(2, 1000)).await.unwrap());
        let found = s
            .card(self.sub.clone(), self.card.id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((found.keys, found.last_n), (self.card.keys(), 0));
    }

    async fn pairing(&mut self) {
        let pair = |certificate: &[u8]| Pair {
            subscriber: self.sub.clone(),
            card: self.card.id,
            key: self.terminal.key.point(),
            label: "terminal".to_owned(),
            attributes: vec!["files".to_owned()],
            certificate: certificate.to_vec(),
            binding: Hash([3; 32]),
            statement: vec![1; 70],
            now: 4,
        };
        let s = &self.store;
        assert_eq!(s.pair(pair(b"first")).await.unwrap(), b"first");
        assert_eq!(s.pair(pair(b"second")).await.unwrap(), b"first");
        let mut of_nobody = pair(b"x");
        of_nobody.subscriber = "nobody".parse().unwrap();
        refused(s.pair(of_nobody).await, Refusal::SubscriberInactive);
        let peer = s.peer(Hash::of(b"first")).await.unwrap().unwrap();
        assert_eq!(
            (peer.subscriber, peer.terminal),
            (self.sub.clone(), self.terminal.id())
        );
        assert!(s.peer(Hash::of(b"second")).await.unwrap().is_none());
        self.terminal.certificate = Some(b"first".to_vec());
    }

    fn grant(&self, n: u8, expires: u64) -> NewGrant {
        NewGrant {
            hash: Hash([n; 32]),
            connection: ConnectionId([n; 16]),
            certificate: Hash::of(b"first"),
            expires,
        }
    }

    fn open(&self, n: u32) -> OpenSession {
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

    fn session(&self, n: u32) -> SessionRef {
        SessionRef {
            card: self.card.id,
            n,
        }
    }

    async fn sessions(&self) {
        let s = &self.store;
        let view = s.open_session(self.open(1)).await.unwrap();
        assert!(view.head.is_none() && view.sessions.len() == 1);
        refused(
            s.open_session(self.open(1)).await,
            Refusal::SessionNumberUsed { n: 1, last: 1 },
        );
        let row = s
            .grant(self.sub.clone(), Hash([1; 32]))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (row.session, row.scope, row.expires),
            (self.session(1), Scope::Full, 1000)
        );
        let renew = |n: u32, now| RenewSession {
            subscriber: self.sub.clone(),
            terminal: self.terminal.id(),
            session: self.session(n),
            grant: self.grant(77, 2000),
            known: Known {
                sequence: 0,
                list: 0,
            },
            now,
        };
        refused(s.renew_session(renew(1, 1000)).await, Refusal::SessionEnded);
        refused(s.renew_session(renew(2, 11)).await, Refusal::SessionEnded);
        s.renew_session(renew(1, 11)).await.unwrap();
        assert!(
            s.grant(self.sub.clone(), Hash([1; 32]))
                .await
                .unwrap()
                .is_none()
        );
        s.open_session(self.open(2)).await.unwrap();
        refused(
            s.renew_session(renew(1, 11)).await,
            Refusal::SessionSuperseded,
        );
        let narrow = |to| s.narrow(self.sub.clone(), self.session(2), to);
        for (to, left) in [
            (Scope::Upload, Scope::Upload),
            (Scope::Full, Scope::Upload),
            (Scope::Nothing, Scope::Nothing),
            (Scope::Upload, Scope::Nothing),
        ] {
            narrow(to).await.unwrap();
            let row = s
                .grant(self.sub.clone(), Hash([2; 32]))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(row.scope, left);
        }
        refused(
            s.renew_session(renew(2, 13)).await,
            Refusal::SessionNarrowed,
        );
        let own = s
            .own_sessions(self.sub.clone(), self.terminal.id(), None)
            .await
            .unwrap();
        assert_eq!(own.iter().map(|i| i.session.n).collect::<Vec<_>>(), [2, 1]);
        s.open_session(self.open(3)).await.unwrap();
    }

    fn pack(&self, n: u8, size: u64) -> PackRef {
        PackRef {
            id: PackId([n; 16]),
            collection: self.files,
            size,
        }
    }

    fn complete(&self, pack: PackRef, hash: u8) -> CompletePacks {
        CompletePacks {
            subscriber: self.sub.clone(),
            terminal: self.terminal.id(),
            packs: vec![(pack, Hash([hash; 32]))],
            now: 20,
        }
    }

    async fn packs(&self) {
        let s = &self.store;
        let begin = |pack| BeginPack {
            subscriber: self.sub.clone(),
            pack,
            terminal: self.terminal.id(),
            now: 20,
        };
        let row = s.begin_pack(begin(self.pack(1, 10))).await.unwrap();
        assert_eq!((row.status, row.received), (PackStatus::Uploading, 0));
        refused(
            s.begin_pack(begin(self.pack(1, 11))).await,
            Refusal::PackExists,
        );
        s.pack_progress(self.sub.clone(), PackId([1; 16]), 4, 21)
            .await
            .unwrap();
        let row = s.begin_pack(begin(self.pack(1, 10))).await.unwrap();
        assert_eq!(row.received, 4);
        s.complete_packs(self.complete(self.pack(1, 10), 1))
            .await
            .unwrap();
        s.complete_packs(self.complete(self.pack(1, 10), 1))
            .await
            .unwrap();
        refused(
            s.complete_packs(self.complete(self.pack(1, 10), 2)).await,
            Refusal::PackExists,
        );
        s.complete_packs(self.complete(self.pack(2, 5), 2))
            .await
            .unwrap();
        let ids = vec![PackId([2; 16]), PackId([9; 16]), PackId([1; 16])];
        let rows = s.packs(self.sub.clone(), ids).await.unwrap();
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|r| r.status == PackStatus::Complete));
        assert!(
            s.live_packs(self.sub.clone(), self.files)
                .await
                .unwrap()
                .is_empty()
        );
    }

    fn put(
        &self,
        commit: Commit,
        key_object: Option<(
            simsync_vault::keyobject::KeyObject,
            Vec<simsync_vault::keyobject::Wrap>,
        )>,
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

    async fn commits(&mut self) {
        let s = self.store.clone();
        let mut events = s.subscribe(&self.sub);
        assert!(
            !s.rights(self.sub.clone(), self.terminal.id())
                .await
                .unwrap()
                .vault
        );
        let entry = TerminalEntry {
            key: self.terminal.key.point(),
            label: "a".to_owned(),
            collections: vec![self.files],
        };
        let (list, wraps) = self.vault.next_list(&self.seed, &[&self.card], vec![entry]);
        let list = self.card.sign_key_object(list);
        let statement = self.open(3).statement;
        let mut body = self.vault.body(&self.terminal, &statement, Some(&list));
        body.packs_added = vec![self.pack(2, 5), self.pack(1, 10)];
        let first = Commit::sign(body.clone(), &self.terminal.key);
        let new = Some((list.clone(), wraps.clone()));
        let head = s.put_commit(self.put(first.clone(), new)).await.unwrap();
        assert_eq!((head.hash, head.sequence), (first.hash(), 1));
        assert_eq!(s.head(self.sub.clone()).await.unwrap(), Some(head));
        let moved = ServerEvent::HeadMoved {
            head,
            terminal: self.terminal.id(),
        };
        assert_eq!(events.recv().await.unwrap(), Notice::All(moved));
        assert_eq!(s.put_commit(self.put(first, None)).await.unwrap(), head);
        let answer = simsync_protocol::api::CommitAnswer { head };
        self.vault.accept(&body, Some(list), &answer);
        let view = s.key_object(self.sub.clone()).await.unwrap().unwrap();
        assert_eq!(view.wraps, wraps);
        let live = s.live_packs(self.sub.clone(), self.files).await.unwrap();
        assert_eq!(live, [self.pack(2, 5), self.pack(1, 10)]);
        let rights = s
            .rights(self.sub.clone(), self.terminal.id())
            .await
            .unwrap();
        assert_eq!(rights.collections, [self.files]);
        self.race(&statement).await;
    }

    /// Many commits on one head at once: one wins, the others learn the head.
    async fn race(&mut self, statement: &simsync_vault::statement::SessionStatement) {
        let bodies: Vec<_> = (0..8)
            .map(|n| {
                let mut body = self.vault.body(&self.terminal, statement, None);
                body.metadata = vec![n; 16];
                body
            })
            .collect();
        let tasks: Vec<_> = bodies
            .iter()
            .map(|body| {
                let commit = Commit::sign(body.clone(), &self.terminal.key);
                let (store, put) = (self.store.clone(), self.put(commit, None));
                tokio::spawn(async move { store.put_commit(put).await })
            })
            .collect();
        let mut won = Vec::new();
        let mut moved = Vec::new();
        for (body, task) in bodies.iter().zip(tasks) {
            match task.await.unwrap() {
                Ok(head) => won.push((body.clone(), head)),
                lost => moved.push(lost),
            }
        }
        let [(body, head)] = won.as_slice() else {
            panic!("{} commits won", won.len());
        };
        for lost in moved {
            refused(lost, Refusal::HeadMoved(Some(*head)));
        }
        let answer = simsync_protocol::api::CommitAnswer { head: *head };
        self.vault.accept(body, None, &answer);
        let view = self.store.commits(self.sub.clone(), 0).await.unwrap();
        assert_eq!((view.commits.len(), view.head), (2, Some(*head)));
    }

    async fn tails(&mut self) {
        let s = self.store.clone();
        let statement = self.open(3).statement;
        let tail = Tail::sign(self.vault.tail(&statement), &self.terminal.key);
        let put = |tail: &Tail| PutTail {
            subscriber: self.sub.clone(),
            terminal: self.terminal.id(),
            tail: tail.clone(),
            now: 40,
        };
        for _ in 0..2 {
            let state = s.put_tail(put(&tail)).await.unwrap();
            assert_eq!(state, SessionState::TailDelivered);
        }
        let waiting = s.commits(self.sub.clone(), 0).await.unwrap().tails;
        assert_eq!(waiting, [tail.to_bytes()]);
        s.open_session(self.open(4)).await.unwrap();
        let mut body = self
            .vault
            .body(&self.terminal, &self.open(4).statement, None);
        body.tails_merged = vec![self.session(3)];
        let commit = Commit::sign(body.clone(), &self.terminal.key);
        s.put_commit(self.put(commit, None)).await.unwrap();
        let (_, state) = s
            .tail(self.sub.clone(), self.session(3))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(state, SessionState::Closed);
        let own = s
            .own_sessions(self.sub.clone(), self.terminal.id(), None)
            .await
            .unwrap();
        assert_eq!(own.iter().map(|i| i.session.n).collect::<Vec<_>>(), [4]);
        let forget = s.forget(
            self.sub.clone(),
            vec![self.session(4)],
            self.terminal.id(),
            41,
        );
        forget.await.unwrap();
        let unknown = s.forget(
            self.sub.clone(),
            vec![self.session(9)],
            self.terminal.id(),
            41,
        );
        refused(unknown.await, Refusal::NoSession(self.session(9)));
    }

    async fn moving(&self) {
        let s = &self.store;
        assert_eq!(s.moving().await.unwrap(), None);
        for address in ["new.example.org", "other.example.org:7444"] {
            let to = MovingTo {
                address: address.parse().unwrap(),
                ca_pin: Hash([7; 32]),
            };
            s.set_moving(Some(to.clone()), 48).await.unwrap();
            assert_eq!(s.moving().await.unwrap(), Some(to));
        }
        s.set_moving(None, 49).await.unwrap();
        assert_eq!(s.moving().await.unwrap(), None);
        let log = s.audit_log().await.unwrap();
        let told = |r: &&audit::AuditRow| r.action == "moving-announced";
        assert_eq!(log.iter().filter(told).count(), 3);
    }

    async fn operator(&self) {
        let s = &self.store;
        let mut events = s.subscribe(&self.sub);
        s.revoke_card(self.sub.clone(), self.card.id, Actor::Operator, 50)
            .await
            .unwrap();
        let next = events.recv().await.unwrap();
        assert_eq!(next, Notice::Only(self.terminal.id(), ServerEvent::Revoked));
        assert_eq!(
            events.recv().await.unwrap(),
            Notice::All(ServerEvent::RekeyRequired)
        );
        refused(s.open_session(self.open(5)).await, Refusal::CardRevoked);
        let nobody = TerminalId([0; 32]);
        let unknown = s.revoke_terminal(self.sub.clone(), nobody, Actor::Operator, 51);
        refused(unknown.await, Refusal::NoTerminal(self.sub.clone(), nobody));
        let id = self.terminal.id();
        let audited = async || s.audit_log().await.unwrap().len();
        let before = audited().await;
        for by in [Actor::Operator, Actor::Terminal(nobody)] {
            s.revoke_terminal(self.sub.clone(), id, by.clone(), 51)
                .await
                .unwrap();
            s.revoke_card(self.sub.clone(), self.card.id, by, 51)
                .await
                .unwrap();
        }
        // Told once more, it is no news.
        assert_eq!(audited().await, before + 1);
        let row = s.subscriber(self.sub.clone()).await.unwrap().unwrap();
        assert_eq!((row.cards, row.terminals, row.bytes), (0, 0, 15));
        assert!(row.rekey_required);
        let set = |state| s.set_subscriber_state(self.sub.clone(), state, 52);
        set(SubscriberState::Suspended).await.unwrap();
        set(SubscriberState::Active).await.unwrap();
        set(SubscriberState::Removed).await.unwrap();
        refused(
            set(SubscriberState::Active).await,
            Refusal::RemovedForGood(self.sub.clone()),
        );
    }
}
