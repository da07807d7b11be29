//! Sealed tails go to the server.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use simsync_protocol::api::SessionState;
use simsync_protocol::client::Connection;
use simsync_protocol::problem::Code;
use simsync_vault::commit::{PackRef, SessionRef};
use simsync_vault::ids::CollectionId;
use simsync_vault::item::{item_hash, split_items};
use simsync_vault::tail::Tail;

use super::builder::pack_file;
use crate::engine::EngineError;
use crate::engine::clock::now_ms;
use crate::engine::vault::pack_cache::read_whole;
use crate::engine::wire::Wire;
use crate::outstanding::{Producer, Report, Unsynced};
use crate::store::{OwnSession, Store};

/// Brings sealed tails to the server.
pub struct Deliveries {
    store: Arc<Store>,
    wire: Wire,
}

impl Deliveries {
    /// Those that this database names, over this wire.
    pub fn new(store: Arc<Store>, wire: Wire) -> Self {
        Self { store, wire }
    }

    /// Delivers every tail that waits. By certificate alone: the tail's own statement is the proof. One that cannot be
    /// delivered holds up no other: the first reason is the answer, after all were tried.
    pub fn deliver_tails(&self, conn: &Connection, outbox: &Path) -> Result<usize, EngineError> {
        let mut delivered = 0;
        let mut first_error = None;
        for own in self.store.own_sessions()? {
            let Some(signed) = own.tail.as_ref().filter(|_| !own.delivered) else {
                continue;
            };
            let Some(tail) = read_sealed(signed, outbox) else {
                self.give_up_tail(&own, outbox)?;
                continue;
            };
            match self.deliver_tail(conn, &own, signed, &tail, outbox) {
                Ok(Delivery::Closed) => self.forget_closed(&own, &tail, outbox)?,
                Ok(Delivery::Taken) => {
                    remove_packs(&tail, outbox);
                    delivered += 1;
                }
                // The next one would fare no better.
                Err(error) if error.is_transient() || matches!(error, EngineError::Cancelled) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(%error, session = own.statement.n, "a tail cannot be delivered");
                    first_error = first_error.or(Some(error));
                }
            }
        }
        first_error.map_or(Ok(delivered), Err)
    }

    fn deliver_tail(
        &self,
        conn: &Connection,
        own: &OwnSession,
        signed: &[u8],
        tail: &Tail,
        outbox: &Path,
    ) -> Result<Delivery, EngineError> {
        conn.set_statement(Some(own.statement.clone()));
        let mut is_refused = false;
        for p in outbox_packs(tail) {
            let state = self.wire.net(conn.pack_state(p.id)).ok();
            if state.is_some_and(|s| s.complete) {
                continue;
            }
            // What the server has of it is of this very file: one that is made anew has another name.
            let received = state.map_or(0, |s| s.received);
            let gone = || EngineError::TailDamaged("this terminal".to_owned());
            let bytes = read_whole(&pack_file(outbox, &p.id), p.size).ok_or_else(gone)?;
            match self
                .wire
                .net(conn.put_pack(p.id, p.collection, Bytes::from(bytes), received))
            {
                // A session that is settled takes no pack: the server may have this very tail, and its answer was lost.
                Err(error) if error.code() == Some(Code::GrantRequired) => {
                    is_refused = true;
                    break;
                }
                other => drop(other?),
            }
        }
        let _step = simsync_failpoint::step("daemon.tail.sent");
        let answer = self.wire.net(conn.put_tail(signed.to_vec()))?;
        if is_refused && answer.state == SessionState::Closed {
            return Ok(Delivery::Closed);
        }
        self.store.set_delivered(&own.session())?;
        Ok(Delivery::Taken)
    }

    /// The session was closed by a commit of which this terminal did not hear, and the tail was never looked at. What changed
    /// after that commit is on this disk and waits for the next session here, as after any session that was closed.
    fn forget_closed(
        &self,
        own: &OwnSession,
        tail: &Tail,
        outbox: &Path,
    ) -> Result<(), EngineError> {
        let session = own.session();
        tracing::warn!(session = session.n, "closed before its tail came");
        self.name_sealed(&session, "the session was closed before this could be sent")?;
        self.store.close_session(&session)?;
        remove_packs(tail, outbox);
        Ok(())
    }

    /// What was sealed is not on this disk any more as it was signed: it would be taken by nobody, and the files that it held
    /// are here only. They are named, unless a later tail holds them too.
    fn give_up_tail(&self, own: &OwnSession, outbox: &Path) -> Result<(), EngineError> {
        let session = own.session();
        tracing::error!(session = session.n, "what was sealed is missing or damaged");
        let later = self.store.own_sessions()?.into_iter().any(|other| {
            let tail = other.tail.as_deref().map(Tail::from_bytes);
            matches!(tail, Some(Ok(t)) if t.body.replaces.contains(&session))
        });
        if !later {
            let why =
                "what was sealed of it when the card was pulled is missing or damaged on this disk";
            self.name_sealed(&session, why)?;
        }
        self.store.drop_tail(&session)?;
        if let Some(Ok(tail)) = own.tail.as_deref().map(Tail::from_bytes) {
            remove_packs(&tail, outbox);
        }
        Ok(())
    }

    /// Names every path that the tail of a session held: it waits for the next session here.
    fn name_sealed(&self, session: &SessionRef, why: &str) -> Result<(), EngineError> {
        let mut waiting: BTreeMap<_, Vec<Report>> = BTreeMap::new();
        for item in self.store.tail_items(session)? {
            let report = Report::path(Unsynced::NotSealed, &item.path, why);
            waiting.entry(item.collection).or_default().push(report);
        }
        for (pk, reports) in waiting {
            self.store
                .also_report(Producer::Tail, pk, &reports, now_ms())?;
        }
        Ok(())
    }
}

/// What became of a tail at the server.
enum Delivery {
    /// The server has it.
    Taken,
    /// The server takes nothing more of this session.
    Closed,
}

fn outbox_packs(tail: &Tail) -> impl Iterator<Item = &PackRef> {
    let packs = tail.body.packs.iter();
    packs.filter(|p| p.collection == CollectionId::OUTBOX)
}

/// A tail, if its packs are what was signed, to the last byte. One is in memory at a time.
fn read_sealed(signed: &[u8], outbox: &Path) -> Option<Tail> {
    let tail = Tail::from_bytes(signed).ok()?;
    let mut hashes = tail.body.items.iter();
    for p in outbox_packs(&tail) {
        let bytes = read_whole(&pack_file(outbox, &p.id), p.size)?;
        for sealed in split_items(&bytes).ok()? {
            if hashes.next() != Some(&item_hash(sealed)) {
                return None;
            }
        }
    }
    hashes.next().is_none().then_some(tail)
}

fn remove_packs(tail: &Tail, outbox: &Path) {
    for p in &tail.body.packs {
        let _step = simsync_failpoint::step("daemon.outbox.removed");
        let _ = std::fs::remove_file(pack_file(outbox, &p.id));
    }
}
