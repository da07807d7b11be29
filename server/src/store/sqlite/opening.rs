//! Sessions that open, and go on.

use rusqlite::{Connection, params};
use simsync_card::ids::{CardId, SubscriberId, TerminalId};
use simsync_protocol::api::SessionState;
use simsync_vault::commit::SessionRef;

use super::connection::Tx;
use super::sessions::{count_up, insert, newest_of_card, set_grant};
use super::{commits, rows, tails};
use crate::rules::Refusal;
use crate::store::types::{KeyState, Known, OpenSession, RenewSession, Scope, SessionView};
use crate::store::{Result, StoreError};

pub(super) fn open(tx: &Tx<'_>, p: &OpenSession) -> Result<SessionView> {
    let s = &p.statement;
    check_card(tx, &p.subscriber, &s.card, &s.terminal)?;
    let card = rows::card(tx, &p.subscriber, &s.card)?;
    let last = card.map_or(0, |c| c.last_n);
    if s.n <= last {
        return Err(StoreError::Refused(Refusal::SessionNumberUsed {
            n: s.n,
            last,
        }));
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
            return Err(StoreError::Refused(Refusal::NotTheirCard));
        }
        Some(c) if c.state == KeyState::Revoked => {
            return Err(StoreError::Refused(Refusal::CardRevoked));
        }
        Some(_) => {}
    }
    match rows::terminal(tx, sub, terminal)? {
        Some(t) if t.state == KeyState::Active && rows::paired(tx, sub, card, terminal)? => Ok(()),
        Some(t) if t.state == KeyState::Revoked => {
            Err(StoreError::Refused(Refusal::TerminalRevoked))
        }
        _ => Err(StoreError::Refused(Refusal::NotPairedWithCard)),
    }
}

pub(super) fn renew(tx: &Tx<'_>, p: &RenewSession) -> Result<SessionView> {
    check_card(tx, &p.subscriber, &p.session.card, &p.terminal)?;
    let ended = || StoreError::Refused(Refusal::SessionEnded);
    let row = rows::session(tx, &p.subscriber, &p.session)?.ok_or_else(ended)?;
    if row.terminal != p.terminal {
        return Err(ended());
    }
    let card = rows::card(tx, &p.subscriber, &p.session.card)?;
    if card.is_none_or(|c| c.last_n != p.session.n) {
        return Err(superseded());
    }
    if row.scope != Scope::Full {
        return Err(StoreError::Refused(Refusal::SessionNarrowed));
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
    StoreError::Refused(Refusal::SessionSuperseded)
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
