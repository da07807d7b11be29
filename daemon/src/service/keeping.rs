//! Keeping a session open: the card proves its presence again, on the same or on a new connection.

use super::Ctx;
use crate::api::Reason;
use crate::core::Event;
use crate::reasons::{card_reason, server_reason};
use crate::session::card_ops::{self, CARD_DEADLINE};
use crate::works::JobHandle;
use simsync_codes::{CardState, Code, State};
use simsync_protocol::api::RenewRequest;
use simsync_vault::commit::SessionRef;
use std::sync::Arc;

impl Ctx {
    /// RENEW: the card is still there.
    pub fn renew(self: Arc<Self>) {
        tokio::spawn(async move {
            if let Err(reason) = self.try_renew().await {
                tracing::info!(code = %reason.code, "{}", reason.sentence);
                // Without network, or with the card held by another program, nobody knows whether the grant ended; the
                // next connection will tell.
                if !matches!(reason.code, Code::Offline | Code::CardBusy) {
                    self.session_over(reason);
                }
            }
        });
    }

    /// Tells the rules that the session has to be opened anew.
    pub fn session_over(&self, reason: Reason) {
        self.events.emit(Event::SessionOver(reason));
    }

    /// A new proof of the card's presence, on the present connection; a lost connection is made anew.
    pub async fn try_renew(&self) -> Result<(), Reason> {
        let Some(live) = self.sessions.live() else {
            return Ok(());
        };
        let (reader, token, statement) = (live.reader, live.token, live.session.statement);
        let (_, pairing) = self.identity.pairing()?;
        let prepared = self
            .prepare(&pairing)
            .await
            .map_err(|e| server_reason(&e))?;
        let binding = prepared.binding;
        let signature = self
            .sessions
            .card()
            .run(&reader, CARD_DEADLINE, move |card| {
                card_ops::renew(card, &token, &binding)
            })
            .await
            .map_err(|e| card_reason(&e))?;
        let witness = self
            .database
            .stored(|s| s.witness())
            .map_err(|e| Reason::new(Code::Store, e.to_string()))?;
        let request = RenewRequest {
            session: SessionRef {
                card: statement.card,
                n: statement.n,
            },
            nonce: prepared.nonce,
            signature,
            known_sequence: witness.sequence,
            known_list: witness.list_number,
        };
        prepared
            .conn
            .renew(&request)
            .await
            .map_err(|e| server_reason(&e))?;
        self.sessions.is_on(prepared.conn);
        Ok(())
    }

    /// For a job that waits until the session is open, or it is clear why not.
    pub fn watch_unlock(
        self: Arc<Self>,
        job: JobHandle,
        mut status: tokio::sync::watch::Receiver<Arc<crate::api::Status>>,
    ) {
        tokio::spawn(async move {
            let id = job.id();
            self.tell_opening(job, &mut status).await;
            self.events.emit(Event::UnlockEnded(id));
        });
    }

    async fn tell_opening(
        &self,
        job: JobHandle,
        status: &mut tokio::sync::watch::Receiver<Arc<crate::api::Status>>,
    ) {
        let mut orders = self.person.unlocks();
        loop {
            // What another caller answered is no end for this one.
            if let Some(why) = orders.borrow_and_update().refusal(job.id()) {
                return job.failed(why.clone().into());
            }
            let now = status.borrow_and_update().clone();
            let looking = now.cards.iter().any(|c| c.state == CardState::Looking);
            match now.state {
                state if state == State::Opening || looking => tokio::select! {
                    changed = status.changed() => if changed.is_err() { return },
                    changed = orders.changed() => if changed.is_err() { return },
                    control = job.next_control() => {
                        if control != Some(crate::api::JobControl::Confirm) { return }
                    }
                },
                State::ReadOnly => {
                    let reason = now.reasons.first().cloned();
                    let why = reason.unwrap_or_else(|| {
                        Reason::new(Code::ServerNotTrusted, "the server is not trusted")
                    });
                    let sentence =
                        format!("the session is open for reading only: {}", why.sentence);
                    return job.failed(crate::api::Failure::new(why.code, sentence));
                }
                _ if now.session.is_some() => {
                    return job.done(std::collections::BTreeMap::new());
                }
                _ => {
                    let reason = now.reasons.first().cloned();
                    let reason = reason.unwrap_or_else(|| {
                        Reason::new(Code::NoCard, "no card of yours is in; put it in")
                    });
                    return job.failed(crate::api::Failure::new(reason.code, reason.sentence));
                }
            }
        }
    }
}
