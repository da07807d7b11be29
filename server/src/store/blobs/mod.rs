//! Bytes of packs. The database says which of them count; what it does not name is waste.

mod folder;

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use simsync_card::ids::{Hash, SubscriberId};
use simsync_vault::ids::PackId;

use super::error::Result;

pub use folder::FolderBlobs;

/// Names a pack's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobKey {
    /// The subscriber whose vault it is of. Another vault may have a pack of the same name.
    pub subscriber: SubscriberId,
    /// Name of the pack.
    pub pack: PackId,
}

/// Where packs live: a folder, or later an object store.
#[async_trait]
pub trait Blobs: Send + Sync + 'static {
    /// Appends to an upload at `offset`; what stood behind it is cut off.
    async fn append(&self, key: BlobKey, offset: u64, bytes: Bytes) -> Result<()>;
    /// Makes an upload durable as far as it is; answers its length (0 if there is none).
    async fn sync_parts(&self, key: BlobKey) -> Result<u64>;
    /// Puts a finished upload into its place, durable; answers the SHA-256 of its bytes. A pack that is there already with
    /// the same content is no error; with other content it is [`crate::rules::Refusal::PackExists`].
    async fn finish_parts(&self, key: BlobKey, size: u64) -> Result<Hash>;
    /// Reads ranges, in order. A range that goes beyond the end fails.
    async fn read(&self, parts: Vec<(BlobKey, Range<u64>)>) -> Result<Vec<Bytes>>;
    /// Names of all packs of a subscriber that are in their places.
    async fn list(&self, subscriber: SubscriberId) -> Result<Vec<PackId>>;
    /// Removes packs; those that are not there are no error.
    async fn delete(&self, keys: Vec<BlobKey>) -> Result<()>;
}
