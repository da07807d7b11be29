//! Work that runs: syncs, tails, and telling the card about the new head.

use simsync_codes::Code;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use simsync_card::client::{HeadRecord, Slot, Slots};
use simsync_card::ids::TerminalId;
use simsync_vault::commit::SessionRef;
use simsync_vault::head::{self, Witness};
use simsync_vault::statement::SessionStatement;

use super::card_ops::CARD_DEADLINE;
use super::ctx::Live;
use super::jobs::JobHandle;
use super::opening::{Opens, witness_of};
use super::orders::report_values;
use super::reasons::{card_reason, engine_reason, outcome_of, server_reason};
use super::{Ctx, card_ops};
use crate::api::Reason;
use crate::core::{Event, Outcome, Work};
use crate::engine::{EngineError, ReviewEntry, Session, SyncOptions, SyncReport, now_ms};

fn record_of(w: &Witness, closed: bool) -> HeadRecord {
    HeadRecord {
        epoch: w.epoch,
        sequence: w.sequence,
        head: w.head,
        list_number: w.list_number,
        list_hash: w.list_hash,
        closed,
    }
}

impl Ctx {
    /// The session for the engine, if one is open.
    pub fn session(&self) -> Option<Session> {
        self.live().as_ref().map(|l| l.session.clone())
    }

