//! Syncs, as work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::current::Works;
use super::folders::Folders;
use super::jobs::JobHandle;
use crate::api::JobControl;
use crate::database::Database;
use crate::engine::{EngineError, Review, ReviewEntry, SyncOptions, SyncReport, leaving_nothing};
use crate::engines::Engines;
use crate::events::Events;
use crate::link::Renewal;
use crate::notes::Notes;
use crate::reasons::{engine_reason, outcome_of};
use crate::rules::{Event, Outcome, Work};
use crate::session::{CardHead, CardSessions};

/// How often a job shows how far its sync is.
const TICK: Duration = Duration::from_millis(200);

/// Runs syncs on threads of their own, and lets everybody know how they went.
pub struct Syncs {
    pub(crate) works: Arc<Works>,
    pub(crate) engines: Arc<Engines>,
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) head: Arc<CardHead>,
    pub(crate) renewal: Arc<Renewal>,
    pub(crate) folders: Arc<Folders>,
    pub(crate) notes: Arc<Notes>,
    pub(crate) database: Arc<Database>,
    pub(crate) events: Events,
}

impl Syncs {
    /// A sync on our own account.
    pub fn start(self: Arc<Self>, work: Work, options: SyncOptions) {
        // Before it starts, so that the status that tells of it names the job.
        let job = self.works.jobs().create("sync", None);
        let mut given_up = self.works.given_up();
        tokio::spawn(async move {
            let result = tokio::select! {
                result = self.run_sync(options, Some(&job)) => result,
                _ = given_up.changed() => Err(EngineError::Cancelled),
            };
            if result.is_ok() {
                // Whoever hears that it ended finds in the status what it wrote.
                self.database.status_catches_up().await;
            }
            job.ended(result.as_ref().map(report_values).map_err(engine_reason));
            let outcome = match &result {
                Ok(_) => Outcome::Done,
                Err(e) => outcome_of(e),
            };
            if let Err(e) = &result {
                tracing::warn!(error = %e, "sync");
            }
            self.events.emit(Event::WorkEnded { work, outcome });
        });
    }

    /// Runs a sync on a thread of its own and brings the card up to date afterwards.
    pub async fn run_sync(
        &self,
        options: SyncOptions,
        job: Option<&JobHandle>,
    ) -> Result<SyncReport, EngineError> {
        let engine = self
            .engines
            .engine(self.works.begin())
            .ok_or(EngineError::Cancelled)?;
        tokio::select! {
            revived = self.renewal.revive_connection() => revived?,
            // A server that says nothing holds nobody up who stops this.
            () = engine.cancel.cancelled() => return Err(EngineError::Cancelled),
        }
        let works = self.works.no_engine_works().await;
        let session = self.sessions.session().ok_or(EngineError::Cancelled)?;
        let review = job.is_some() && options.review;
        let closing = options.closing;
        let new_list = options.key_object.is_some();
        let (ask_tx, mut ask_rx) =
            tokio::sync::mpsc::channel::<(Vec<ReviewEntry>, std::sync::mpsc::Sender<bool>)>(1);
        let progress = engine.progress.clone();
        let cancel = engine.cancel.clone();
        let events = self.events.clone();
        let mut task = tokio::task::spawn_blocking(move || {
            // What the watcher tells only now happened before this sync: it is no change since.
            engine.catch_up();
            events.emit(Event::SyncBegan);
            let ask = |entries: &[ReviewEntry]| {
                let (tx, rx) = std::sync::mpsc::channel();
                ask_tx.blocking_send((entries.to_vec(), tx)).is_ok() && rx.recv() == Ok(true)
            };
            let ask = review.then_some(&ask as Review<'_>);
            let done = leaving_nothing(|| engine.sync(&session, options, ask));
            drop(works);
            done
        });
        let mut tick = tokio::time::interval(TICK);
        let result = loop {
            tokio::select! {
                result = &mut task => break result.unwrap_or(Err(EngineError::Cancelled)),
                Some((entries, answer)) = ask_rx.recv() => {
                    let yes = match job {
                        Some(job) => job.review(&entries).await,
                        None => false,
                    };
                    let _ = answer.send(yes);
                }
                control = async {
                    match job {
                        Some(job) => job.next_control().await,
                        None => std::future::pending().await,
                    }
                } => if control == Some(JobControl::Cancel) {
                    cancel.cancel();
                },
                _ = tick.tick() => if let Some(job) = job {
                    job.progress(&progress);
                },
            }
        };
        if let Some(job) = job {
            job.progress(&progress);
        }
        // Also where it failed: some of it may have been written down before.
        self.folders.tell_outstanding();
        let mut report = result.inspect_err(|_| self.events.emit(Event::SyncFailed))?;
        self.folders.found();
        self.notes.synced();
        if closing || new_list || self.head.is_due() {
            report.card_untold = self.head.put_head(closing).await.map(|r| r.sentence);
        }
        Ok(report)
    }

    /// Compares folders with what was synced, after a session was closed and its card is still in.
    pub fn start_compare(self: Arc<Self>) {
        tokio::spawn(async move {
            let work = Work::Compare;
            let engine = self.engines.engine(self.works.begin());
            let differs = match engine {
                Some(engine) => {
                    tokio::task::spawn_blocking(move || leaving_nothing(|| engine.differs())).await
                }
                None => Ok(Ok(true)),
            };
            let (differs, outcome) = match differs {
                Ok(Ok(differs)) => (differs, Outcome::Aside),
                Ok(Err(e)) => (true, outcome_of(&e)),
                Err(_) => (true, Outcome::Aside),
            };
            self.folders.tell_outstanding();
            self.events.emit(Event::Compared { differs });
            self.events.emit(Event::WorkEnded { work, outcome });
        });
    }
}

/// What a sync did, as a job tells it.
pub fn report_values(r: &SyncReport) -> BTreeMap<String, String> {
    let mut out = BTreeMap::from([
        ("applied".to_owned(), r.applied.to_string()),
        ("bytes-applied".to_owned(), r.bytes_applied.to_string()),
        ("published".to_owned(), r.published.to_string()),
        ("conflicts".to_owned(), r.conflicts.to_string()),
        ("tails".to_owned(), r.tails.to_string()),
        ("outstanding".to_owned(), r.outstanding.all().to_string()),
    ]);
    if let Some(why) = &r.card_untold {
        out.insert("card-not-told".to_owned(), why.clone());
    }
    if let Some(sequence) = r.commit {
        out.insert("commit".to_owned(), sequence.to_string());
    }
    out
}
