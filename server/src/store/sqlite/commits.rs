//! The chain: commits, key objects, heads.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use simsync_card::ids::{SubscriberId, TerminalId};
use simsync_protocol::api::{COMMITS_PER_ANSWER, HeadInfo, Revoked, ServerEvent, SessionState};
use simsync_vault::commit::{Commit, SessionRef};
use simsync_vault::keyobject::KeyObject;

use super::connection::Tx;
use super::{admin, rows, tails};
use crate::rules::commit::{Outcome, Plan, decide};
use crate::rules::facts::Facts;
use crate::store::events::Notice;
use crate::store::types::{
    CommitsView, KeyObjectView, KeyState, PackStatus, PutCommit, Rights, TailStatus,
};
use crate::store::{Result, StoreError};

/// Bytes of commits in one answer.
const COMMITS_BUDGET: usize = 4 << 20;
/// Bytes of key objects in one answer.
const KEY_OBJECTS_BUDGET: usize = 4 << 20;

pub(super) fn key_object(db: &Connection, sub: &SubscriberId) -> Result<Option<KeyObjectView>> {
    let rekey_required = rows::chain(db, sub)?.rekey_required;
    let mut q = db.prepare_cached(
        "SELECT signed, wraps FROM key_objects WHERE subscriber = ?1 ORDER BY list_number DESC LIMIT 1",
    )?;
    let found = q
        .query_row([sub.as_str()], |r| {
            Ok(KeyObjectView {
                signed: r.get(0)?,
                wraps: rows::json(r, 1)?,
                rekey_required,
                revoked: Revoked::default(),
            })
        })
        .optional()?;
    match found {
        Some(mut view) if rekey_required => {
            view.revoked = revoked(db, sub, &view.signed)?;
            Ok(Some(view))
        }
        found => Ok(found),
    }
}

/// What a key object names and was revoked.
fn revoked(db: &Connection, sub: &SubscriberId, signed: &[u8]) -> Result<Revoked> {
    let body = KeyObject::from_bytes(signed)
        .map_err(StoreError::failed)?
        .body;
    let mut out = Revoked::default();
    for recipient in &body.recipients {
        let row = rows::card(db, sub, &recipient.id)?;
        if row.is_some_and(|c| c.state == KeyState::Revoked) {
            out.cards.push(recipient.id);
        }
    }
    for entry in &body.terminals {
        let row = rows::terminal(db, sub, &entry.id())?;
        if row.is_some_and(|t| t.state == KeyState::Revoked) {
            out.terminals.push(entry.id());
        }
    }
    Ok(out)
}

pub(super) fn key_objects(db: &Connection, sub: &SubscriberId, after: u32) -> Result<Vec<Vec<u8>>> {
    let mut q = db.prepare_cached(
        "SELECT signed FROM key_objects WHERE subscriber = ?1 AND list_number > ?2 ORDER BY list_number",
    )?;
    rows::blobs_within(
        &mut q.query(params![sub.as_str(), after])?,
        KEY_OBJECTS_BUDGET,
    )
}

pub(super) fn commits_after(
    db: &Connection,
    sub: &SubscriberId,
    after: u64,
) -> Result<Vec<Vec<u8>>> {
    // SQLite's integers are signed; no sequence is that large.
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut q = db.prepare_cached(
        "SELECT signed FROM commits WHERE subscriber = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3",
    )?;
    let mut found = q.query(params![sub.as_str(), after, COMMITS_PER_ANSWER])?;
    rows::blobs_within(&mut found, COMMITS_BUDGET)
}

pub(super) fn after(db: &Connection, sub: &SubscriberId, after: u64) -> Result<CommitsView> {
    Ok(CommitsView {
        head: rows::chain(db, sub)?.head,
        commits: commits_after(db, sub, after)?,
        tails: tails::waiting(db, sub)?,
    })
}

pub(super) fn rights(db: &Connection, sub: &SubscriberId, terminal: &TerminalId) -> Result<Rights> {
    let list = admin::newest_key_object(db, sub)?;
    Ok(Rights {
        vault: list.is_some(),
        collections: list
            .and_then(|k| k.body.terminal(terminal).map(|t| t.collections.clone()))
            .unwrap_or_default(),
    })
}

pub(super) fn put(tx: &Tx<'_>, p: &PutCommit) -> Result<HeadInfo> {
    let facts = gather(tx, p)?;
    let outcome = decide(
        &p.commit,
        p.key_object.as_ref(),
        &p.terminal,
        &p.session,
        &p.server,
        &facts,
    )?;
    match outcome {
        Outcome::Repeated(head) => Ok(head),
        Outcome::Accept(plan) => {
            let was_required = facts.rekey_required;
            write(tx, p, &plan, was_required)?;
            Ok(plan.head)
        }
    }
}

