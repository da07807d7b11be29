//! People: added, given codes, removed.

use simsync_card::ids::{Hash, SubscriberId};

use super::fixture::{Fixture, refused};
use crate::rules::Refusal;
use crate::store::types::{AddSubscriber, NewCode, SubscriberState};

fn code(n: u8) -> NewCode {
    NewCode {
        hash: Hash([n; 32]),
        expires: 100,
    }
}

impl Fixture {
    /// Adds the subscriber with a code, and another one in its place.
    pub(super) async fn subscribers(&self) {
        let s = &self.store;
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
    }

    pub(super) async fn states(&self) {
        let s = &self.store;
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
