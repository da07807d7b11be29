//! Cards and terminals come in.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::json;
use simsync_card::ids::{CardId, Hash, SubscriberId, TerminalId};

use super::connection::Tx;
use super::{admin, audit, rows};
use crate::rules::enrolment::{self, Code};
use crate::rules::pairing;
use crate::store::Result;
use crate::store::types::{Actor, AddPairings, Enrol, KeyState, Pair, Peer, Seconds};

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

pub(super) fn enrol(tx: &Tx<'_>, p: &Enrol) -> Result<bool> {
    let sub = p.subscriber.as_str();
    let facts = enrolment::Facts {
        code: code(tx, &p.subscriber, &p.code)?,
        subscriber: admin::state_of(tx, &p.subscriber)?,
        card: rows::any_card(tx, &p.card)?,
    };
    match enrolment::decide(p, &facts)? {
        enrolment::Outcome::Already => return Ok(true),
        enrolment::Outcome::New => {}
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

fn code(db: &Connection, sub: &SubscriberId, hash: &Hash) -> Result<Option<Code>> {
    let mut q =
        db.prepare_cached("SELECT expires, card FROM codes WHERE subscriber = ?1 AND hash = ?2")?;
    let found = q
        .query_row(params![sub.as_str(), hash.0], |r| {
            Ok(Code {
                expires: r.get(0)?,
                used_by: rows::id_opt(r, 1)?,
            })
        })
        .optional()?;
    Ok(found)
}

pub(super) fn pair(tx: &Tx<'_>, p: &Pair) -> Result<Vec<u8>> {
    let terminal = TerminalId::of(&p.key);
    let facts = pairing::Facts {
        subscriber: admin::state_of(tx, &p.subscriber)?,
        card: rows::card(tx, &p.subscriber, &p.card)?,
        terminal: rows::any_terminal(tx, &terminal)?,
    };
    let certificate = match pairing::pair(&p.subscriber, &facts)? {
        pairing::Outcome::Known => tx
            .prepare_cached(
                "UPDATE terminals SET label = ?2 WHERE terminal = ?1 RETURNING certificate",
            )?
            .query_row(params![terminal.0, p.label], |r| r.get(0))?,
        pairing::Outcome::New => {
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
    let mut facts = pairing::SpareFacts {
        subscriber: admin::state_of(tx, &p.subscriber)?,
        key_object: admin::newest_key_object(tx, &p.subscriber)?.map(|k| k.hash()),
        card: rows::card(tx, &p.subscriber, &p.card)?,
        ..pairing::SpareFacts::default()
    };
    for (id, _) in &p.pairings {
        let row = rows::terminal(tx, &p.subscriber, id)?;
        facts.terminals.extend(row.map(|row| (*id, row)));
    }
    pairing::add(&p.binding, p.pairings.iter().map(|(id, _)| id), &facts)?;
    for (terminal, statement) in &p.pairings {
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
