//! Sealed vault metadata in each commit: the vault's header, names and attributes of its collections.

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::chunker::ChunkerParams;
use crate::ids::CollectionId;
use crate::keys::KeyRing;
use crate::seal::Kind;
use crate::signed::{FormatError, decode_versioned, encode};

/// Format version of the metadata.
pub const METADATA_VERSION: u8 = 1;
const WHAT: &str = "the vault's metadata";

/// A collection as its owner knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionMeta {
    /// Its ID.
    pub id: CollectionId,
    /// What kind of data: `files`, `contacts`, `calendar`, `settings` or an own word.
    pub attribute: String,
    /// The owner's name for it.
    pub name: String,
}

/// What stands sealed in every commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// [`METADATA_VERSION`].
    pub version: u8,
    /// Chunk sizes of this vault.
    pub chunker: ChunkerParams,
    /// All collections, sorted by ID.
    pub collections: Vec<CollectionMeta>,
    /// When the commit was made, milliseconds since 1970, by the terminal's clock. For the eye only.
    pub time_ms: i64,
}

impl Metadata {
    /// A new vault's.
    pub fn new() -> Self {
        Self {
            version: METADATA_VERSION,
            chunker: ChunkerParams::V1,
            collections: Vec::new(),
            time_ms: 0,
        }
    }

    /// Seals it for a commit.
    pub fn seal(&self, keys: &KeyRing, rng: &mut impl CryptoRng) -> Vec<u8> {
        keys.seal(Kind::Metadata, &[0; 32], &encode(self), rng)
    }

    /// Opens what a commit holds.
    pub fn open(keys: &KeyRing, sealed: &[u8]) -> Result<Self, FormatError> {
        let plain = keys
            .open(Kind::Metadata, &[0; 32], sealed)
            .map_err(|_| FormatError::Damaged(WHAT))?;
        let meta: Self = decode_versioned(WHAT, METADATA_VERSION, &plain)?;
        if !meta.chunker.is_sane() {
            return Err(FormatError::Rule {
                what: WHAT,
                why: "its chunk sizes are out of bounds".to_owned(),
            });
        }
        Ok(meta)
    }
}

impl Default for Metadata {
    fn default() -> Self {
        Self::new()
    }
}
