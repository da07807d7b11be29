//! Work that runs: syncs, tails, and telling the card about the new head.

use simsync_codes::Code;
use std::sync::Arc;
use std::time::Duration;

use super::Ctx;
use super::opening::Opens;
use super::orders::report_values;
use crate::api::Reason;
use crate::core::{Event, Outcome, Work};
use crate::engine::{EngineError, ReviewEntry, SyncOptions, SyncReport};
use crate::reasons::{engine_reason, outcome_of, server_reason};
use crate::works::JobHandle;

impl Ctx {
    /// A sync on our own account.
    pub fn start_sync(self: Arc<Self>, work: Work) {
        let ctx = self.clone();
        // Before it starts, so that the status that tells of it names the job.
        let job = self.jobs.create("sync", None);
        let mut given_up = self.works.given_up();
        tokio::spawn(async move {
            let options = SyncOptions {
                // Nobody ordered this one, so nobody is there to review it: give only, and say so.
                upload_only: ctx.config.confirm_downloads,
                ..SyncOptions::default()
            };
            let result = tokio::select! {
                result = ctx.run_sync(options, Some(&job)) => result,
                _ = given_up.changed() => Err(EngineError::Cancelled),
            };
            job.ended(result.as_ref().map(report_values).map_err(engine_reason));
            let outcome = match &result {
                Ok(_) => Outcome::Done,
                Err(e) => outcome_of(e),
            };
            if let Err(e) = &result {
                tracing::warn!(error = %e, "sync");
            }
            ctx.events.emit(Event::WorkEnded { work, outcome });
        });
    }

