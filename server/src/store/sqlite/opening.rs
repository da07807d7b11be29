//! Sessions that open, and go on.

use rusqlite::{Connection, params};
use simsync_card::ids::{CardId, SubscriberId, TerminalId};
use simsync_protocol::api::SessionState;
use simsync_protocol::problem::Code;
use simsync_vault::commit::SessionRef;

use super::connection::Tx;
use super::sessions::{count_up, insert, newest_of_card, set_grant};
use super::{commits, rows, tails};
use crate::store::types::{KeyState, Known, OpenSession, RenewSession, Scope, SessionView};
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

fn superseded() -> StoreError {
    StoreError::refuse(
        Code::SessionSuperseded,
        "the card has opened a newer session since: deliver what is left as a tail, or open a session again",
    )
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
