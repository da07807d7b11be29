//! Why the local database cannot be used.

/// Why the local database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Written by a newer simsync.
    #[error(
        "the local database has version {found}, this simsync knows up to {known}: update simsync; nothing was changed"
    )]
    Newer {
        /// Version of the schema in the file.
        found: i64,
        /// The newest that we know.
        known: i64,
    },
    /// A value in it is not what we wrote.
    #[error(
        "the local database is damaged ({0}): stop simsyncd, move the file aside and start again; your data is compared anew, nothing is lost"
    )]
    Damaged(String),
    /// SQLite said no.
    #[error("the local database cannot be used: {0}")]
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(e: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match e.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => Self::Damaged(e.to_string()),
            _ => Self::Sqlite(e),
        }
    }
}

pub(super) type Result<T> = std::result::Result<T, StoreError>;

/// A value that is not what we wrote.
pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}
