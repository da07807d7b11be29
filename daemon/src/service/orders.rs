//! What the user orders, run as work.

use simsync_codes::Code;
use std::collections::BTreeMap;
use std::sync::Arc;

use simsync_vault::commit::SessionRef;

use super::Ctx;
use crate::api::{Caller, Failure, JobControl, Order, SecretKind};
use crate::core::{CardPhase, Event, Outcome, SessionPhase, State, Work, leaving};
use crate::engine::{Answer, Answers, EngineError, SyncOptions, SyncReport};
use crate::person::on_behalf;
use crate::reasons::{card_reason, server_reason};
use crate::reasons::{engine_reason, outcome_of};
use crate::session::card_ops::CARD_DEADLINE;
use crate::session::{self, card_ops};
use crate::works::JobHandle;

pub(super) type Done = Result<BTreeMap<String, String>, Failure>;

/// The job's kind.
pub fn kind(order: &Order) -> &'static str {
    match order {
        Order::Unlock => "unlock",
        Order::Pair { .. } => "pair",
        Order::Unpair => "unpair",
        Order::ForgetPairing => "forget-pairing",
        Order::Sync { .. } => "sync",
        Order::Eject => "eject",
        Order::AddCollection { .. } => "add-collection",
        Order::AnswerCollection { .. } => "answer-collection",
        Order::RemoveCollection { .. } => "remove-collection",
        Order::ChangeCardPin => "change-card-pin",
        Order::ChangeTerminalPin => "change-terminal-pin",
        Order::Forget { .. } => "forget",
        Order::AddCard => "add-card",
        Order::ConfirmServer { .. } => "confirm-server",
        Order::AcceptRestored => "accept-restored",
        Order::RemoveCard { .. } => "remove-card",
        Order::RemoveTerminal { .. } => "remove-terminal",
    }
}

/// What can be refused before anything starts.
pub fn admissible(order: &Order, state: &State) -> Result<(), Failure> {
    let has_card = state.readers.values().any(Option::is_some);
    let need_card = || {
        if has_card {
            Ok(())
        } else if state.readers.is_empty() {
            Err(Failure::new(
                Code::NoReader,
                "no card reader is connected; plug one in",
            ))
        } else {
            Err(Failure::new(Code::NoCard, "no card is in; put it in"))
        }
    };
    let need_pairing = || {
        if state.paired {
            Ok(())
        } else {
            Err(Failure::new(
                Code::NotPaired,
                "this terminal is not paired; put a card in and run `simsync pair`",
            ))
        }
    };
    let need_session = || match &state.session {
        SessionPhase::Open {
            read_only: Some(r), ..
        } => Err(Failure::from(r.clone())),
        SessionPhase::Open { .. } => Ok(()),
        _ => {
            need_pairing()?;
            need_card()?;
            let foreign = !state
                .readers
                .values()
                .flatten()
                .any(|c| matches!(c, CardPhase::Paired { .. }));
            Err(if foreign {
                Failure::new(
                    Code::CardNotPaired,
                    "not paired with this card; put yours in",
                )
            } else {
                Failure::new(
                    Code::Locked,
                    "no session is open; run `simsync unlock` and give the PIN",
                )
            })
        }
    };
    match order {
        Order::Unlock if state.leaving => Err(leaving().into()),
        Order::Unlock => {
            need_pairing()?;
            need_card()
        }
        Order::ForgetPairing => need_pairing(),
        // Begun before: no session opens any more, and none is needed.
        Order::Unpair if state.leaving => need_card(),
        // The new card is read; or, if all cards in are known, one of them signs.
        Order::AddCard => {
            need_pairing()?;
            need_card()?;
            let cards = state.readers.values().flatten();
            if cards.into_iter().any(|c| *c == CardPhase::Unpaired) {
                Ok(())
            } else {
                need_session()
            }
        }
        Order::Pair { .. } | Order::ChangeCardPin => need_card(),
        Order::ChangeTerminalPin => need_pairing(),
        Order::ConfirmServer { to } => {
            need_pairing()?;
            if state.server_moves.as_ref() == Some(to) {
                Ok(())
            } else {
                Err(Failure::new(
                    Code::NoServerMove,
                    "the server announces no such move; `simsync server show` tells what it announces",
                ))
            }
        }
        Order::AcceptRestored => match &state.session {
            SessionPhase::Open {
                read_only: Some(r), ..
            } if r.code != Code::RecordUnproven => Err(Failure::from(r.clone())),
            SessionPhase::Open { read_only, .. } => {
                if read_only.is_some() || state.card_untold.is_some() {
                    Ok(())
                } else {
                    Err(Failure::new(
                        Code::NothingToAccept,
                        "the card's record and the server agree; there is nothing to accept",
                    ))
                }
            }
            _ => need_session(),
        },
        Order::Unpair
        | Order::Sync { .. }
        | Order::Eject
        | Order::AddCollection { .. }
        | Order::AnswerCollection { .. }
        | Order::RemoveCollection { .. }
        | Order::RemoveCard { .. }
        | Order::RemoveTerminal { .. }
        | Order::Forget { .. } => need_session(),
    }
}

