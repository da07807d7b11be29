//! From rows to types.

use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use simsync_card::ids::{CardId, Hash, ParseIdError, Point, SubscriberId, TerminalId};
use simsync_card::text::CardKeys;
use simsync_protocol::api::HeadInfo;
use simsync_vault::commit::{PackRef, SessionRef};
use simsync_vault::ids::{CollectionId, PackId, VaultId};

use crate::store::types::{
    CardRow, ConnectionId, PackRow, SessionRow, TailRow, TailStatus, TerminalRow,
};
use crate::store::{Result, StoreError};

/// IDs that are stored as blobs.
pub(super) trait Id: Sized {
    fn read(bytes: &[u8]) -> std::result::Result<Self, ParseIdError>;
}

macro_rules! ids {
    ($($t:ty),*) => {$(
        impl Id for $t {
            fn read(bytes: &[u8]) -> std::result::Result<Self, ParseIdError> {
                <$t>::from_slice(bytes)
            }
        }
    )*};
}
ids!(
    CardId,
    TerminalId,
    Hash,
    Point,
    PackId,
    CollectionId,
    VaultId,
    ConnectionId
);

fn bad(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
}

pub(super) fn id<T: Id>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let bytes = row.get_ref(column)?.as_blob()?;
    T::read(bytes).map_err(|e| bad(column, e))
}

pub(super) fn id_opt<T: Id>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)?.as_blob_or_null() {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => T::read(bytes).map(Some).map_err(|e| bad(column, e)),
        Err(e) => Err(bad(column, e)),
    }
}

pub(super) fn subscriber(row: &Row<'_>, column: usize) -> rusqlite::Result<SubscriberId> {
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|e: ParseIdError| bad(column, e))
}

/// A type that is stored as JSON text, such as a list.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|e| bad(column, e))
}

/// A state that is stored as its kebab-case name.
pub(super) fn state<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|e| bad(column, e))
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(StoreError::failed)
}

pub(super) fn state_name<T: Serialize>(value: &T) -> Result<String> {
    match serde_json::to_value(value).map_err(StoreError::failed)? {
        serde_json::Value::String(name) => Ok(name),
        other => Err(StoreError::failed(format!("{other} is not a state"))),
    }
}

/// Where a subscriber's chain is.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub vault: Option<VaultId>,
    pub head: Option<HeadInfo>,
    pub rekey_required: bool,
}

