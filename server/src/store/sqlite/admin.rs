//! The operator's calls: subscribers, codes, revocations.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::json;
use simsync_card::ids::{CardId, Hash, SubscriberId, TerminalId};
use simsync_protocol::api::{MovingTo, ServerEvent};
use simsync_vault::keyobject::KeyObject;

use super::connection::Tx;
use super::{audit, rows, sessions};
use crate::rules::revoke::{self, CardFacts, Vault};
use crate::rules::subscriber;
use crate::store::events::Notice;
use crate::store::types::{
    Actor, AddSubscriber, AuditEntry, KeyState, NewCode, PackStatus, Scope, Seconds, SubscriberRow,
    SubscriberState,
};
use crate::store::{Result, StoreError};

pub(super) fn add_subscriber(tx: &Tx<'_>, p: &AddSubscriber) -> Result<()> {
    subscriber::add(&p.subscriber, state_of(tx, &p.subscriber)?)?;
    tx.prepare_cached("INSERT INTO subscribers VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            p.subscriber.as_str(),
            p.label,
            rows::state_name(&SubscriberState::Active)?,
            p.now
        ])?;
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
    subscriber::new_code(sub, state_of(tx, sub)?)?;
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
    let plan = subscriber::change(sub, state_of(tx, sub)?, state)?;
    tx.prepare_cached("UPDATE subscribers SET state = ?2 WHERE subscriber = ?1")?
        .execute(params![sub.as_str(), rows::state_name(&state)?])?;
    if plan.ends {
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
    tx.prepare_cached("UPDATE heads SET rekey_required = 1 WHERE subscriber = ?1")?
        .execute([sub.as_str()])?;
    tx.publish(sub, Notice::All(ServerEvent::RekeyRequired));
    Ok(())
}

/// What the vault says of somebody whom its key object in force may name.
fn vault(
    db: &Connection,
    sub: &SubscriberId,
    names: impl FnOnce(&KeyObject) -> bool,
) -> Result<Vault> {
    Ok(Vault {
        exists: rows::chain(db, sub)?.head.is_some(),
        names: newest_key_object(db, sub)?.is_some_and(|k| names(&k)),
    })
}

pub(super) fn revoke_card(
    tx: &Tx<'_>,
    sub: &SubscriberId,
    card: &CardId,
    by: &Actor,
    now: Seconds,
) -> Result<()> {
    let facts = CardFacts {
        card: rows::card(tx, sub, card)?,
        newest: sessions::newest_by_terminal(tx, sub, card)?,
        vault: vault(tx, sub, |k| k.body.recipient(card).is_some())?,
    };
    let Some(plan) = revoke::card(sub, card, by, now, &facts)? else {
        return Ok(());
    };
    tx.prepare_cached("UPDATE cards SET state = ?3 WHERE subscriber = ?1 AND card = ?2")?
        .execute(params![
            sub.as_str(),
            card.0,
            rows::state_name(&KeyState::Revoked)?
        ])?;
    end_grants(tx, sub, "card = ?3", &[&card.0])?;
    for terminal in plan.tell {
        tx.publish(sub, Notice::Only(terminal, ServerEvent::Revoked));
    }
    if plan.rekey {
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
    let row = rows::terminal(tx, sub, terminal)?;
    let vault = vault(tx, sub, |k| k.body.terminal(terminal).is_some())?;
    let Some(plan) = revoke::terminal(sub, terminal, by, row.as_ref(), vault)? else {
        return Ok(());
    };
    tx.prepare_cached("UPDATE terminals SET state = ?3 WHERE subscriber = ?1 AND terminal = ?2")?
        .execute(params![
            sub.as_str(),
            terminal.0,
            rows::state_name(&KeyState::Revoked)?
        ])?;
    end_grants(tx, sub, "terminal = ?3", &[&terminal.0])?;
    for told in plan.tell {
        tx.publish(sub, Notice::Only(told, ServerEvent::Revoked));
    }
    tx.publish(sub, Notice::End(Some(*terminal)));
    if plan.rekey {
        require_rekey(tx, sub)?;
    }
    let detail = json!({ "terminal": terminal });
    audit::note(tx, sub, by.clone(), "terminal-revoked", detail, now)
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
