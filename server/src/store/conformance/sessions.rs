//! Sessions: opened, renewed, narrowed.

use simsync_card::ids::Hash;

use super::fixture::{Fixture, refused};
use crate::rules::Refusal;
use crate::store::types::{Known, RenewSession, Scope};

impl Fixture {
    pub(super) async fn sessions(&self) {
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
            (Scope::Full, Scope::Full),
            (Scope::Nothing, Scope::Nothing),
            (Scope::Full, Scope::Nothing),
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
}
