//! The audit log's rows.

use rusqlite::{Connection, OptionalExtension as _, params};
use simsync_card::ids::{Hash, SubscriberId};

use super::rows;
use crate::store::Result;
use crate::store::audit::AuditRow;
use crate::store::types::{Actor, AuditEntry, Seconds};

/// Appends to the chain of the entry's subscriber.
pub(super) fn append(db: &Connection, entry: &AuditEntry) -> Result<()> {
    let subscriber = entry.subscriber.as_ref().map_or("", SubscriberId::as_str);
    let last: Option<(u64, Hash)> = db
        .prepare_cached(
            "SELECT number, hash FROM audit WHERE subscriber = ?1 ORDER BY number DESC LIMIT 1",
        )?
        .query_row([subscriber], |r| Ok((r.get(0)?, rows::id(r, 1)?)))
        .optional()?;
    let (number, previous) = last.unwrap_or((0, Hash::ZERO));
    let mut row = AuditRow {
        subscriber: subscriber.to_owned(),
        number: number + 1,
        at: entry.now,
        actor: entry.actor.to_string(),
        action: entry.action.to_owned(),
        detail: entry.detail.to_string(),
        previous,
        hash: Hash::ZERO,
    };
    row.hash = row.expected_hash();
    db.prepare_cached("INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute(params![
            row.subscriber,
            row.number,
            row.at,
            row.actor,
            row.action,
            row.detail,
            row.previous.0,
            row.hash.0
        ])?;
    Ok(())
}

/// Short for the usual call.
pub(super) fn note(
    db: &Connection,
    subscriber: &SubscriberId,
    actor: Actor,
    action: &'static str,
    detail: serde_json::Value,
    now: Seconds,
) -> Result<()> {
    append(
        db,
        &AuditEntry {
            subscriber: Some(subscriber.clone()),
            actor,
            action,
            detail,
            now,
        },
    )
}

pub(super) fn all(db: &Connection) -> Result<Vec<AuditRow>> {
    let mut q = db.prepare_cached(
        "SELECT subscriber, number, at, actor, action, detail, previous, hash FROM audit ORDER BY subscriber, number",
    )?;
    let found = q.query_map([], |r| {
        Ok(AuditRow {
            subscriber: r.get(0)?,
            number: r.get(1)?,
            at: r.get(2)?,
            actor: r.get(3)?,
            action: r.get(4)?,
            detail: r.get(5)?,
            previous: rows::id(r, 6)?,
            hash: rows::id(r, 7)?,
        })
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
