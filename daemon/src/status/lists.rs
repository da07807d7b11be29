//! Lists for people, out of the database.

use simsync_codes::Code;

use crate::api::{ConflictEntry, Failure, LogEntry, OutstandingEntry};
use crate::database::Database;
use crate::store::StoreError;

fn store_failure(e: &StoreError) -> Failure {
    Failure::new(Code::Store, e.to_string())
}

/// The newest commits, newest first.
pub fn log(database: &Database, limit: u32) -> Result<Vec<LogEntry>, Failure> {
    let objects = database
        .stored(|s| s.key_objects())
        .map_err(|e| store_failure(&e))?;
    let label = |id: &simsync_card::ids::TerminalId| {
        objects
            .iter()
            .rev()
            .flat_map(|o| &o.body.terminals)
            .find(|t| t.id() == *id)
            .map_or_else(|| id.short(), |t| t.label.clone())
    };
    let commits = database
        .stored(|s| s.newest_commits(limit))
        .map_err(|e| store_failure(&e))?;
    Ok(commits
        .iter()
        .map(|c| LogEntry {
            sequence: c.body.sequence,
            hash: c.hash().to_string(),
            terminal: c.body.terminal.to_string(),
            label: label(&c.body.terminal),
            session: c.body.session.n,
            closing: c.body.closing,
            tails: u32::try_from(c.body.tails_merged.len()).unwrap_or(u32::MAX),
        })
        .collect())
}

/// What is not where it should be.
pub fn outstanding(database: &Database) -> Result<Vec<OutstandingEntry>, Failure> {
    let collections = database
        .stored(|s| s.collections())
        .map_err(|e| store_failure(&e))?;
    let rows = database
        .stored(|s| s.outstanding())
        .map_err(|e| store_failure(&e))?;
    Ok(rows
        .into_iter()
        .map(|r| OutstandingEntry {
            code: r.code,
            collection: collections
                .iter()
                .find(|c| c.pk == r.collection)
                .map_or_else(String::new, |c| c.name.clone()),
            path: String::from_utf8_lossy(&r.path).into_owned(),
            detail: r.detail,
            remedy: r.code.remedy().to_owned(),
            since_ms: r.since_ms,
            count: r.count,
            needs_person: r.code.needs_person(),
        })
        .collect())
}

/// Kept-aside versions.
pub fn conflicts(database: &Database) -> Result<Vec<ConflictEntry>, Failure> {
    let collections = database
        .stored(|s| s.collections())
        .map_err(|e| store_failure(&e))?;
    let rows = database
        .stored(|s| s.conflicts())
        .map_err(|e| store_failure(&e))?;
    Ok(rows
        .into_iter()
        .map(|r| ConflictEntry {
            id: r.pk,
            collection: collections
                .iter()
                .find(|c| c.pk == r.collection)
                .map_or_else(String::new, |c| c.name.clone()),
            path: String::from_utf8_lossy(&r.path).into_owned(),
            aside: String::from_utf8_lossy(&r.aside).into_owned(),
            time_ms: r.time_ms,
        })
        .collect())
}
