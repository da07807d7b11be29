//! Sessions that open, and go on.

use rusqlite::Connection;
use simsync_card::ids::{CardId, SubscriberId, TerminalId};
use simsync_vault::commit::SessionRef;

use super::connection::Tx;
use super::sessions::{count_up, insert, newest_of_card, set_grant, standing};
use super::{commits, rows, tails};
use crate::rules::session;
use crate::store::Result;
use crate::store::types::{Known, OpenSession, RenewSession, SessionView};

pub(super) fn open(tx: &Tx<'_>, p: &OpenSession) -> Result<SessionView> {
    let (sub, s) = (&p.subscriber, &p.statement);
    let plan = session::open(s.n, &gather(tx, sub, &s.card, &s.terminal)?)?;
    insert(tx, sub, s, plan.state, plan.scope, p.now)?;
    count_up(tx, sub, &s.card, plan.last_n)?;
    let session = SessionRef {
        card: s.card,
        n: s.n,
    };
    set_grant(tx, sub, &session, &p.grant)?;
    view(tx, sub, &s.card, p.known)
}

pub(super) fn renew(tx: &Tx<'_>, p: &RenewSession) -> Result<SessionView> {
    let (sub, session) = (&p.subscriber, &p.session);
    session::renew(
        session.n,
        &p.terminal,
        p.now,
        &gather(tx, sub, &session.card, &p.terminal)?,
        standing(tx, sub, session)?.as_ref(),
    )?;
    set_grant(tx, sub, session, &p.grant)?;
    view(tx, sub, &session.card, p.known)
}

fn gather(
    tx: &Tx<'_>,
    sub: &SubscriberId,
    card: &CardId,
    terminal: &TerminalId,
) -> Result<session::Facts> {
    Ok(session::Facts {
        card: rows::card(tx, sub, card)?,
        terminal: rows::terminal(tx, sub, terminal)?,
        paired: rows::paired(tx, sub, card, terminal)?,
    })
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