pub(super) fn chain(db: &Connection, sub: &SubscriberId) -> Result<Chain> {
    let mut q = db.prepare_cached(
        "SELECT vault, hash, sequence, epoch, list_number, rekey_required FROM heads WHERE subscriber = ?1",
    )?;
    let found = q
        .query_row([sub.as_str()], |r| {
            let hash: Option<Hash> = id_opt(r, 1)?;
            let (sequence, epoch, list_number) = (r.get(2)?, r.get(3)?, r.get(4)?);
            Ok(Chain {
                vault: id_opt(r, 0)?,
                head: hash.map(|hash| HeadInfo {
                    hash,
                    sequence,
                    epoch,
                    list_number,
                }),
                rekey_required: r.get(5)?,
            })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

const CARD: &str =
    "SELECT subscriber, card, label, sig_key, kem_key, state, enrolled, last_n FROM cards";

fn card_row(r: &Row<'_>) -> rusqlite::Result<CardRow> {
    Ok(CardRow {
        subscriber: subscriber(r, 0)?,
        card: id(r, 1)?,
        label: r.get(2)?,
        keys: CardKeys {
            sig: id(r, 3)?,
            kem: id(r, 4)?,
        },
        state: state(r, 5)?,
        enrolled: r.get(6)?,
        last_n: r.get(7)?,
    })
}

pub(super) fn cards(db: &Connection, sub: Option<&SubscriberId>) -> Result<Vec<CardRow>> {
    let sql =
        format!("{CARD} WHERE ?1 IS NULL OR subscriber = ?1 ORDER BY subscriber, enrolled, card");
    let mut q = db.prepare_cached(&sql)?;
    let rows = q.query_map([sub.map(SubscriberId::as_str)], card_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn card(db: &Connection, sub: &SubscriberId, card: &CardId) -> Result<Option<CardRow>> {
    let mut q = db.prepare_cached(&format!("{CARD} WHERE subscriber = ?1 AND card = ?2"))?;
    Ok(q.query_row(params![sub.as_str(), card.0], card_row)
        .optional()?)
}

/// A card by its ID, whoever's it is.
pub(super) fn any_card(db: &Connection, card: &CardId) -> Result<Option<CardRow>> {
    let mut q = db.prepare_cached(&format!("{CARD} WHERE card = ?1"))?;
    Ok(q.query_row([card.0], card_row).optional()?)
}

const TERMINAL: &str =
    "SELECT subscriber, terminal, key, label, attributes, state, paired FROM terminals";

fn terminal_row(r: &Row<'_>) -> rusqlite::Result<TerminalRow> {
    Ok(TerminalRow {
        subscriber: subscriber(r, 0)?,
        terminal: id(r, 1)?,
        key: id(r, 2)?,
        label: r.get(3)?,
        attributes: json(r, 4)?,
        state: state(r, 5)?,
        paired: r.get(6)?,
    })
}

pub(super) fn terminals(db: &Connection, sub: Option<&SubscriberId>) -> Result<Vec<TerminalRow>> {
    let sql = format!(
        "{TERMINAL} WHERE ?1 IS NULL OR subscriber = ?1 ORDER BY subscriber, paired, terminal"
    );
    let mut q = db.prepare_cached(&sql)?;
    let rows = q.query_map([sub.map(SubscriberId::as_str)], terminal_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn terminal(
    db: &Connection,
    sub: &SubscriberId,
    terminal: &TerminalId,
) -> Result<Option<TerminalRow>> {
    let mut q = db.prepare_cached(&format!(
        "{TERMINAL} WHERE subscriber = ?1 AND terminal = ?2"
    ))?;
    Ok(q.query_row(params![sub.as_str(), terminal.0], terminal_row)
        .optional()?)
}

/// A terminal by its ID, whoever's it is.
pub(super) fn any_terminal(db: &Connection, terminal: &TerminalId) -> Result<Option<TerminalRow>> {
    let mut q = db.prepare_cached(&format!("{TERMINAL} WHERE terminal = ?1"))?;
    Ok(q.query_row([terminal.0], terminal_row).optional()?)
}

pub(super) fn paired(
    db: &Connection,
    sub: &SubscriberId,
    card: &CardId,
    terminal: &TerminalId,
) -> Result<bool> {
    let mut q = db.prepare_cached(
        "SELECT 1 FROM pairings WHERE subscriber = ?1 AND card = ?2 AND terminal = ?3",
    )?;
    Ok(q.exists(params![sub.as_str(), card.0, terminal.0])?)
}

pub(super) fn session(
    db: &Connection,
    sub: &SubscriberId,
    session: &SessionRef,
) -> Result<Option<SessionRow>> {
    let mut q = db.prepare_cached(
        "SELECT terminal, statement, state, scope FROM sessions WHERE subscriber = ?1 AND card = ?2 AND n = ?3",
    )?;
    let found = q
        .query_row(params![sub.as_str(), session.card.0, session.n], |r| {
            Ok(SessionRow {
                session: *session,
                terminal: id(r, 0)?,
                statement: json(r, 1)?,
                state: state(r, 2)?,
                scope: state(r, 3)?,
            })
        })
        .optional()?;
    Ok(found)
}

const PACK: &str = "SELECT pack, collection, size, status, received, hash, terminal FROM packs";

fn pack_row(r: &Row<'_>) -> rusqlite::Result<PackRow> {
    Ok(PackRow {
        pack: PackRef {
            id: id(r, 0)?,
            collection: id(r, 1)?,
            size: r.get(2)?,
        },
        status: state(r, 3)?,
        received: r.get(4)?,
        hash: id_opt(r, 5)?,
        terminal: id(r, 6)?,
    })
}

pub(super) fn pack(db: &Connection, sub: &SubscriberId, pack: &PackId) -> Result<Option<PackRow>> {
    let mut q = db.prepare_cached(&format!("{PACK} WHERE subscriber = ?1 AND pack = ?2"))?;
    Ok(q.query_row(params![sub.as_str(), pack.0], pack_row)
        .optional()?)
}

pub(super) fn packs(db: &Connection, sub: &SubscriberId, ids: &[PackId]) -> Result<Vec<PackRow>> {
    let mut out = Vec::with_capacity(ids.len());
    for id in ids {
        out.extend(pack(db, sub, id)?);
    }
    Ok(out)
}

const TAIL: &str = "SELECT card, n, terminal, hash, status, replaces FROM tails";

fn tail_row(r: &Row<'_>) -> rusqlite::Result<TailRow> {
    Ok(TailRow {
        session: SessionRef {
            card: id(r, 0)?,
            n: r.get(1)?,
        },
        terminal: id(r, 2)?,
        hash: id(r, 3)?,
        status: state(r, 4)?,
        replaces: json(r, 5)?,
    })
}

pub(super) fn tail(
    db: &Connection,
    sub: &SubscriberId,
    session: &SessionRef,
) -> Result<Option<TailRow>> {
    let sql = format!("{TAIL} WHERE subscriber = ?1 AND card = ?2 AND n = ?3");
    let mut q = db.prepare_cached(&sql)?;
    Ok(
        q.query_row(params![sub.as_str(), session.card.0, session.n], tail_row)
            .optional()?,
    )
}

/// Tails in one status.
pub(super) fn tails_in(
    db: &Connection,
    sub: &SubscriberId,
    status: TailStatus,
) -> Result<Vec<TailRow>> {
    let sql = format!("{TAIL} WHERE subscriber = ?1 AND status = ?2");
    let mut q = db.prepare_cached(&sql)?;
    let rows = q.query_map(params![sub.as_str(), state_name(&status)?], tail_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Blobs of one column until their sum exceeds `budget`; the first one always.
pub(super) fn blobs_within(rows: &mut rusqlite::Rows<'_>, budget: usize) -> Result<Vec<Vec<u8>>> {
    let (mut out, mut sum) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let blob: Vec<u8> = row.get(0)?;
        sum += blob.len();
        if sum > budget && !out.is_empty() {
            break;
        }
        out.push(blob);
    }
    Ok(out)
}

/// Used for errors of `get_ref`.
impl From<FromSqlError> for StoreError {
    fn from(error: FromSqlError) -> Self {
        Self::failed(error)
    }
}
