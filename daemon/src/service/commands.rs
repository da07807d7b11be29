//! What the user orders, run as work.

use std::collections::BTreeMap;
use std::sync::Arc;

use simsync_codes::Code;

use crate::api::{Caller, Command, Failure, JobControl};
use crate::collections::Collections;
use crate::database::Database;
use crate::engine::{Answer, Answers, EngineError, SyncOptions, SyncReport};
use crate::events::Events;
use crate::identity::Identity;
use crate::link::ServerLink;
use crate::membership::{Pairings, Spares, Unpairer};
use crate::opening::Openings;
use crate::person::{Person, on_behalf};
use crate::reasons::{engine_reason, outcome_of};
use crate::rules::{Event, Outcome, Work};
use crate::session::{CardAccess, CardSessions};
use crate::works::{Done, JobHandle, Syncs, Tails, Works, report_values};

/// Commands that can be cancelled where they wait for a person, and go on to their end otherwise.
fn waits_for_persons_only(command: &Command) -> bool {
    match command {
        Command::Unlock
        | Command::Pair { .. }
        | Command::ForgetPairing
        | Command::ChangeCardPin
        | Command::ChangeTerminalPin
        | Command::Forget { .. }
        | Command::AddCard
        | Command::AcceptRestored
        | Command::RemoveCard { .. }
        | Command::ConfirmServer { .. }
        | Command::RemoveTerminal { .. } => true,
        Command::Unpair
        | Command::Sync { .. }
        | Command::Eject
        | Command::AddCollection { .. }
        | Command::AnswerCollection { .. }
        | Command::RemoveCollection { .. } => false,
    }
}

/// Runs commands, each by the room that it is for. What all of them share is here: their caller, their end, how they are stopped.
pub struct Commands {
    pub(crate) works: Arc<Works>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) person: Arc<Person>,
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) access: Arc<CardAccess>,
    pub(crate) link: Arc<ServerLink>,
    pub(crate) database: Arc<Database>,
    pub(crate) syncs: Arc<Syncs>,
    pub(crate) tails: Arc<Tails>,
    pub(crate) pairings: Arc<Pairings>,
    pub(crate) leaving: Arc<Unpairer>,
    pub(crate) spares: Arc<Spares>,
    pub(crate) collections: Arc<Collections>,
    pub(crate) opening: Arc<Openings>,
    pub(crate) events: Events,
    /// What others wrote is written here only after a review.
    pub(crate) confirm_downloads: bool,
}

impl Commands {
    /// Runs a command as work.
    pub fn start(self: Arc<Self>, id: u64, command: Command, job: JobHandle, by: Option<Caller>) {
        let mut given_up = self.works.given_up();
        // From here on: a removal before the first question counts, too.
        let stops = self.works.stops();
        tokio::spawn(async move {
            let syncs = matches!(
                command,
                Command::Sync { .. } | Command::Eject | Command::AnswerCollection { .. }
            );
            // The others listen themselves, where they sync.
            let mut is_steered = waits_for_persons_only(&command);
            let work = on_behalf(by, stops, self.run(command, &job));
            tokio::pin!(work);
            let result = loop {
                tokio::select! {
                    result = &mut work => break result,
                    _ = given_up.changed() => break Err((
                        Failure::new(Code::Cancelled, "cancelled: this terminal forgets its pairing"),
                        Outcome::Cancelled,
                    )),
                    control = job.next_control(), if is_steered => match control {
                        Some(JobControl::Cancel) => {
                            self.works.wait_for_no_person();
                        }
                        Some(JobControl::Confirm) => {}
                        None => is_steered = false,
                    },
                }
            };
            let outcome = match &result {
                Ok(_) if syncs => Outcome::Done,
                Ok(_) => Outcome::Aside,
                Err((_, outcome)) => outcome.clone(),
            };
            // Whoever hears of the end and looks at the status finds there what was done.
            self.database.status_catches_up().await;
            match result {
                Ok(values) => job.done(values),
                Err((failure, _)) => job.failed(failure),
            }
            self.events.emit(Event::WorkEnded {
                work: Work::Command(id),
                outcome,
            });
        });
    }

