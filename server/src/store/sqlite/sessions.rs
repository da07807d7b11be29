//! Sessions and their grants.

use rusqlite::{Connection, OptionalExtension as _, params};
use simsync_card::ids::{CardId, Hash, SubscriberId, TerminalId};
use simsync_protocol::api::{SessionInfo, SessionState};
use simsync_protocol::problem::Code;
use simsync_vault::commit::SessionRef;
use simsync_vault::statement::SessionStatement;

use super::{Tx, commits, rows, tails};
use crate::store::types::{
    GrantRow, KeyState, Known, NewGrant, OpenSession, RenewSession, Scope, Seconds, SessionView,
};
use crate::store::{Result, StoreError};

pub(super) fn open(tx: &Tx<'_>, p: &OpenSession) -> Result<SessionView> {
    let s = &p.statement;
    check_card(tx, &p.subscriber, &s.card, &s.terminal)?;
    let card = rows::card(tx, &p.subscriber, &s.card)?;
    let last = card.map_or(0, |c| c.last_n);
    if s.n <= last {
        return Err(StoreError::refuse(
            Code::SessionNumberUsed,
            format!(
                "session {} of this card is not above the last one, {last}: ask the card for another session",
                s.n
            ),
        ));
    }
    insert(tx, &p.subscriber, s, SessionState::Open, Scope::Full, p.now)?;
    count_up(tx, &p.subscriber, &s.card, s.n)?;
    let session = SessionRef {
        card: s.card,
        n: s.n,
    };
    set_grant(tx, &p.subscriber, &session, &p.grant)?;
    view(tx, &p.subscriber, &s.card, p.known)
}

/// The card's newest number; never down.
pub(super) fn count_up(tx: &Tx<'_>, sub: &SubscriberId, card: &CardId, n: u32) -> Result<()> {
    tx.prepare_cached(
        "UPDATE cards SET last_n = max(last_n, ?3) WHERE subscriber = ?1 AND card = ?2",
    )?
    .execute(params![sub.as_str(), card.0, n])?;
    Ok(())
}

pub(super) fn insert(
    tx: &Tx<'_>,
    sub: &SubscriberId,
    s: &SessionStatement,
    state: SessionState,
    scope: Scope,
    now: Seconds,
) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO sessions (subscriber, card, n, terminal, statement, state, opened, scope)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        sub.as_str(),
        s.card.0,
        s.n,
        s.terminal.0,
        rows::to_json(s)?,
        rows::state_name(&state)?,
        now,
        rows::state_name(&scope)?
    ])?;
    Ok(())
}

pub(super) fn set_state(
    tx: &Tx<'_>,
    sub: &SubscriberId,
    session: &SessionRef,
    state: SessionState,
) -> Result<()> {
    tx.prepare_cached(
        "UPDATE sessions SET state = ?4 WHERE subscriber = ?1 AND card = ?2 AND n = ?3",
    )?
    .execute(params![
        sub.as_str(),
        session.card.0,
        session.n,
        rows::state_name(&state)?
    ])?;
    Ok(())
}

fn set_grant(tx: &Tx<'_>, sub: &SubscriberId, session: &SessionRef, g: &NewGrant) -> Result<()> {
    tx.prepare_cached(
        "UPDATE sessions SET grant_hash = ?4, connection = ?5, certificate = ?6, expires = ?7
         WHERE subscriber = ?1 AND card = ?2 AND n = ?3",
    )?
    .execute(params![
        sub.as_str(),
        session.card.0,
        session.n,
        g.hash.0,
        g.connection.0,
        g.certificate.0,
        g.expires
    ])?;
    Ok(())
}

/// M9: subscriber, card and terminal belong together, and none of them is revoked.
fn check_card(tx: &Tx<'_>, sub: &SubscriberId, card: &CardId, terminal: &TerminalId) -> Result<()> {
    match rows::card(tx, sub, card)? {
        None => {
            return Err(StoreError::refuse(
                Code::CardMismatch,
                "the card is not one of this subscriber",
            ));
        }
        Some(c) if c.state == KeyState::Revoked => {
            return Err(StoreError::refuse(
                Code::CardRevoked,
                "this card was revoked",
            ));
        }
        Some(_) => {}
    }
    match rows::terminal(tx, sub, terminal)? {
        Some(t) if t.state == KeyState::Active && rows::paired(tx, sub, card, terminal)? => Ok(()),
        Some(t) if t.state == KeyState::Revoked => Err(StoreError::refuse(
            Code::TerminalRevoked,
            "this terminal was revoked",
        )),
        _ => Err(StoreError::refuse(
            Code::NotPaired,
            "this terminal is not paired with this card: run `simsync pair`",
        )),
    }
}

