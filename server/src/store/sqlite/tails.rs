//! Tails: taken, listed, forgotten.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::json;
use simsync_card::ids::{SubscriberId, TerminalId};
use simsync_protocol::api::{ServerEvent, SessionState};
use simsync_vault::commit::SessionRef;

use super::connection::Tx;
use super::{admin, audit, rows, sessions};
use crate::rules::forget::{self, Forgotten};
use crate::rules::tail::{Facts, Outcome, decide, state_of};
use crate::store::Result;
use crate::store::events::Notice;
use crate::store::types::{Actor, PutTail, Scope, Seconds, TailStatus};

/// Bytes of tails in one answer.
const TAILS_BUDGET: usize = 4 << 20;

/// Signed tails that no commit names, oldest first.
pub(super) fn waiting(db: &Connection, sub: &SubscriberId) -> Result<Vec<Vec<u8>>> {
    let mut q = db.prepare_cached(
        "SELECT signed FROM tails WHERE subscriber = ?1 AND status = ?2 ORDER BY at, card, n",
    )?;
    let status = rows::state_name(&TailStatus::Waiting)?;
    rows::blobs_within(&mut q.query(params![sub.as_str(), status])?, TAILS_BUDGET)
}

pub(super) fn one(
    db: &Connection,
    sub: &SubscriberId,
    session: &SessionRef,
) -> Result<Option<(Vec<u8>, SessionState)>> {
    let mut q = db.prepare_cached(
        "SELECT signed, status FROM tails WHERE subscriber = ?1 AND card = ?2 AND n = ?3",
    )?;
    let found: Option<(Vec<u8>, TailStatus)> = q
        .query_row(params![sub.as_str(), session.card.0, session.n], |r| {
            Ok((r.get(0)?, rows::state(r, 1)?))
        })
        .optional()?;
    Ok(found.map(|(signed, status)| (signed, state_of(status))))
}

pub(super) fn put(tx: &Tx<'_>, p: &PutTail) -> Result<SessionState> {
    let facts = gather(tx, p)?;
    let (status, state) = match decide(&p.tail, &facts)? {
        Outcome::Known(state) => return Ok(state),
        Outcome::Keep(status, state) => (status, state),
    };
    let (sub, session) = (&p.subscriber, p.tail.session());
    tx.prepare_cached("INSERT INTO tails VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, NULL)")?
        .execute(params![
            sub.as_str(),
            session.card.0,
            session.n,
            p.terminal.0,
            p.tail.hash().0,
            p.tail.to_bytes(),
            rows::to_json(&p.tail.body.replaces)?,
            rows::state_name(&status)?,
            p.now
        ])?;
    if facts.session.is_none() {
        let statement = &p.tail.body.session;
        sessions::insert(tx, sub, statement, state, Scope::Nothing, p.now)?;
        sessions::count_up(tx, sub, &session.card, session.n)?;
    } else {
        sessions::set_state(tx, sub, &session, state)?;
        sessions::set_scope(tx, sub, &session, Scope::Nothing)?;
    }
    touch_packs(tx, p)?;
    if status == TailStatus::Quarantined {
        let detail = json!({ "card": session.card, "n": session.n });
        audit::note(
            tx,
            sub,
            Actor::Terminal(p.terminal),
            "tail-quarantined",
            detail,
            p.now,
        )?;
    } else {
        let event = ServerEvent::TailDelivered {
            session,
            terminal: p.terminal,
        };
        tx.publish(sub, Notice::All(event));
    }
    Ok(state)
}

fn gather(tx: &Tx<'_>, p: &PutTail) -> Result<Facts> {
    let (sub, tail, session) = (&p.subscriber, &p.tail, p.tail.session());
    let chain = rows::chain(tx, sub)?;
    let known = rows::session(tx, sub, &session)?;
    let list = admin::newest_key_object(tx, sub)?;
    let mut facts = Facts {
        vault: chain.vault.zip(chain.head.map(|h| h.epoch)),
        card: rows::card(tx, sub, &session.card)?,
        terminal: rows::terminal(tx, sub, &p.terminal)?,
        paired: rows::paired(tx, sub, &session.card, &p.terminal)?,
        existing: rows::tail(tx, sub, &session)?,
        session: known.as_ref().map(|s| s.state),
        session_is_own: known.is_some_and(|s| s.terminal == p.terminal),
        collections: list
            .and_then(|k| k.body.terminal(&p.terminal).map(|t| t.collections.clone()))
            .unwrap_or_default(),
        ..Facts::default()
    };
    for pack in &tail.body.packs {
        facts
            .packs
            .extend(rows::pack(tx, sub, &pack.id)?.map(|row| (pack.id, row)));
    }
    for earlier in &tail.body.replaces {
        facts
            .replaced
            .extend(rows::tail(tx, sub, earlier)?.map(|row| (*earlier, row)));
    }
    Ok(facts)
}

fn touch_packs(tx: &Tx<'_>, p: &PutTail) -> Result<()> {
    let mut touch =
        tx.prepare_cached("UPDATE packs SET touched = ?3 WHERE subscriber = ?1 AND pack = ?2")?;
    for pack in &p.tail.body.packs {
        touch.execute(params![p.subscriber.as_str(), pack.id.0, p.now])?;
    }
    Ok(())
}

pub(super) fn forget(
    tx: &Tx<'_>,
    sub: &SubscriberId,
    list: &[SessionRef],
    by: TerminalId,
    now: Seconds,
) -> Result<()> {
    let mut states = HashMap::new();
    for session in list {
        states.extend(rows::session(tx, sub, session)?.map(|row| (*session, row.state)));
    }
    for Forgotten { session, tail } in forget::decide(list, &states)? {
        if tail {
            give_up(tx, sub, &session)?;
        }
        sessions::set_state(tx, sub, &session, SessionState::Forgotten)?;
        let detail = json!({ "card": session.card, "n": session.n });
        audit::note(
            tx,
            sub,
            Actor::Terminal(by),
            "session-forgotten",
            detail,
            now,
        )?;
    }
    Ok(())
}

fn give_up(tx: &Tx<'_>, sub: &SubscriberId, session: &SessionRef) -> Result<()> {
    tx.prepare_cached(
        "UPDATE tails SET status = ?4 WHERE subscriber = ?1 AND card = ?2 AND n = ?3",
    )?
    .execute(params![
        sub.as_str(),
        session.card.0,
        session.n,
        rows::state_name(&TailStatus::Forgotten)?
    ])?;
    Ok(())
}
