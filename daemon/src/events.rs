//! The way of events to the rules.

use tokio::sync::mpsc;

use crate::rules::Event;

/// Sends events to the loop, which never makes the sender wait.
#[derive(Clone)]
pub struct Events(mpsc::UnboundedSender<Event>);

impl Events {
    /// Events, and where they arrive.
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (tx, rx) = mpsc::unbounded_channel();
        (Self(tx), rx)
    }

    /// Sends one. It is lost where nobody listens any more: the daemon ends then.
    pub fn emit(&self, event: Event) {
        // Nobody listens only while the daemon ends.
        let _ = self.0.send(event);
    }

    /// Sends one, for whoever stops when nobody listens any more: false then.
    pub fn is_heard(&self, event: Event) -> bool {
        self.0.send(event).is_ok()
    }

    /// For watchers outside of the service.
    pub fn sender(&self) -> mpsc::UnboundedSender<Event> {
        self.0.clone()
    }
}
