//! Tails: delivered, merged, given up.

use simsync_protocol::api::SessionState;
use simsync_vault::commit::Commit;
use simsync_vault::tail::Tail;

use super::fixture::{Fixture, refused};
use crate::rules::Refusal;
use crate::store::types::PutTail;

impl Fixture {
    pub(super) async fn tails(&mut self) {
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
}
