//! The store: what it does by roles, its SQLite, the packs' bytes, the audit log, and one suite that any store passes.

pub mod audit;
pub mod blobs;
#[cfg(any(test, feature = "test-support"))]
pub mod conformance;
mod error;
pub mod events;
pub mod roles;
pub mod sqlite;
pub mod types;

pub use error::{Result, StoreError};
pub use roles::Store;