pub(super) fn renew(tx: &Tx<'_>, p: &RenewSession) -> Result<SessionView> {
    check_card(tx, &p.subscriber, &p.session.card, &p.terminal)?;
    let ended = || {
        StoreError::refuse(
            Code::GrantRequired,
            "this session has ended and cannot be renewed: open another one",
        )
    };
    let row = rows::session(tx, &p.subscriber, &p.session)?.ok_or_else(ended)?;
    if row.terminal != p.terminal {
        return Err(ended());
    }
    let card = rows::card(tx, &p.subscriber, &p.session.card)?;
    if card.is_none_or(|c| c.last_n != p.session.n) {
        return Err(superseded());
    }
    if row.scope != Scope::Full {
        return Err(StoreError::refuse(
            Code::GrantNarrowed,
            "this session was narrowed and is never widened again: open another one",
        ));
    }
    let expires: Option<u64> = tx
        .prepare_cached(
            "SELECT expires FROM sessions WHERE subscriber = ?1 AND card = ?2 AND n = ?3",
        )?
        .query_row(
            params![p.subscriber.as_str(), p.session.card.0, p.session.n],
            |r| r.get(0),
        )?;
    if row.state != SessionState::Open || expires.is_none_or(|e| e <= p.now) {
        return Err(ended());
    }
    set_grant(tx, &p.subscriber, &p.session, &p.grant)?;
    view(tx, &p.subscriber, &p.session.card, p.known)
}

pub(super) fn superseded() -> StoreError {
    StoreError::refuse(
        Code::SessionSuperseded,
        "the card has opened a newer session since: deliver what is left as a tail, or open a session again",
    )
}

pub(super) fn grant(db: &Connection, sub: &SubscriberId, grant: &Hash) -> Result<Option<GrantRow>> {
    let mut q = db.prepare_cached(
        "SELECT s.card, s.n, s.terminal, s.connection, s.certificate, s.expires, s.scope, c.last_n, c.state
         FROM sessions s JOIN cards c USING (subscriber, card)
         WHERE s.subscriber = ?1 AND s.grant_hash = ?2",
    )?;
    let found = q
        .query_row(params![sub.as_str(), grant.0], |r| {
            Ok(GrantRow {
                session: SessionRef {
                    card: rows::id(r, 0)?,
                    n: r.get(1)?,
                },
                terminal: rows::id(r, 2)?,
                connection: rows::id(r, 3)?,
                certificate: rows::id(r, 4)?,
                expires: r.get(5)?,
                scope: rows::state(r, 6)?,
                last_n: r.get(7)?,
                card_state: rows::state(r, 8)?,
            })
        })
        .optional()?;
    Ok(found)
}

pub(super) fn narrow(
    tx: &Tx<'_>,
    sub: &SubscriberId,
    session: &SessionRef,
    to: Scope,
    _now: Seconds,
) -> Result<()> {
    let Some(row) = rows::session(tx, sub, session)? else {
        return Ok(());
    };
    if to == Scope::Full || row.scope == Scope::Nothing {
        return Ok(());
    }
    tx.prepare_cached(
        "UPDATE sessions SET scope = ?4 WHERE subscriber = ?1 AND card = ?2 AND n = ?3",
    )?
    .execute(params![
        sub.as_str(),
        session.card.0,
        session.n,
        rows::state_name(&to)?
    ])?;
    Ok(())
}

const INFO: &str = "SELECT card, n, terminal, state, last_commit FROM sessions";

fn info(r: &rusqlite::Row<'_>) -> rusqlite::Result<SessionInfo> {
    Ok(SessionInfo {
        session: SessionRef {
            card: rows::id(r, 0)?,
            n: r.get(1)?,
        },
        terminal: rows::id(r, 2)?,
        state: rows::state(r, 3)?,
        last_commit: rows::id_opt(r, 4)?,
    })
}

pub(super) fn own(
    db: &Connection,
    sub: &SubscriberId,
    terminal: &TerminalId,
    one: Option<&SessionRef>,
) -> Result<Vec<SessionInfo>> {
    let found = match one {
        Some(s) => {
            let sql =
                format!("{INFO} WHERE subscriber = ?1 AND terminal = ?2 AND card = ?3 AND n = ?4");
            let mut q = db.prepare_cached(&sql)?;
            q.query_map(params![sub.as_str(), terminal.0, s.card.0, s.n], info)?
                .collect::<rusqlite::Result<_>>()?
        }
        None => {
            let sql = format!(
                "{INFO} WHERE subscriber = ?1 AND terminal = ?2 AND state <> ?3 ORDER BY opened DESC, n DESC LIMIT 1000"
            );
            let mut q = db.prepare_cached(&sql)?;
            let closed = rows::state_name(&SessionState::Closed)?;
            q.query_map(params![sub.as_str(), terminal.0, closed], info)?
                .collect::<rusqlite::Result<_>>()?
        }
    };
    Ok(found)
}

/// For each terminal, its newest session on this card.
fn newest_of_card(db: &Connection, sub: &SubscriberId, card: &CardId) -> Result<Vec<SessionInfo>> {
    let sql = format!(
        "{INFO} s WHERE subscriber = ?1 AND card = ?2 AND n = (
            SELECT max(n) FROM sessions m WHERE m.subscriber = s.subscriber AND m.card = s.card AND m.terminal = s.terminal
         ) ORDER BY n DESC"
    );
    let mut q = db.prepare_cached(&sql)?;
    let found = q.query_map(params![sub.as_str(), card.0], info)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn view(db: &Connection, sub: &SubscriberId, card: &CardId, known: Known) -> Result<SessionView> {
    let chain = rows::chain(db, sub)?;
    let wraps = commits::key_object(db, sub)?.map_or_else(Vec::new, |k| k.wraps);
    Ok(SessionView {
        head: chain.head,
        commits: commits::commits_after(db, sub, known.sequence)?,
        key_objects: commits::key_objects(db, sub, known.list)?,
        wraps,
        tails: tails::waiting(db, sub)?,
        sessions: newest_of_card(db, sub, card)?,
        rekey_required: chain.rekey_required,
    })
}
