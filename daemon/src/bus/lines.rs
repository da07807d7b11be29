//! Lines of the lists that the manager gives: each an `a{sv}`.

use zbus::Type;

use super::text::carried;
use crate::api::{ConflictEntry, LogEntry, OutstandingEntry, VaultCard};

/// A commit, as `a{sv}`.
#[derive(Debug, zbus::SerializeDict, zbus::DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "snake_case")]
pub(super) struct LogLine {
    sequence: u64,
    hash: String,
    terminal: String,
    label: String,
    session: u32,
    closing: bool,
    tails: u32,
}

impl From<LogEntry> for LogLine {
    fn from(e: LogEntry) -> Self {
        Self {
            sequence: e.sequence,
            hash: carried(&e.hash),
            terminal: carried(&e.terminal),
            label: carried(&e.label),
            session: e.session,
            closing: e.closing,
            tails: e.tails,
        }
    }
}

/// A kept-aside version, as `a{sv}`.
#[derive(Debug, zbus::SerializeDict, zbus::DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "snake_case")]
pub(super) struct ConflictLine {
    id: i64,
    collection: String,
    path: String,
    aside: String,
    time_ms: i64,
}

impl From<ConflictEntry> for ConflictLine {
    fn from(e: ConflictEntry) -> Self {
        Self {
            id: e.id,
            collection: carried(&e.collection),
            path: carried(&e.path),
            aside: carried(&e.aside),
            time_ms: e.time_ms,
        }
    }
}

/// Something that is not where it should be, as `a{sv}`.
#[derive(Debug, zbus::SerializeDict, zbus::DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "snake_case")]
pub(super) struct OutstandingLine {
    code: String,
    collection: String,
    path: String,
    detail: String,
    remedy: String,
    since_ms: i64,
    count: u64,
    needs_person: bool,
}

impl From<OutstandingEntry> for OutstandingLine {
    fn from(e: OutstandingEntry) -> Self {
        Self {
            code: e.code.as_str().to_owned(),
            collection: carried(&e.collection),
            path: carried(&e.path),
            detail: carried(&e.detail),
            remedy: carried(&e.remedy),
            since_ms: e.since_ms,
            count: e.count,
            needs_person: e.needs_person,
        }
    }
}

/// One of the person's cards, as `a{sv}`.
#[derive(Debug, zbus::SerializeDict, zbus::DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "snake_case")]
pub(super) struct CardLine {
    card: String,
    in_use: bool,
    used_here: bool,
}

impl From<VaultCard> for CardLine {
    fn from(e: VaultCard) -> Self {
        Self {
            card: carried(&e.card),
            in_use: e.in_use,
            used_here: e.used_here,
        }
    }
}
