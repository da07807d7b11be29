//! A card and a terminal: let in, and put out.

use simsync_card::ids::{Hash, TerminalId};
use simsync_protocol::api::ServerEvent;

use super::fixture::{Fixture, refused};
use crate::rules::Refusal;
use crate::store::events::Notice;
use crate::store::types::{Actor, Enrol, Pair};

impl Fixture {
    pub(super) async fn enrolling(&self) {
        let s = &self.store;
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

    pub(super) async fn pairing(&mut self) {
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

    pub(super) async fn revoking(&self) {
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
    }
}
