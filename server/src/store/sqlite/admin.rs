//! The operator's calls: subscribers, codes, revocations.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::json;
use simsync_card::ids::{CardId, Hash, SubscriberId, TerminalId};
use simsync_protocol::api::{MovingTo, ServerEvent};
use simsync_vault::keyobject::KeyObject;

use super::connection::Tx;
use super::{audit, rows};
use crate::rules::Refusal;
use crate::store::events::Notice;
use crate::store::types::{
    Actor, AddSubscriber, AuditEntry, KeyState, NewCode, PackStatus, Scope, Seconds, SubscriberRow,
    SubscriberState,
};
use crate::store::{Result, StoreError};

pub(super) fn add_subscriber(tx: &Tx<'_>, p: &AddSubscriber) -> Result<()> {
    let added = tx
        .prepare_cached("INSERT INTO subscribers VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?
        .execute(params![
            p.subscriber.as_str(),
            p.label,
            rows::state_name(&SubscriberState::Active)?,
            p.now
        ])?;
    if added == 0 {
        return Err(StoreError::Refused(Refusal::SubscriberExists(
            p.subscriber.clone(),
        )));
    }
    insert_code(tx, &p.subscriber, p.code)?;
    let detail = json!({ "label": p.label });
    audit::note(
        tx,
        &p.subscriber,
        Actor::Operator,
        "subscriber-added",
        detail,
        p.now,
    )
}

pub(super) fn add_code(tx: &Tx<'_>, sub: &SubscriberId, code: NewCode, now: Seconds) -> Result<()> {
    match state_of(tx, sub)? {
        None => return Err(no_subscriber(sub)),
        Some(SubscriberState::Removed) => {
            return Err(StoreError::Refused(Refusal::SubscriberRemoved(sub.clone())));
        }
        Some(_) => {}
    }
    tx.prepare_cached("DELETE FROM codes WHERE subscriber = ?1 AND card IS NULL")?
        .execute([sub.as_str()])?;
    insert_code(tx, sub, code)?;
    let detail = json!({ "expires": code.expires });
    audit::note(tx, sub, Actor::Operator, "code-added", detail, now)
}

fn insert_code(tx: &Tx<'_>, sub: &SubscriberId, code: NewCode) -> Result<()> {
    tx.prepare_cached("INSERT INTO codes VALUES (?1, ?2, ?3, NULL)")?
        .execute(params![sub.as_str(), code.hash.0, code.expires])?;
    Ok(())
}

fn no_subscriber(sub: &SubscriberId) -> StoreError {
    StoreError::Refused(Refusal::NoSubscriber(sub.clone()))
}

pub(super) fn state_of(db: &Connection, sub: &SubscriberId) -> Result<Option<SubscriberState>> {
    let mut q = db.prepare_cached("SELECT state FROM subscribers WHERE subscriber = ?1")?;
    let mut found = q.query_map([sub.as_str()], |r| rows::state(r, 0))?;
    Ok(found.next().transpose()?)
}

pub(super) fn subscribers(
    db: &Connection,
    one: Option<&SubscriberId>,
) -> Result<Vec<SubscriberRow>> {
    let mut q = db.prepare_cached(
        "SELECT s.subscriber, s.label, s.state, s.created,
            (SELECT count(*) FROM cards c WHERE c.subscriber = s.subscriber AND c.state = ?2),
            (SELECT count(*) FROM terminals t WHERE t.subscriber = s.subscriber AND t.state = ?2),
            (SELECT coalesce(sum(size), 0) FROM packs p WHERE p.subscriber = s.subscriber AND p.status IN (?3, ?4))
         FROM subscribers s WHERE ?1 IS NULL OR s.subscriber = ?1 ORDER BY s.subscriber",
    )?;
    let found = q.query_map(
        params![
            one.map(SubscriberId::as_str),
            rows::state_name(&KeyState::Active)?,
            rows::state_name(&PackStatus::Complete)?,
            rows::state_name(&PackStatus::Committed)?,
        ],
        |r| {
            Ok(SubscriberRow {
                subscriber: rows::subscriber(r, 0)?,
                label: r.get(1)?,
                state: rows::state(r, 2)?,
                created: r.get(3)?,
                cards: r.get(4)?,
                terminals: r.get(5)?,
                bytes: r.get(6)?,
                head: None,
                rekey_required: false,
            })
        },
    )?;
    let mut out = found.collect::<rusqlite::Result<Vec<_>>>()?;
    for row in &mut out {
        let chain = rows::chain(db, &row.subscriber)?;
        (row.head, row.rekey_required) = (chain.head, chain.rekey_required);
    }
    Ok(out)
}

pub(super) fn set_subscriber_state(
    tx: &Tx<'_>,
    sub: &SubscriberId,
    state: SubscriberState,
    now: Seconds,
) -> Result<()> {
    match state_of(tx, sub)? {
        None => return Err(no_subscriber(sub)),
        Some(SubscriberState::Removed) if state != SubscriberState::Removed => {
            return Err(StoreError::Refused(Refusal::RemovedForGood(sub.clone())));
        }
        Some(_) => {}
    }
    tx.prepare_cached("UPDATE subscribers SET state = ?2 WHERE subscriber = ?1")?
        .execute(params![sub.as_str(), rows::state_name(&state)?])?;
    if state != SubscriberState::Active {
        end_grants(tx, sub, "1", &[])?;
        tx.publish(sub, Notice::End(None));
    }
    let detail = json!({ "state": state });
    audit::note(tx, sub, Actor::Operator, "subscriber-state", detail, now)
}

/// Grants of sessions where `condition` (of our own making) holds are ended for good.
fn end_grants(
    tx: &Tx<'_>,
    sub: &SubscriberId,
    condition: &str,
    further: &[&dyn rusqlite::ToSql],
) -> Result<()> {
    let sql = format!("UPDATE sessions SET scope = ?2 WHERE subscriber = ?1 AND {condition}");
    let (sub, nothing) = (sub.as_str(), rows::state_name(&Scope::Nothing)?);
    let mut all: Vec<&dyn rusqlite::ToSql> = vec![&sub, &nothing];
    all.extend_from_slice(further);
    tx.prepare_cached(&sql)?.execute(all.as_slice())?;
    Ok(())
}

fn require_rekey(tx: &Tx<'_>, sub: &SubscriberId) -> Result<()> {
    let changed = tx
        .prepare_cached(
            "UPDATE heads SET rekey_required = 1 WHERE subscriber = ?1 AND hash IS NOT NULL",
        )?
        .execute([sub.as_str()])?;
    if changed > 0 {
        tx.publish(sub, Notice::All(ServerEvent::RekeyRequired));
    }
    Ok(())
}

pub(super) fn revoke_card(
    tx: &Tx<'_>,
    sub: &SubscriberId,
    card: &CardId,
    by: &Actor,
    now: Seconds,
) -> Result<()> {
    let row = rows::card(tx, sub, card)?
        .ok_or_else(|| StoreError::Refused(Refusal::NoCard(sub.clone(), *card)))?;
    // Told once more by a terminal that cannot know whether somebody else did.
    if row.state == KeyState::Revoked {
        return Ok(());
    }
    tx.prepare_cached("UPDATE cards SET state = ?3 WHERE subscriber = ?1 AND card = ?2")?
        .execute(params![
            sub.as_str(),
            card.0,
            rows::state_name(&KeyState::Revoked)?
        ])?;
    // A terminal's newest session says whether the card is in it: one that the card forgot ends with its grant, while
    // the terminal ejected through a newer one.
    let holders: Vec<TerminalId> = tx
        .prepare_cached(
            "SELECT terminal FROM sessions AS s
             WHERE subscriber = ?1 AND card = ?2 AND expires > ?3 AND scope <> ?4
               AND n = (SELECT max(n) FROM sessions
                        WHERE subscriber = s.subscriber AND card = s.card AND terminal = s.terminal)",
        )?
        .query_map(
            params![sub.as_str(), card.0, now, rows::state_name(&Scope::Nothing)?],
            |r| rows::id(r, 0),
        )?
        .collect::<rusqlite::Result<_>>()?;
    end_grants(tx, sub, "card = ?3", &[&card.0])?;
    for terminal in holders {
        tx.publish(sub, Notice::Only(terminal, ServerEvent::Revoked));
    }
    // The owner's own order comes after a key object without the card; else a new epoch is due here, too.
    let named = newest_key_object(tx, sub)?.is_some_and(|k| k.body.recipient(card).is_some());
    if *by == Actor::Operator || named {
        require_rekey(tx, sub)?;
    }
    let detail = json!({ "card": card });
    audit::note(tx, sub, by.clone(), "card-revoked", detail, now)
}

pub(super) fn revoke_terminal(
    tx: &Tx<'_>,
    sub: &SubscriberId,
    terminal: &TerminalId,
    by: &Actor,
    now: Seconds,
) -> Result<()> {
    let row = rows::terminal(tx, sub, terminal)?
        .ok_or_else(|| StoreError::Refused(Refusal::NoTerminal(sub.clone(), *terminal)))?;
    if row.state == KeyState::Revoked {
        return Ok(());
    }
    tx.prepare_cached("UPDATE terminals SET state = ?3 WHERE subscriber = ?1 AND terminal = ?2")?
        .execute(params![
            sub.as_str(),
            terminal.0,
            rows::state_name(&KeyState::Revoked)?
        ])?;
    end_grants(tx, sub, "terminal = ?3", &[&terminal.0])?;
    tx.publish(sub, Notice::Only(*terminal, ServerEvent::Revoked));
    tx.publish(sub, Notice::End(Some(*terminal)));
    // The owner's own order comes after a key object without the terminal; else a new epoch is due here, too.
    if *by == Actor::Operator || in_key_object(tx, sub, terminal)? {
        require_rekey(tx, sub)?;
    }
    let detail = json!({ "terminal": terminal });
    audit::note(tx, sub, by.clone(), "terminal-revoked", detail, now)
}

fn in_key_object(db: &Connection, sub: &SubscriberId, terminal: &TerminalId) -> Result<bool> {
    Ok(newest_key_object(db, sub)?.is_some_and(|k| k.body.terminal(terminal).is_some()))
}

pub(super) fn newest_key_object(db: &Connection, sub: &SubscriberId) -> Result<Option<KeyObject>> {
    let mut q = db.prepare_cached(
        "SELECT signed FROM key_objects WHERE subscriber = ?1 ORDER BY list_number DESC LIMIT 1",
    )?;
    let mut found = q.query_map([sub.as_str()], |r| r.get::<_, Vec<u8>>(0))?;
    found
        .next()
        .transpose()?
        .map(|bytes| KeyObject::from_bytes(&bytes).map_err(StoreError::failed))
        .transpose()
}

pub(super) fn set_moving(tx: &Tx<'_>, to: Option<&MovingTo>, now: Seconds) -> Result<()> {
    tx.prepare_cached("DELETE FROM moving")?.execute([])?;
    if let Some(to) = to {
        tx.prepare_cached("INSERT INTO moving VALUES (1, ?1, ?2)")?
            .execute(params![to.address.to_string(), to.ca_pin.0])?;
    }
    let entry = AuditEntry {
        subscriber: None,
        actor: Actor::Operator,
        action: "moving-announced",
        detail: json!({ "to": to.map(|t| t.address.to_string()) }),
        now,
    };
    audit::append(tx, &entry)
}

pub(super) fn moving(db: &Connection) -> Result<Option<MovingTo>> {
    let found: Option<(String, Hash)> = db
        .prepare_cached("SELECT address, ca_pin FROM moving")?
        .query_row([], |r| Ok((r.get(0)?, rows::id(r, 1)?)))
        .optional()?;
    found
        .map(|(address, ca_pin)| {
            let address = address.parse().map_err(StoreError::failed)?;
            Ok(MovingTo { address, ca_pin })
        })
        .transpose()
}
