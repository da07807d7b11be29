//! Events within one process. A store shared by several processes carries them across by its own means.

use std::collections::HashMap;

use parking_lot::Mutex;
use simsync_card::ids::{SubscriberId, TerminalId};
use simsync_protocol::api::ServerEvent;
use tokio::sync::broadcast;

/// Events that may wait for a slow reader; it gets the state again if it misses some.
const BACKLOG: usize = 64;

/// Something that event streams of a subscriber are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// For all terminals.
    All(ServerEvent),
    /// For one terminal; the others are not told.
    Only(TerminalId, ServerEvent),
    /// This terminal, or all, lost their right to listen.
    End(Option<TerminalId>),
}

/// One channel per subscriber that somebody listens to.
#[derive(Debug, Default)]
pub struct Hub {
    channels: Mutex<HashMap<SubscriberId, broadcast::Sender<Notice>>>,
}

impl Hub {
    /// Notices of one subscriber, from now on.
    pub fn subscribe(&self, subscriber: &SubscriberId) -> broadcast::Receiver<Notice> {
        let mut channels = self.channels.lock();
        channels.retain(|_, sender| sender.receiver_count() > 0);
        channels
            .entry(subscriber.clone())
            .or_insert_with(|| broadcast::channel(BACKLOG).0)
            .subscribe()
    }

    /// Tells whoever listens.
    pub fn publish(&self, subscriber: &SubscriberId, notice: Notice) {
        let channels = self.channels.lock();
        if let Some(sender) = channels.get(subscriber) {
            // Nobody listening is no error.
            let _ = sender.send(notice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_reach_their_subscriber_only() {
        let hub = Hub::default();
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let (mut at_a, mut at_b) = (hub.subscribe(&a), hub.subscribe(&b));
        hub.publish(&a, Notice::End(None));
        assert_eq!(at_a.try_recv().unwrap(), Notice::End(None));
        assert!(at_b.try_recv().is_err());
    }
}
