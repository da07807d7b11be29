//! The head record on the card: it carries the newest head on, and settles what the vault closed.

use std::sync::Arc;
use std::time::Duration;

use simsync_card::client::{HeadRecord, Slots};
use simsync_codes::Code;
use simsync_vault::commit::SessionRef;
use simsync_vault::head::{self, Link, Witness};

use super::card_ops::{self, CARD_DEADLINE};
use super::sessions::{CardSessions, OpenSession};
use crate::api::Reason;
use crate::database::Database;
use crate::engines::Engines;
use crate::events::Events;
use crate::reasons::{card_reason, engine_reason};
use crate::rules::Event;

/// A witness as a card's record; `closed`: the session that puts it ends in good order.
pub fn record_of(w: &Witness, closed: bool) -> HeadRecord {
    HeadRecord {
        epoch: w.epoch,
        sequence: w.sequence,
        head: w.head,
        list_number: w.list_number,
        list_hash: w.list_hash,
        closed,
    }
}

/// The card's record as a witness.
pub fn witness_of(record: Option<&HeadRecord>) -> Witness {
    record.map_or(Witness::EMPTY, |h| Witness {
        epoch: h.epoch,
        sequence: h.sequence,
        head: h.head,
        list_number: h.list_number,
        list_hash: h.list_hash,
    })
}

/// Tells the card of the session about the vault's newest state.
pub struct CardHead {
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) engines: Arc<Engines>,
    pub(crate) database: Arc<Database>,
    pub(crate) events: Events,
    /// The card is told no oftener, but for what must not wait: its memory wears out.
    pub(crate) interval: Duration,
}

impl CardHead {
    /// Whether the card is to be told now: it does not know the newest list, or has waited long enough, or slots are to be settled.
    pub fn is_due(&self) -> bool {
        let Ok(witness) = self.database.stored(|s| s.witness()) else {
            return false;
        };
        self.sessions.live().is_some_and(|l| {
            let moved = l.head_known != (witness.sequence, witness.list_number);
            let list_moved = l.head_known.1 != witness.list_number;
            let rested = l.head_put.is_none_or(|t| t.elapsed() >= self.interval);
            (moved && (rested || list_moved)) || self.settled(&l) != Slots::default()
        })
    }

    /// Slots of other terminals whose sessions the chain, or the owner's word, closes by now.
    fn settled(&self, live: &OpenSession) -> Slots {
        let statement = &live.session.statement;
        let mut settled = Slots::default();
        let Some(engine) = self.engines.side_engine() else {
            return settled;
        };
        for u in &live.unsettled {
            let session = SessionRef {
                card: statement.card,
                n: u.n,
            };
            let terminal = self.database.terminal_by_prefix(&u.terminal);
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
        self.events.emit(Event::CardTold(reason.clone()));
        reason
    }

    /// The same, told to nobody.
    pub async fn try_put_head(&self, closing: bool) -> Result<(), Reason> {
        let Some(live) = self.sessions.live() else {
            return Ok(());
        };
        let (reader, token, statement) = (
            live.reader.clone(),
            live.token.clone(),
            &live.session.statement,
        );
        let mut settle = self.settled(&live);
        let record = live.record.as_ref();
        let chain = self
            .database
            .stored(|s| s.links_from(witness_of(record).sequence))
            .map_err(|e| engine_reason(&e.into()))?;
        let (steps, w) = steps_up(record, &chain);
        let Some(w) = w else {
            return Ok(());
        };
        if closing {
            let own = self.sessions.own_slot(&reader, statement).await?;
            settle = own.map_or(settle, |s| settle.with(s));
        }
        let new = record_of(&w, closing);
        self.sessions
            .card()
            .run(&reader, CARD_DEADLINE, move |card| {
                card_ops::put_head(card, &token, &steps, &new, settle)
            })
            .await
            .map_err(|e| card_reason(&e))?;
        self.sessions.head_is_put(new, settle);
        Ok(())
    }
}

/// What leads a card up from its record to the newest commit, and that; none before the first commit. `chain`: from the record's
/// commit on.
pub fn steps_up(record: Option<&HeadRecord>, chain: &[Link]) -> (Vec<HeadRecord>, Option<Witness>) {
    let before = witness_of(record);
    let mut at = before;
    let mut steps = Vec::new();
    let first = || head::first_step(chain);
    let mut next = record.map_or_else(first, |_| head::step_up(&at, chain));
    while let Some(step) = next {
        steps.push(record_of(&step, false));
        at = step;
        next = head::step_up(&at, chain);
    }
    let newest = chain.last().map(Witness::from);
    if newest == Some(at) {
        // It is put by itself, with the slots.
        steps.pop();
    }
    (steps, newest)
}
