//! Why a call of a store did nothing.

use crate::rules::Refusal;

/// Why a call did nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Against a rule; whoever asked is told.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No room left.
    #[error("the disk or quota is full")]
    Full,
    /// Written by a newer simsync-server.
    #[error(
        "the store has schema version {found}; this simsync-server knows up to {known}: update simsync-server"
    )]
    Newer {
        /// The version found.
        found: u32,
        /// The newest that we know.
        known: u32,
    },
    /// The store itself failed.
    #[error("the store failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// A failure of the store itself.
    pub fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}

/// Result of a store's call.
pub type Result<T> = std::result::Result<T, StoreError>;
