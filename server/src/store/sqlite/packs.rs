//! Packs' rows; their bytes are the blob store's.

use rusqlite::{Connection, params};
use simsync_card::ids::{SubscriberId, TerminalId};
use simsync_vault::commit::PackRef;
use simsync_vault::ids::{CollectionId, PackId};

use super::connection::Tx;
use super::rows;
use crate::rules::pack;
use crate::store::Result;
use crate::store::types::{BeginPack, CompletePacks, PackRow, PackStatus, Seconds, TailStatus};

pub(super) fn live(
    db: &Connection,
    sub: &SubscriberId,
    collection: &CollectionId,
) -> Result<Vec<PackRef>> {
    let mut q = db.prepare_cached(
        "SELECT pack, size FROM packs WHERE subscriber = ?1 AND collection = ?2 AND status = ?3 ORDER BY added, place",
    )?;
    let committed = rows::state_name(&PackStatus::Committed)?;
    let found = q.query_map(params![sub.as_str(), collection.0, committed], |r| {
        Ok(PackRef {
            id: rows::id(r, 0)?,
            collection: *collection,
            size: r.get(1)?,
        })
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn begin(tx: &Tx<'_>, p: &BeginPack) -> Result<PackRow> {
    let there = rows::pack(tx, &p.subscriber, &p.pack.id)?;
    let begins = pack::begin(&p.pack, there.as_ref())?;
    if let Some(row) = there.filter(|_| !begins) {
        return Ok(row);
    }
    let row = PackRow {
        pack: p.pack,
        status: PackStatus::Uploading,
        received: 0,
        hash: None,
        terminal: p.terminal,
    };
    insert(tx, &p.subscriber, &row, p.now)?;
    Ok(row)
}

fn insert(tx: &Tx<'_>, sub: &SubscriberId, row: &PackRow, now: Seconds) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO packs (subscriber, pack, collection, size, status, received, hash, terminal, touched)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        sub.as_str(),
        row.pack.id.0,
        row.pack.collection.0,
        row.pack.size,
        rows::state_name(&row.status)?,
        row.received,
        row.hash.map(|h| h.0),
        row.terminal.0,
        now
    ])?;
    Ok(())
}

pub(super) fn progress(
    tx: &Tx<'_>,
    sub: &SubscriberId,
    pack: &PackId,
    received: u64,
    now: Seconds,
) -> Result<()> {
    tx.prepare_cached(
        "UPDATE packs SET received = ?3, touched = ?4 WHERE subscriber = ?1 AND pack = ?2 AND status = ?5",
    )?
    .execute(params![
        sub.as_str(),
        pack.0,
        received,
        now,
        rows::state_name(&PackStatus::Uploading)?
    ])?;
    Ok(())
}

pub(super) fn complete(tx: &Tx<'_>, p: &CompletePacks) -> Result<()> {
    let sub = p.subscriber.as_str();
    for (pack, hash) in &p.packs {
        let row = rows::pack(tx, &p.subscriber, &pack.id)?;
        match pack::complete(pack, hash, row.as_ref())? {
            pack::Outcome::New => {
                let row = PackRow {
                    pack: *pack,
                    status: PackStatus::Complete,
                    received: pack.size,
                    hash: Some(*hash),
                    terminal: p.terminal,
                };
                insert(tx, &p.subscriber, &row, p.now)?;
            }
            pack::Outcome::Uploaded => {
                tx.prepare_cached(
                    "UPDATE packs SET status = ?3, received = size, hash = ?4, touched = ?5
                     WHERE subscriber = ?1 AND pack = ?2",
                )?
                .execute(params![
                    sub,
                    pack.id.0,
                    rows::state_name(&PackStatus::Complete)?,
                    hash.0,
                    p.now
                ])?;
            }
            pack::Outcome::Again => {
                tx.prepare_cached(
                    "UPDATE packs SET touched = ?3 WHERE subscriber = ?1 AND pack = ?2",
                )?
                .execute(params![sub, pack.id.0, p.now])?;
            }
        }
    }
    Ok(())
}

pub(super) fn outbox_bytes_beside(
    db: &Connection,
    sub: &SubscriberId,
    terminal: &TerminalId,
    pack: &PackId,
) -> Result<u64> {
    // Packs of settled tails wait for the collector and do not count against the terminal.
    let mut q = db.prepare_cached(
        "SELECT coalesce(sum(size), 0) FROM packs WHERE subscriber = ?1 AND collection = ?2 AND terminal = ?3
         AND touched >= coalesce((SELECT max(at) FROM tails WHERE subscriber = ?1 AND terminal = ?3 AND status IN (?4, ?5)), 0)
         AND pack <> ?6",
    )?;
    Ok(q.query_row(
        params![
            sub.as_str(),
            CollectionId::OUTBOX.0,
            terminal.0,
            rows::state_name(&TailStatus::Merged)?,
            rows::state_name(&TailStatus::Forgotten)?,
            pack.0
        ],
        |r| r.get(0),
    )?)
}
