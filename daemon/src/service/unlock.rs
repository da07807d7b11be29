//! Commands to open the session: opening is no work, so the status tells how it went.

use std::collections::BTreeMap;
use std::sync::Arc;

use simsync_codes::{CardState, Code, State};
use tokio::sync::watch;

use crate::api::{Failure, JobControl, Reason, Status};
use crate::database::Database;
use crate::events::Events;
use crate::rules::{Event, Unlocks};
use crate::works::JobHandle;

/// For a job that waits until the session is open, or it is clear why not.
pub fn watch_unlock(
    job: JobHandle,
    commands: watch::Receiver<Unlocks>,
    mut status: watch::Receiver<Arc<Status>>,
    database: Arc<Database>,
    events: Events,
) {
    tokio::spawn(async move {
        let id = job.id();
        tell_opening(job, commands, &mut status, &database).await;
        events.emit(Event::UnlockEnded(id));
    });
}

async fn tell_opening(
    job: JobHandle,
    mut commands: watch::Receiver<Unlocks>,
    status: &mut watch::Receiver<Arc<Status>>,
    database: &Database,
) {
    loop {
        // What another caller answered is no end for this one.
        if let Some(why) = commands.borrow_and_update().refusal(job.id()) {
            return job.failed(why.clone().into());
        }
        let now = status.borrow_and_update().clone();
        let looking = now.cards.iter().any(|c| c.state == CardState::Looking);
        match now.state {
            state if state == State::Opening || looking => tokio::select! {
                changed = status.changed() => if changed.is_err() { return },
                changed = commands.changed() => if changed.is_err() { return },
                control = job.next_control() => {
                    if control != Some(JobControl::Confirm) { return }
                }
            },
            State::ReadOnly => {
                let reason = now.reasons.first().cloned();
                let why = reason.unwrap_or_else(|| {
                    Reason::new(Code::ServerNotTrusted, "the server is not trusted")
                });
                let sentence = format!("the session is open for reading only: {}", why.sentence);
                return job.failed(Failure::new(why.code, sentence));
            }
            _ if now.session.is_some() => {
                // Whoever hears of it and looks at the status finds there what came with the session.
                database.status_catches_up().await;
                return job.done(BTreeMap::new());
            }
            _ => {
                let reason = now.reasons.first().cloned();
                let reason = reason.unwrap_or_else(|| {
                    Reason::new(Code::NoCard, "no card of yours is in; put it in")
                });
                return job.failed(Failure::new(reason.code, reason.sentence));
            }
        }
    }
}
