//! Sessions and their grants.

use rusqlite::{Connection, OptionalExtension as _, params};
use simsync_card::ids::{CardId, Hash, SubscriberId, TerminalId};
use simsync_protocol::api::{SessionInfo, SessionState};
use simsync_vault::commit::SessionRef;
use simsync_vault::statement::SessionStatement;

use super::connection::Tx;
use super::rows;
use crate::rules;
use crate::rules::revoke::Newest;
use crate::rules::session::Standing;
use crate::store::Result;
use crate::store::types::{GrantRow, NewGrant, Scope, Seconds};

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

pub(super) fn set_grant(
    tx: &Tx<'_>,
    sub: &SubscriberId,
    session: &SessionRef,
    g: &NewGrant,
) -> Result<()> {
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

/// How a session is, for the rules of its renewal.
pub(super) fn standing(
    db: &Connection,
    sub: &SubscriberId,
    session: &SessionRef,
) -> Result<Option<Standing>> {
    let mut q = db.prepare_cached(
        "SELECT terminal, state, scope, expires FROM sessions WHERE subscriber = ?1 AND card = ?2 AND n = ?3",
    )?;
    let found = q
        .query_row(params![sub.as_str(), session.card.0, session.n], |r| {
            Ok(Standing {
                terminal: rows::id(r, 0)?,
                state: rows::state(r, 1)?,
                scope: rows::state(r, 2)?,
                expires: r.get(3)?,
            })
        })
        .optional()?;
    Ok(found)
}

/// For each terminal, its newest session on this card.
pub(super) fn newest_by_terminal(
    db: &Connection,
    sub: &SubscriberId,
    card: &CardId,
) -> Result<Vec<Newest>> {
    let mut q = db.prepare_cached(
        "SELECT terminal, expires, scope FROM sessions AS s
         WHERE subscriber = ?1 AND card = ?2
           AND n = (SELECT max(n) FROM sessions
                    WHERE subscriber = s.subscriber AND card = s.card AND terminal = s.terminal)",
    )?;
    let found = q.query_map(params![sub.as_str(), card.0], |r| {
        Ok(Newest {
            terminal: rows::id(r, 0)?,
            expires: r.get(1)?,
            scope: rows::state(r, 2)?,
        })
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// What is left of a session's grant.
pub(super) fn set_scope(
    tx: &Tx<'_>,
    sub: &SubscriberId,
    session: &SessionRef,
    scope: Scope,
) -> Result<()> {
    tx.prepare_cached(
        "UPDATE sessions SET scope = ?4 WHERE subscriber = ?1 AND card = ?2 AND n = ?3",
    )?
    .execute(params![
        sub.as_str(),
        session.card.0,
        session.n,
        rows::state_name(&scope)?
    ])?;
    Ok(())
}

pub(super) fn narrow(
    tx: &Tx<'_>,
    sub: &SubscriberId,
    session: &SessionRef,
    to: Scope,
) -> Result<()> {
    let from = standing(tx, sub, session)?.map(|s| s.scope);
    match from.and_then(|from| rules::session::narrow(from, to)) {
        Some(scope) => set_scope(tx, sub, session, scope),
        None => Ok(()),
    }
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
pub(super) fn newest_of_card(
    db: &Connection,
    sub: &SubscriberId,
    card: &CardId,
) -> Result<Vec<SessionInfo>> {
    let sql = format!(
        "{INFO} s WHERE subscriber = ?1 AND card = ?2 AND n = (
            SELECT max(n) FROM sessions m WHERE m.subscriber = s.subscriber AND m.card = s.card AND m.terminal = s.terminal
         ) ORDER BY n DESC"
    );
    let mut q = db.prepare_cached(&sql)?;
    let found = q.query_map(params![sub.as_str(), card.0], info)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