    /// Runs a sync on a thread of its own and brings the card up to date afterwards.
    pub async fn run_sync(
        self: &Arc<Self>,
        options: SyncOptions,
        job: Option<&JobHandle>,
    ) -> Result<SyncReport, EngineError> {
        let engine = self
            .engines
            .engine(self.works.begin())
            .ok_or(EngineError::Cancelled)?;
        tokio::select! {
            revived = self.revive_connection() => revived?,
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
        self.events.emit(Event::SyncBegan);
        let mut task = tokio::task::spawn_blocking(move || {
            let ask = |entries: &[ReviewEntry]| {
                let (tx, rx) = std::sync::mpsc::channel();
                ask_tx.blocking_send((entries.to_vec(), tx)).is_ok() && rx.recv() == Ok(true)
            };
            let done = engine.sync(&session, options, if review { Some(&ask) } else { None });
            drop(works);
            done
        });
        let mut tick = tokio::time::interval(Duration::from_millis(200));
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
                } => if control == Some(crate::api::JobControl::Cancel) {
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
        self.tell_outstanding();
        let mut report = result.inspect_err(|_| self.events.emit(Event::SyncFailed))?;
        self.roots_found();
        self.notes.synced();
        if closing || new_list || self.head.is_due() {
            report.card_untold = self.head.put_head(closing).await.map(|r| r.sentence);
        }
        Ok(report)
    }

    /// Tells the rules what is not where it should be.
    pub(super) fn tell_outstanding(&self) {
        match self.database.stored(|s| s.outstanding_summary()) {
            Ok(summary) => self.events.emit(Event::Outstanding(summary)),
            Err(error) => tracing::error!(%error, "what is outstanding cannot be told"),
        }
    }

    /// Compares folders with what was synced, after a session was closed and its card is still in.
    pub fn start_compare(self: Arc<Self>) {
        tokio::spawn(async move {
            let work = Work::Compare;
            let engine = self.engines.engine(self.works.begin());
            let differs = match engine {
                Some(engine) => tokio::task::spawn_blocking(move || engine.differs()).await,
                None => Ok(Ok(true)),
            };
            let (differs, outcome) = match differs {
                Ok(Ok(differs)) => (differs, Outcome::Aside),
                Ok(Err(e)) => (true, outcome_of(&e)),
                Err(_) => (true, Outcome::Aside),
            };
            self.tell_outstanding();
            self.events.emit(Event::Compared { differs });
            self.events.emit(Event::WorkEnded { work, outcome });
        });
    }

    /// A session whose connection died regains its grant by RENEW, without the PIN.
    async fn revive_connection(&self) -> Result<(), EngineError> {
        let session = self.sessions.session();
        if session.is_some_and(|s| s.conn.is_closed()) {
            self.set_conn(None);
            if let Err(reason) = self.try_renew().await {
                tracing::info!(code = %reason.code, "{}", reason.sentence);
                if reason.code == Code::CardBusy {
                    return Err(EngineError::CardBusy);
                }
                if reason.code != Code::Offline {
                    // Another program reset the card, for example: only a new session helps.
                    self.session_over(reason);
                    return Err(EngineError::Cancelled);
                }
            }
        }
        Ok(())
    }

    /// Before a session is closed: where the card forgot it, since another program reset the card or selected an applet on it,
    /// it is opened anew, with the PIN. Where that is not given the rest is uploaded all the same, and the card not told.
    pub(super) async fn mend_card_session(self: &Arc<Self>) {
        let forgotten = match self.head.try_put_head(false).await {
            Ok(()) => return self.events.emit(Event::CardTold(None)),
            Err(reason) => !matches!(
                reason.code,
                Code::CardBusy | Code::CardRemoved | Code::Store
            ),
        };
        let session = self.sessions.session_card().ok();
        let Some((reader, card)) = session.filter(|_| forgotten) else {
            return;
        };
        match self.try_open(&reader, card, Opens::Again).await {
            Ok(_) => tracing::info!("the card had forgotten the session; it is open anew"),
            Err(error) => tracing::warn!(?error, "the card has forgotten the session"),
        }
    }

    /// Seals what is left of the newest session that ended.
    pub fn start_tail(self: Arc<Self>) {
        tokio::spawn(async move {
            let work = Work::Tail;
            let Some(engine) = self.engines.engine(self.works.begin()) else {
                return self.events.emit(Event::WorkEnded {
                    work,
                    outcome: Outcome::Done,
                });
            };
            let ctx = self.clone();
            let result = tokio::task::spawn_blocking(move || ctx.make_tails(&engine)).await;
            let outcome = match result {
                Ok(Ok(())) => Outcome::Done,
                Ok(Err(e)) => {
                    tracing::error!(error = %e, "tail");
                    outcome_of(&e)
                }
                Err(_) => Outcome::Failed(Reason::new(Code::Internal, "sealing the tail failed")),
            };
            self.notes.mark("tail-made");
            self.tell_outstanding();
            self.events.emit(Event::WorkEnded { work, outcome });
        });
    }

    fn make_tails(&self, engine: &crate::engine::Engine) -> Result<(), EngineError> {
        let sessions = self.database.stored(|s| s.own_sessions())?;
        // The newest session's tail holds everything that earlier ones left, too.
        let begun = self.sessions.begun();
        let newest = sessions
            .iter()
            .filter(|s| Some(s.session()) != begun)
            .max_by_key(|s| s.statement.n);
        if let Some(s) = newest.filter(|s| s.tail.is_none()) {
            let report = engine.make_tail(&s.statement, &self.paths.outbox)?;
            self.notes.note_tail(&report);
            tracing::info!(
                items = report.items,
                referenced = report.referenced,
                left = report.left,
                bytes = report.bytes,
                "tail sealed"
            );
        }
        Ok(())
    }

    /// Delivers tails that wait, if the server can be reached.
    pub fn deliver_tails(self: Arc<Self>) {
        tokio::spawn(async move {
            let _one = self.sessions.delivery_turn().await;
            let delivered = match self.database.tails_waiting() {
                Ok(false) => Ok(()),
                Ok(true) => self.try_deliver().await,
                Err(e) => Err(Reason::new(Code::Store, e.to_string())),
            };
            if let Err(reason) = &delivered {
                tracing::info!(code = %reason.code, "tails wait: {}", reason.sentence);
            }
            self.events.emit(Event::TailsDelivered(delivered.is_ok()));
        });
    }

    async fn try_deliver(&self) -> Result<(), Reason> {
        let (_, pairing) = self.identity.pairing()?;
        let engine = self.engines.side_engine().ok_or_else(|| {
            Reason::new(
                Code::KeySealed,
                "the terminal's key is sealed; it is delivered after the next `simsync unlock`",
            )
        })?;
        let conn = self
            .connect(&pairing)
            .await
            .map_err(|e| server_reason(&e))?;
        let outbox = self.paths.outbox.clone();
        tokio::task::spawn_blocking(move || engine.deliver_tails(&conn, &outbox))
            .await
            .map_err(|_| Reason::new(Code::Internal, "delivering failed"))?
            .map(|_| ())
            .map_err(|e| engine_reason(&e))
    }
}
