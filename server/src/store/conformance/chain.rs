//! Commits and key objects, one after the other and all at once.

use simsync_protocol::api::{CommitAnswer, ServerEvent};
use simsync_vault::commit::Commit;
use simsync_vault::keyobject::TerminalEntry;
use simsync_vault::statement::SessionStatement;

use super::fixture::{Fixture, refused};
use crate::rules::Refusal;
use crate::store::events::Notice;

impl Fixture {
    pub(super) async fn commits(&mut self) {
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
        let answer = CommitAnswer { head };
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
    async fn race(&mut self, statement: &SessionStatement) {
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
        let answer = CommitAnswer { head: *head };
        self.vault.accept(body, None, &answer);
        let view = self.store.commits(self.sub.clone(), 0).await.unwrap();
        assert_eq!((view.commits.len(), view.head), (2, Some(*head)));
    }
}