    async fn run(
        &self,
        command: Command,
        job: &JobHandle,
    ) -> Result<BTreeMap<String, String>, (Failure, Outcome)> {
        // What one caller typed wrong, or did not want after all, is nobody else's error.
        let plain = |r: Done| r.map_err(|f| (f, Outcome::Aside));
        let engine = |r: Result<SyncReport, EngineError>| match r {
            Ok(report) => Ok(report_values(&report)),
            Err(e @ EngineError::Declined) => Err((engine_reason(&e).into(), Outcome::Aside)),
            Err(e) => Err((Failure::from(engine_reason(&e)), outcome_of(&e))),
        };
        match command {
            Command::Unlock => Ok(BTreeMap::new()),
            Command::Pair { label } => plain(match self.sessions.any_card() {
                Ok(reader) => self.pairings.pair(&reader, &label).await,
                Err(f) => Err(f),
            }),
            Command::Unpair => plain(self.leaving.unpair(job).await),
            Command::ForgetPairing => plain(self.leaving.forget_here().await),
            Command::Sync {
                review,
                allow_deletions,
            } => {
                let options = SyncOptions {
                    review,
                    answers: Answers {
                        all: allow_deletions.then_some(Answer::Delete),
                        ..Answers::default()
                    },
                    ..SyncOptions::default()
                };
                engine(self.syncs.run_sync(options, Some(job)).await)
            }
            Command::Eject => {
                let options = SyncOptions {
                    closing: true,
                    // What was not reviewed is not taken; it is there at the next session.
                    upload_only: self.confirm_downloads,
                    ..SyncOptions::default()
                };
                self.opening.mend_card_session().await;
                let result = engine(self.syncs.run_sync(options, Some(job)).await)?;
                self.events.emit(Event::SessionClosed);
                Ok(result)
            }
            Command::AddCollection {
                attribute,
                name,
                path,
            } => plain(
                self.collections
                    .add_collection(&attribute, &name, &path, job)
                    .await,
            ),
            Command::AnswerCollection {
                collection,
                deleted,
                question,
            } => {
                let (id, asked) = match self.collections.asked(&collection, deleted, &question) {
                    Ok(found) => found,
                    Err(f) => return Err((f, Outcome::Aside)),
                };
                let answer = if deleted {
                    Answer::Delete
                } else {
                    Answer::GiveBack
                };
                let options = SyncOptions {
                    answers: Answers {
                        all: None,
                        one: Some((id, answer)),
                        asked,
                    },
                    ..SyncOptions::default()
                };
                engine(self.syncs.run_sync(options, Some(job)).await)
            }
            Command::RemoveCollection { collection } => {
                plain(self.collections.remove_collection(&collection, job).await)
            }
            Command::ChangeCardPin => plain(
                self.access
                    .change_card_pin()
                    .await
                    .map(|()| BTreeMap::new()),
            ),
            Command::ChangeTerminalPin => {
                let changed = self.person.change_terminal_pin(&self.identity).await;
                plain(changed.map(|()| BTreeMap::new()))
            }
            Command::Forget { terminal } => plain(self.tails.forget(&terminal).await),
            Command::AddCard => plain(self.spares.add_card().await),
            Command::ConfirmServer { to } => {
                let values = BTreeMap::from([("server".to_owned(), to.address.to_string())]);
                plain(self.link.agree_to_move(&to).map(|()| values))
            }
            Command::AcceptRestored => plain(self.opening.accept_restored().await),
            Command::RemoveCard { card } => plain(self.spares.remove_card(&card).await),
            Command::RemoveTerminal { terminal } => {
                plain(self.spares.remove_terminal(&terminal).await)
            }
        }
    }
}