fn gather(tx: &Tx<'_>, p: &PutCommit) -> Result<Facts> {
    let (sub, body) = (&p.subscriber, &p.commit.body);
    let chain = rows::chain(tx, sub)?;
    let head = match chain.head {
        None => None,
        Some(info) => {
            let signed: Vec<u8> = tx
                .prepare_cached(
                    "SELECT signed FROM commits WHERE subscriber = ?1 AND sequence = ?2",
                )?
                .query_row(params![sub.as_str(), info.sequence], |r| r.get(0))?;
            Some((
                info,
                Commit::from_bytes(&signed).map_err(StoreError::failed)?,
            ))
        }
    };
    let session = SessionRef {
        card: body.session.card,
        n: body.session.n,
    };
    let mut facts = Facts {
        head,
        key_object: admin::newest_key_object(tx, sub)?,
        rekey_required: chain.rekey_required,
        known: tx
            .prepare_cached("SELECT 1 FROM commits WHERE subscriber = ?1 AND hash = ?2")?
            .exists(params![sub.as_str(), p.commit.hash().0])?,
        session: rows::session(tx, sub, &session)?,
        ..Facts::default()
    };
    let list = p.key_object.as_ref().map(|(k, _)| &k.body);
    let recipients = list.iter().flat_map(|k| k.recipients.iter().map(|r| r.id));
    for id in recipients.chain([body.session.card]) {
        facts
            .cards
            .extend(rows::card(tx, sub, &id)?.map(|c| (id, c)));
    }
    for entry in list.iter().flat_map(|k| &k.terminals) {
        let id = entry.id();
        facts
            .terminals
            .extend(rows::terminal(tx, sub, &id)?.map(|t| (id, t)));
    }
    let packs = body.packs_added.iter().map(|p| &p.id);
    for id in packs.chain(&body.packs_dropped) {
        facts
            .packs
            .extend(rows::pack(tx, sub, id)?.map(|p| (*id, p)));
    }
    if !body.tails_merged.is_empty() {
        facts.tails = waiting_tails(tx, sub)?;
        for s in &body.tails_merged {
            facts.tails.extend(rows::tail(tx, sub, s)?.map(|t| (*s, t)));
        }
    }
    Ok(facts)
}

fn waiting_tails(
    tx: &Tx<'_>,
    sub: &SubscriberId,
) -> Result<HashMap<SessionRef, crate::store::types::TailRow>> {
    let rows = rows::tails_in(tx, sub, TailStatus::Waiting)?;
    Ok(rows.into_iter().map(|t| (t.session, t)).collect())
}

fn write(tx: &Tx<'_>, p: &PutCommit, plan: &Plan, was_required: bool) -> Result<()> {
    let (sub, body, head) = (&p.subscriber, &p.commit.body, &plan.head);
    let name = sub.as_str();
    if let Some((list, wraps)) = &p.key_object {
        tx.prepare_cached("INSERT INTO key_objects VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![
                name,
                list.body.list_number,
                list.to_bytes(),
                rows::to_json(wraps)?,
                p.now
            ])?;
    }
    tx.prepare_cached("INSERT INTO commits VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            name,
            head.sequence,
            head.hash.0,
            p.commit.to_bytes(),
            p.now
        ])?;
    tx.prepare_cached("INSERT OR REPLACE INTO heads VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![
            name,
            body.vault.0,
            head.hash.0,
            head.sequence,
            head.epoch,
            head.list_number,
            plan.rekey_required
        ])?;
    write_packs(tx, p, head.sequence)?;
    for s in &plan.merged {
        tx.prepare_cached(
            "UPDATE tails SET status = ?4, merged = ?5 WHERE subscriber = ?1 AND card = ?2 AND n = ?3",
        )?
        .execute(params![
            name,
            s.card.0,
            s.n,
            rows::state_name(&TailStatus::Merged)?,
            head.sequence
        ])?;
    }
    for (upto, terminal) in &plan.closed {
        close_up_to(tx, sub, upto, terminal, &plan.merged)?;
    }
    tx.prepare_cached(
        "UPDATE sessions SET last_commit = ?4 WHERE subscriber = ?1 AND card = ?2 AND n = ?3",
    )?
    .execute(params![
        name,
        body.session.card.0,
        body.session.n,
        head.hash.0
    ])?;
    let event = ServerEvent::HeadMoved {
        head: *head,
        terminal: body.terminal,
    };
    tx.publish(sub, Notice::All(event));
    if plan.rekey_required && !was_required {
        tx.publish(sub, Notice::All(ServerEvent::RekeyRequired));
    }
    Ok(())
}

fn write_packs(tx: &Tx<'_>, p: &PutCommit, sequence: u64) -> Result<()> {
    let name = p.subscriber.as_str();
    let committed = rows::state_name(&PackStatus::Committed)?;
    let mut add = tx.prepare_cached(
        "UPDATE packs SET status = ?3, added = ?4, place = ?5, touched = ?6 WHERE subscriber = ?1 AND pack = ?2",
    )?;
    for (place, pack) in p.commit.body.packs_added.iter().enumerate() {
        add.execute(params![name, pack.id.0, committed, sequence, place, p.now])?;
    }
    let dropped = rows::state_name(&PackStatus::Dropped)?;
    let mut drop = tx.prepare_cached(
        "UPDATE packs SET status = ?3, dropped = ?4, touched = ?5 WHERE subscriber = ?1 AND pack = ?2",
    )?;
    for id in &p.commit.body.packs_dropped {
        drop.execute(params![name, id.0, dropped, sequence, p.now])?;
    }
    Ok(())
}

/// A closing commit, or a merged tail, of T closes T's sessions up to that number on that card; but sessions whose own
/// tail still waits stay as they are, since their changes are not in the vault yet.
fn close_up_to(
    tx: &Tx<'_>,
    sub: &SubscriberId,
    upto: &SessionRef,
    terminal: &TerminalId,
    merged: &[SessionRef],
) -> Result<()> {
    let closed = rows::state_name(&SessionState::Closed)?;
    tx.prepare_cached(
        "UPDATE sessions SET state = ?5 WHERE subscriber = ?1 AND card = ?2 AND n <= ?3 AND terminal = ?4
         AND state IN (?6, ?7)",
    )?
    .execute(params![
        sub.as_str(),
        upto.card.0,
        upto.n,
        terminal.0,
        closed,
        rows::state_name(&SessionState::Open)?,
        rows::state_name(&SessionState::Forgotten)?
    ])?;
    if merged.contains(upto) {
        super::sessions::set_state(tx, sub, upto, SessionState::Closed)?;
    }
    Ok(())
}
