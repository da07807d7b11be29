//! The work that runs, one piece at a time, and the ways to stop it.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, watch};

use super::jobs::Jobs;
use crate::engine::Cancel;

/// The work that runs.
#[derive(Default)]
pub struct Works {
    jobs: Jobs,
    cancel: Mutex<Cancel>,
    /// Changes when the work that runs is given up.
    abandoned: watch::Sender<()>,
    /// Changes when the command that runs may wait for no person any more.
    stopped: watch::Sender<()>,
    /// Held by an engine as long as it works; also by one whose work was given up.
    engine_works: Arc<tokio::sync::Mutex<()>>,
}

impl Works {
    /// The jobs by which users follow it.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// A new piece of work begins: its stop, which takes the place of the one before.
    pub fn begin(&self) -> Cancel {
        let cancel = Cancel::default();
        *self.cancel.lock() = cancel.clone();
        cancel
    }

    /// Waits until no engine works; none does while this is held.
    pub async fn no_engine_works(&self) -> OwnedMutexGuard<()> {
        self.engine_works.clone().lock_owned().await
    }

    /// Stops the work that runs.
    pub fn stop(&self) {
        let cancel = self.cancel.lock();
        cancel.cancel();
        self.wait_for_no_person();
    }

    /// Stops it, and waits for nothing that it waits for.
    pub fn abandon(&self) {
        self.stop();
        self.abandoned.send_replace(());
    }

    /// The command that runs goes on, but waits for no person any more.
    pub fn wait_for_no_person(&self) {
        self.stopped.send_replace(());
    }

    /// Changes when the work that runs now is given up.
    pub fn given_up(&self) -> watch::Receiver<()> {
        self.abandoned.subscribe()
    }

    /// Changes when the command that runs now may wait for no person any more.
    pub fn stops(&self) -> watch::Receiver<()> {
        self.stopped.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_is_for_the_work_that_runs_and_for_none_after_it() {
        let works = Works::default();
        let first = works.begin();
        let (mut given_up, mut stops) = (works.given_up(), works.stops());
        works.stop();
        assert!(first.is_cancelled());
        // Whoever stands at a prompt is waited for no longer; the work itself is waited for until it ends.
        stops.changed().await.unwrap();
        assert!(!given_up.has_changed().unwrap());
        works.abandon();
        given_up.changed().await.unwrap();
        let second = works.begin();
        assert!(!second.is_cancelled());
        assert!(!works.given_up().has_changed().unwrap());
        assert!(!works.stops().has_changed().unwrap());
    }
}
