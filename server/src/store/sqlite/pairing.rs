//! Cards and terminals come in.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::json;
use simsync_card::ids::{CardId, Hash, SubscriberId, TerminalId};

use super::connection::Tx;
use super::{admin, audit, rows};
use crate::rules::Refusal;
use crate::store::types::{
    Actor, AddPairings, CardRow, Enrol, KeyState, Pair, Peer, Seconds, SubscriberState,
};
use crate::store::{Result, StoreError};

pub(super) fn peer(db: &Connection, certificate: &Hash) -> Result<Option<Peer>> {
    let mut q = db.prepare_cached(
        "SELECT t.subscriber, s.state, t.terminal, t.key, t.state
         FROM terminals t JOIN subscribers s USING (subscriber) WHERE t.certificate_hash = ?1",
    )?;
    let found = q
        .query_row([certificate.0], |r| {
            Ok(Peer {
                subscriber: rows::subscriber(r, 0)?,
                subscriber_state: rows::state(r, 1)?,
                terminal: rows::id(r, 2)?,
                key: rows::id(r, 3)?,
                terminal_state: rows::state(r, 4)?,
            })
        })
        .optional()?;
    Ok(found)
}

fn check_active(db: &Connection, sub: &SubscriberId) -> Result<()> {
    if admin::state_of(db, sub)? != Some(SubscriberState::Active) {
        return Err(StoreError::Refused(Refusal::SubscriberInactive));
    }
    Ok(())
}

pub(super) fn enrol(tx: &Tx<'_>, p: &Enrol) -> Result<bool> {
    let sub = p.subscriber.as_str();
    let refused = || StoreError::Refused(Refusal::CodeRefused);
    let code: Option<(u64, Option<simsync_card::ids::CardId>)> = tx
        .prepare_cached("SELECT expires, card FROM codes WHERE subscriber = ?1 AND hash = ?2")?
        .query_row(params![sub, p.code.0], |r| {
            Ok((r.get(0)?, rows::id_opt(r, 1)?))
        })
        .optional()?;
    let (expires, used_by) = code.ok_or_else(refused)?;
    match used_by {
        Some(card) if card != p.card => return Err(refused()),
        None if expires <= p.now => return Err(refused()),
        _ => {}
    }
    check_active(tx, &p.subscriber)?;
    if let Some(card) = rows::any_card(tx, &p.card)? {
        check_same(&card, p)?;
        return Ok(true);
    }
    tx.prepare_cached("INSERT INTO cards VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0)")?
        .execute(params![
            sub,
            p.card.0,
            p.label,
            p.keys.sig.0,
            p.keys.kem.0,
            rows::state_name(&KeyState::Active)?,
            p.now
        ])?;
    tx.prepare_cached("UPDATE codes SET card = ?3 WHERE subscriber = ?1 AND hash = ?2")?
        .execute(params![sub, p.code.0, p.card.0])?;
    let detail = json!({ "label": p.label });
    audit::note(
        tx,
        &p.subscriber,
        Actor::Card(p.card),
        "card-enrolled",
        detail,
        p.now,
    )?;
    Ok(false)
}

fn check_same(card: &CardRow, p: &Enrol) -> Result<()> {
    if card.subscriber != p.subscriber || card.keys != p.keys {
        return Err(StoreError::Refused(Refusal::OtherCardEnrolled));
    }
    if card.state == KeyState::Revoked {
        return Err(revoked());
    }
    Ok(())
}

fn revoked() -> StoreError {
    StoreError::Refused(Refusal::CardRevoked)
}

pub(super) fn pair(tx: &Tx<'_>, p: &Pair) -> Result<Vec<u8>> {
    check_active(tx, &p.subscriber)?;
    match rows::card(tx, &p.subscriber, &p.card)? {
        None => {
            return Err(StoreError::Refused(Refusal::NotTheirCard));
        }
        Some(card) if card.state == KeyState::Revoked => return Err(revoked()),
        Some(_) => {}
    }
    let terminal = TerminalId::of(&p.key);
    let certificate = match rows::any_terminal(tx, &terminal)? {
        Some(known) if known.state == KeyState::Revoked => {
            return Err(StoreError::Refused(Refusal::TerminalKeyRevoked));
        }
        Some(known) if known.subscriber != p.subscriber => {
            return Err(StoreError::Refused(Refusal::TerminalOfOther));
        }
        // Its owner may call it something else now.
        Some(_) => tx
            .prepare_cached(
                "UPDATE terminals SET label = ?2 WHERE terminal = ?1 RETURNING certificate",
            )?
            .query_row(params![terminal.0, p.label], |r| r.get(0))?,
        None => {
            insert_terminal(tx, p, &terminal)?;
            p.certificate.clone()
        }
    };
    let (sub, binding) = (&p.subscriber, &p.binding);
    insert_pairing(tx, sub, &p.card, &terminal, binding, &p.statement, p.now)?;
    let detail = json!({ "terminal": terminal, "label": p.label });
    audit::note(
        tx,
        &p.subscriber,
        Actor::Card(p.card),
        "terminal-paired",
        detail,
        p.now,
    )?;
    Ok(certificate)
}

fn insert_terminal(tx: &Tx<'_>, p: &Pair, terminal: &TerminalId) -> Result<()> {
    tx.prepare_cached("INSERT INTO terminals VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?
        .execute(params![
            p.subscriber.as_str(),
            terminal.0,
            p.key.0,
            p.label,
            rows::to_json(&p.attributes)?,
            p.certificate,
            Hash::of(&p.certificate).0,
            rows::state_name(&KeyState::Active)?,
            p.now
        ])?;
    Ok(())
}

pub(super) fn add(tx: &Tx<'_>, p: &AddPairings) -> Result<()> {
    check_active(tx, &p.subscriber)?;
    let list = admin::newest_key_object(tx, &p.subscriber)?;
    if list.is_none_or(|k| k.hash() != p.binding) {
        return Err(StoreError::Refused(Refusal::PairingsOfOldList));
    }
    if rows::card(tx, &p.subscriber, &p.card)?.is_none_or(|c| c.state == KeyState::Revoked) {
        return Err(revoked());
    }
    for (terminal, statement) in &p.pairings {
        match rows::terminal(tx, &p.subscriber, terminal)? {
            Some(t) if t.state == KeyState::Active => {}
            _ => {
                return Err(StoreError::Refused(Refusal::AcceptedTerminalRevoked(
                    *terminal,
                )));
            }
        }
        insert_pairing(
            tx,
            &p.subscriber,
            &p.card,
            terminal,
            &p.binding,
            statement,
            p.now,
        )?;
        let detail = json!({ "terminal": terminal });
        audit::note(
            tx,
            &p.subscriber,
            Actor::Card(p.card),
            "terminal-accepted",
            detail,
            p.now,
        )?;
    }
    Ok(())
}

fn insert_pairing(
    tx: &Tx<'_>,
    sub: &SubscriberId,
    card: &CardId,
    terminal: &TerminalId,
    binding: &Hash,
    statement: &[u8],
    now: Seconds,
) -> Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO pairings VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            sub.as_str(),
            card.0,
            terminal.0,
            binding.0,
            statement,
            now
        ])?;
    Ok(())
}