/// Orders that can be cancelled where they wait for a person, and go on to their end otherwise.
fn waits_for_persons_only(order: &Order) -> bool {
    match order {
        Order::Unlock
        | Order::Pair { .. }
        | Order::ForgetPairing
        | Order::ChangeCardPin
        | Order::ChangeTerminalPin
        | Order::Forget { .. }
        | Order::AddCard
        | Order::AcceptRestored
        | Order::RemoveCard { .. }
        | Order::ConfirmServer { .. }
        | Order::RemoveTerminal { .. } => true,
        Order::Unpair
        | Order::Sync { .. }
        | Order::Eject
        | Order::AddCollection { .. }
        | Order::AnswerCollection { .. }
        | Order::RemoveCollection { .. } => false,
    }
}

impl Ctx {
    /// Runs an order as work.
    pub fn start_order(self: Arc<Self>, id: u64, order: Order, job: JobHandle, by: Option<Caller>) {
        let mut given_up = self.works.given_up();
        // From here on: a removal before the first question counts, too.
        let stops = self.works.stops();
        tokio::spawn(async move {
            let syncs = matches!(
                order,
                Order::Sync { .. } | Order::Eject | Order::AnswerCollection { .. }
            );
            // The others listen themselves, where they sync.
            let mut is_steered = waits_for_persons_only(&order);
            let work = on_behalf(by, stops, self.run_order(order, &job));
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
                work: Work::Order(id),
                outcome,
            });
        });
    }

    pub(super) async fn run_order(
        self: &Arc<Self>,
        order: Order,
        job: &JobHandle,
    ) -> Result<BTreeMap<String, String>, (Failure, Outcome)> {
        // What one caller typed wrong, or did not want after all, is nobody else's error.
        let plain = |r: Done| r.map_err(|f| (f, Outcome::Aside));
        let engine = |r: Result<SyncReport, EngineError>| match r {
            Ok(report) => Ok(report_values(&report)),
            Err(e @ EngineError::Declined) => Err((engine_reason(&e).into(), Outcome::Aside)),
            Err(e) => Err((Failure::from(engine_reason(&e)), outcome_of(&e))),
        };
        match order {
            Order::Unlock => Ok(BTreeMap::new()),
            Order::Pair { label } => plain(match self.sessions.any_card() {
                Ok(reader) => self.pair(&reader, &label).await,
                Err(f) => Err(f),
            }),
            Order::Unpair => plain(self.unpair(job).await),
            Order::ForgetPairing => plain(self.forget_here().await),
            Order::Sync {
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
                engine(self.run_sync(options, Some(job)).await)
            }
            Order::Eject => {
                let options = SyncOptions {
                    closing: true,
                    // What was not reviewed is not taken; it is there at the next session.
                    upload_only: self.config.confirm_downloads,
                    ..SyncOptions::default()
                };
                self.mend_card_session().await;
                let result = engine(self.run_sync(options, Some(job)).await)?;
                self.events.emit(Event::SessionClosed);
                Ok(result)
            }
            Order::AddCollection {
                attribute,
                name,
                path,
            } => plain(self.add_collection(&attribute, &name, &path, job).await),
            Order::AnswerCollection {
                collection,
                deleted,
                question,
            } => {
                let (id, asked) = match self.asked(&collection, deleted, &question) {
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
                engine(self.run_sync(options, Some(job)).await)
            }
            Order::RemoveCollection { collection } => {
                plain(self.remove_collection(&collection, job).await)
            }
            Order::ChangeCardPin => plain(self.change_card_pin().await),
            Order::ChangeTerminalPin => plain(self.change_terminal_pin().await),
            Order::Forget { terminal } => plain(self.forget(&terminal).await),
            Order::AddCard => plain(self.add_card().await),
            Order::ConfirmServer { to } => plain(self.confirm_server(&to)),
            Order::AcceptRestored => plain(self.accept_restored().await),
            Order::RemoveCard { card } => plain(self.remove_card(&card).await),
            Order::RemoveTerminal { terminal } => plain(self.remove_terminal(&terminal).await),
        }
    }

    pub(super) async fn change_card_pin(&self) -> Done {
        let reader = self.sessions.any_card()?;
        let (due, tries) = if self.sessions.is_in_session(&reader) {
            // A PIN that opened it is not due.
            (false, None)
        } else {
            let selected = self
                .sessions
                .card()
                .run(&reader, CARD_DEADLINE, card_ops::look)
                .await
                .map_err(|e| card_reason(&e))?
                .ok_or_else(|| {
                    Failure::new(
                        Code::NoApplet,
                        "the card in this reader is not a simsync card",
                    )
                })?;
            (selected.pin_due, Some(selected.pin_tries))
        };
        let pad = self.pins.pin_pad(&reader);
        if !due
            && let Some(pad) = pad
            && self.pins.change_on_pad(&reader, pad, tries).await?
        {
            return Ok(BTreeMap::new());
        }
        let hint = pad.and_then(|pad| session::hint(&pad, due));
        let old = self.pins.right_card_pin(&reader, tries, hint).await?;
        if due {
            self.first_pin_change(&reader, old).await?;
        } else {
            let new = self
                .pins
                .ask_card_pin(SecretKind::NewCardPin, None, false, &reader)
                .await?;
            self.sessions
                .card()
                .run(&reader, CARD_DEADLINE, move |card| {
                    let mut applet = card_ops::ours(card)?;
                    Ok(applet.change_pin(&old, &new)?)
                })
                .await
                .map_err(|e| card_reason(&e))?;
        }
        Ok(BTreeMap::new())
    }

    pub(super) async fn change_terminal_pin(&self) -> Done {
        let mut terminal = self
            .identity
            .terminal()
            .ok_or_else(|| Failure::new(Code::NotPaired, "this terminal is not paired"))?;
        let key = self.person.unseal_asking(&terminal).await?;
        let new = self
            .person
            .ask(SecretKind::NewTerminalPin, None, false, None)
            .await?;
        let (resealed, result) = tokio::task::spawn_blocking(move || {
            let r = terminal.reseal(&key, &new, &mut crate::engine::fresh_rng());
            (terminal, r)
        })
        .await
        .map_err(|_| Failure::new(Code::Internal, "sealing failed"))?;
        result.map_err(|e| Failure::new(Code::TerminalPinShort, e.to_string()))?;
        self.identity
            .update_terminal(|t| t.key = resealed.key)
            .map_err(|e| Failure::new(Code::CannotWrite, e.to_string()))?;
        Ok(BTreeMap::new())
    }

    /// Stops waiting for what a terminal had not uploaded.
    pub(super) async fn forget(&self, which: &str) -> Done {
        let live = self.sessions.needed()?;
        let (session, unsettled) = (live.session, live.unsettled);
        let objects = self
            .database
            .stored(|s| s.key_objects())
            .map_err(|e| Failure::new(Code::Store, e.to_string()))?;
        let matches = |t: &simsync_vault::keyobject::TerminalEntry| {
            t.label == which || (which.len() >= 4 && t.id().to_string().starts_with(which))
        };
        let found: Vec<_> = unsettled
            .iter()
            .filter(|u| {
                objects
                    .iter()
                    .flat_map(|o| &o.body.terminals)
                    .any(|t| t.id().0[..8] == u.terminal && matches(t))
            })
            .copied()
            .collect();
        if found.is_empty() {
            return Err(Failure::new(
                Code::NoSuchTerminal,
                format!(
                    "no unfinished upload of {which} is waited for; `simsync terminals list` shows which are"
                ),
            ));
        }
        let sessions: Vec<SessionRef> = found
            .iter()
            .map(|u| SessionRef {
                card: session.statement.card,
                n: u.n,
            })
            .collect();
        session
            .conn
            .forget(sessions.clone())
            .await
            .map_err(|e| server_reason(&e))?;
        for s in &sessions {
            self.database
                .stored(|store| store.set_forgotten(s))
                .map_err(|e| Failure::new(Code::Store, e.to_string()))?;
        }
        self.head.put_head(false).await;
        Ok(BTreeMap::from([(
            "sessions".to_owned(),
            sessions.len().to_string(),
        )]))
    }
}

pub(super) fn report_values(r: &SyncReport) -> BTreeMap<String, String> {
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