    /// A sync on our own account.
    pub fn start_sync(self: Arc<Self>, work: Work) {
        let ctx = self.clone();
        // Before it starts, so that the status that tells of it names the job.
        let job = self.jobs.create("sync", None);
        let mut given_up = self.abandoned.subscribe();
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
            ctx.emit(Event::WorkEnded { work, outcome });
        });
    }

    /// Runs a sync on a thread of its own and brings the card up to date afterwards.
    pub async fn run_sync(
        self: &Arc<Self>,
        options: SyncOptions,
        job: Option<&JobHandle>,
    ) -> Result<SyncReport, EngineError> {
        let engine = self.new_engine().ok_or(EngineError::Cancelled)?;
        tokio::select! {
            revived = self.revive_connection() => revived?,
            // A server that says nothing holds nobody up who stops this.
            () = engine.cancel.cancelled() => return Err(EngineError::Cancelled),
        }
        let works = self.engine_works.clone().lock_owned().await;
        let session = self.session().ok_or(EngineError::Cancelled)?;
        let review = job.is_some() && options.review;
        let closing = options.closing;
        let new_list = options.key_object.is_some();
        let (ask_tx, mut ask_rx) =
            tokio::sync::mpsc::channel::<(Vec<ReviewEntry>, std::sync::mpsc::Sender<bool>)>(1);
        let progress = engine.progress.clone();
        let cancel = engine.cancel.clone();
        self.emit(Event::SyncBegan);
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
        let mut report = result.inspect_err(|_| self.emit(Event::SyncFailed))?;
        self.roots_found();
        self.mark("synced");
        self.last_sync.store(now_ms(), Ordering::Relaxed);
        if closing || new_list || self.is_put_head_due() {
            report.card_untold = self.put_head(closing).await.map(|r| r.sentence);
        }
        Ok(report)
    }

    /// Tells the rules what is not where it should be.
    pub(super) fn tell_outstanding(&self) {
        match self.stored(|s| s.outstanding_summary()) {
            Ok(summary) => self.emit(Event::Outstanding(summary)),
            Err(error) => tracing::error!(%error, "what is outstanding cannot be told"),
        }
    }

    /// Compares folders with what was synced, after a session was closed and its card is still in.
    pub fn start_compare(self: Arc<Self>) {
        tokio::spawn(async move {
            let work = Work::Compare;
            let engine = self.new_engine();
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
            self.emit(Event::Compared { differs });
            self.emit(Event::WorkEnded { work, outcome });
        });
    }

    /// A session whose connection died regains its grant by RENEW, without the PIN.
    async fn revive_connection(&self) -> Result<(), EngineError> {
        let dead = self
            .live()
            .as_ref()
            .is_some_and(|l| l.session.conn.is_closed());
        if dead {
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

    fn is_put_head_due(&self) -> bool {
        let Ok(witness) = self.stored(|s| s.witness()) else {
            return false;
        };
        let interval = Duration::from_secs(self.config.put_head_interval_s);
        self.live().as_ref().is_some_and(|l| {
            let moved = l.head_known != (witness.sequence, witness.list_number);
            let list_moved = l.head_known.1 != witness.list_number;
            let rested = l.head_put.is_none_or(|t| t.elapsed() >= interval);
            (moved && (rested || list_moved)) || self.settled(l) != Slots::default()
        })
    }

    /// Slots of other terminals whose sessions the chain, or the owner's word, closes by now.
    fn settled(&self, live: &Live) -> Slots {
        let statement = &live.session.statement;
        let mut settled = Slots::default();
        let Some(engine) = self.side_engine() else {
            return settled;
        };
        for u in &live.unsettled {
            let session = SessionRef {
                card: statement.card,
                n: u.n,
            };
            let terminal = self.terminal_by_prefix(&u.terminal);
            let own = u.terminal == statement.terminal.0[..8];
            let closed = terminal.is_some_and(|t| engine.is_closed(&session, &t).unwrap_or(false));
            if closed && !own {
                settled = settled.with(u.slot);
            }
        }
        settled
    }

    /// PUT HEAD: the card carries the newest head on, and settles what the chain closes. Where that fails, everybody is told:
    /// the vault is as it should be, the card is not.
    pub async fn put_head(&self, closing: bool) -> Option<Reason> {
        let told = self.try_put_head(closing).await;
        let reason = told.as_ref().err().map(|cause| {
            tracing::warn!(code = %cause.code, "{}", cause.sentence);
            Reason::new(
                Code::CardNotTold,
                format!(
                    "the card was not told of the newest state ({}); its next session makes up for that",
                    cause.sentence
                ),
            )
        });
        self.emit(Event::CardTold(reason.clone()));
        reason
    }

    /// Before a session is closed: where the card forgot it, since another program reset the card or selected an applet on it,
    /// it is opened anew, with the PIN. Where that is not given the rest is uploaded all the same, and the card not told.
    pub(super) async fn mend_card_session(self: &Arc<Self>) {
        let forgotten = match self.try_put_head(false).await {
            Ok(()) => return self.emit(Event::CardTold(None)),
            Err(reason) => !matches!(
                reason.code,
                Code::CardBusy | Code::CardRemoved | Code::Store
            ),
        };
        let session = self
            .live()
            .as_ref()
            .map(|l| (l.reader.clone(), l.session.statement.card));
        let Some((reader, card)) = session.filter(|_| forgotten) else {
            return;
        };
        match self.try_open(&reader, card, Opens::Again).await {
            Ok(_) => tracing::info!("the card had forgotten the session; it is open anew"),
            Err(error) => tracing::warn!(?error, "the card has forgotten the session"),
        }
    }

    async fn try_put_head(&self, closing: bool) -> Result<(), Reason> {
        let (reader, token, record, mut settle, statement) = match &*self.live() {
            Some(l) => (
                l.reader.clone(),
                l.token.clone(),
                l.record,
                self.settled(l),
                l.session.statement.clone(),
            ),
            None => return Ok(()),
        };
        let (steps, w) = self
            .steps_for(record.as_ref())
            .map_err(|e| engine_reason(&e))?;
        let Some(w) = w else {
            return Ok(());
        };
        if closing {
            let own = self.own_slot(&reader, &statement).await?;
            settle = own.map_or(settle, |s| settle.with(s));
        }
        let new = record_of(&w, closing);
        self.card
            .run(&reader, CARD_DEADLINE, move |card| {
                card_ops::put_head(card, &token, &steps, &new, settle)
            })
            .await
            .map_err(|e| card_reason(&e))?;
        if let Some(live) = &mut *self.live() {
            live.record = Some(new);
            live.head_put = Some(Instant::now());
            live.head_known = (w.sequence, w.list_number);
            live.unsettled.retain(|u| !settle.contains(u.slot));
        }
        Ok(())
    }

    /// Before a PIN is typed for something else in the middle of a session: the card tells the slot, which the session is closed
    /// by, only while the PIN is verified. A wrong PIN ends that, and so does a new one.
    pub(super) async fn note_own_slot(&self, reader: &str) {
        let session = self.live().as_ref().map(|l| l.session.statement.clone());
        if let Some(statement) = session.filter(|_| self.is_in_session(reader))
            && let Err(why) = self.own_slot(reader, &statement).await
        {
            tracing::info!(code = %why.code, "{}", why.sentence);
        }
    }

    async fn own_slot(
        &self,
        reader: &str,
        statement: &SessionStatement,
    ) -> Result<Option<Slot>, Reason> {
        if let Some(known) = self.live().as_ref().and_then(|l| l.own_slot) {
            return Ok(Some(known));
        }
        let own = self
            .card
            .run(reader, CARD_DEADLINE, move |card| {
                let mut applet = card_ops::transaction(card)?;
                Ok(applet.unsettled_sessions()?)
            })
            .await
            .map_err(|e| card_reason(&e))?;
        let own = own
            .iter()
            .find(|u| u.terminal == statement.terminal.0[..8] && u.n <= statement.n)
            .map(|u| u.slot);
        if let Some(live) = &mut *self.live()
            && live.session.statement == *statement
        {
            live.own_slot = own;
        }
        Ok(own)
    }

    /// What leads a card up from its record to the newest commit, and that; none before the first commit.
    fn steps_for(
        &self,
        record: Option<&HeadRecord>,
    ) -> Result<(Vec<HeadRecord>, Option<Witness>), EngineError> {
        let before = witness_of(record);
        let chain = self.stored(|s| s.links_from(before.sequence))?;
        let mut at = before;
        let mut steps = Vec::new();
        let first = || head::first_step(&chain);
        let mut next = record.map_or_else(first, |_| head::step_up(&at, &chain));
        while let Some(step) = next {
            steps.push(record_of(&step, false));
            at = step;
            next = head::step_up(&at, &chain);
        }
        let newest = chain.last().map(Witness::from);
        if newest == Some(at) {
            // It is put by itself, with the slots.
            steps.pop();
        }
        Ok((steps, newest))
    }

    /// The terminal whose ID begins with these bytes, among all that key objects ever named.
    pub fn terminal_by_prefix(&self, prefix: &[u8; 8]) -> Option<TerminalId> {
        let objects = self.stored(|s| s.key_objects()).ok()?;
        objects
            .iter()
            .rev()
            .flat_map(|o| &o.body.terminals)
            .map(simsync_vault::keyobject::TerminalEntry::id)
            .find(|id| id.0[..8] == *prefix)
    }

    /// Seals what is left of the newest session that ended.
    pub fn start_tail(self: Arc<Self>) {
        tokio::spawn(async move {
            let work = Work::Tail;
            let Some(engine) = self.new_engine() else {
                return self.emit(Event::WorkEnded {
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
            self.mark("tail-made");
            self.tell_outstanding();
            self.emit(Event::WorkEnded { work, outcome });
        });
    }

    fn make_tails(&self, engine: &crate::engine::Engine) -> Result<(), EngineError> {
        let sessions = self.stored(|s| s.own_sessions())?;
        // The newest session's tail holds everything that earlier ones left, too.
        let begun = self.session_begun();
        let newest = sessions
            .iter()
            .filter(|s| Some(s.session()) != begun)
            .max_by_key(|s| s.statement.n);
        if let Some(s) = newest.filter(|s| s.tail.is_none()) {
            let report = engine.make_tail(&s.statement, &self.paths.outbox)?;
            self.note_tail(&report);
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
            let _one = self.delivering.lock().await;
            let delivered = match self.tails_waiting() {
                Ok(false) => Ok(()),
                Ok(true) => self.try_deliver().await,
                Err(e) => Err(Reason::new(Code::Store, e.to_string())),
            };
            if let Err(reason) = &delivered {
                tracing::info!(code = %reason.code, "tails wait: {}", reason.sentence);
            }
            self.emit(Event::TailsDelivered(delivered.is_ok()));
        });
    }

    async fn try_deliver(&self) -> Result<(), Reason> {
        let (_, pairing) = self.pairing()?;
        let engine = self.side_engine().ok_or_else(|| {
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
