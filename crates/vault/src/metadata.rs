//! Sealed vault metadata in each commit: the vault's header, names and attributes of its collections.

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::chunker::ChunkerParams;
use crate::ids::CollectionId;
use crate::keys::KeyRing;
use crate::seal::{Kind, SealError};
use crate::signed::{FormatError, decode_versioned, encode};

/// Newest format version of the metadata. Version 1 has no agreed deletions, and is what is written where there are none.
pub const METADATA_VERSION: u8 = 2;
const WHAT: &str = "the vault's metadata";

/// A collection as its owner knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionMeta {
    /// ID of the collection, which never changes.
    pub id: CollectionId,
    /// What kind of data: `files`, `contacts`, `calendar`, `settings` or an own word.
    pub attribute: String,
    /// The owner's name for it.
    pub name: String,
}

/// Deletions of this commit that its owner said yes to, so that no other terminal asks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreedDeletions {
    /// The collection that the entries were deleted from.
    pub collection: CollectionId,
    /// How many entries the owner was told that they would go.
    pub count: u64,
}

/// What stands sealed in every commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Chunk sizes of this vault.
    pub chunker: ChunkerParams,
    /// All collections, sorted by ID.
    pub collections: Vec<CollectionMeta>,
    /// When the commit was made, milliseconds since 1970, by the terminal's clock. For the eye only.
    pub time_ms: i64,
    /// Deletions that the owner agreed to, sorted by collection.
    pub agreed: Vec<AgreedDeletions>,
}

/// Version 1 as stored, written while no deletions were agreed to.
#[derive(Serialize, Deserialize)]
struct V1 {
    version: u8,
    chunker: ChunkerParams,
    collections: Vec<CollectionMeta>,
    time_ms: i64,
}

/// Version 2 as stored: with agreed deletions.
#[derive(Serialize, Deserialize)]
struct V2 {
    version: u8,
    chunker: ChunkerParams,
    collections: Vec<CollectionMeta>,
    time_ms: i64,
    agreed: Vec<AgreedDeletions>,
}

impl Metadata {
    /// A new vault's.
    pub fn new() -> Self {
        Self {
            chunker: ChunkerParams::V1,
            collections: Vec::new(),
            time_ms: 0,
            agreed: Vec::new(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let (chunker, collections, time_ms) =
            (self.chunker, self.collections.clone(), self.time_ms);
        if self.agreed.is_empty() {
            let version = 1;
            return encode(&V1 {
                version,
                chunker,
                collections,
                time_ms,
            });
        }
        let (version, agreed) = (2, self.agreed.clone());
        encode(&V2 {
            version,
            chunker,
            collections,
            time_ms,
            agreed,
        })
    }

    fn decode(plain: &[u8]) -> Result<Self, FormatError> {
        if plain.first() == Some(&1) {
            let v: V1 = decode_versioned(WHAT, 1, plain)?;
            return Ok(Self {
                chunker: v.chunker,
                collections: v.collections,
                time_ms: v.time_ms,
                agreed: Vec::new(),
            });
        }
        let v: V2 = decode_versioned(WHAT, METADATA_VERSION, plain)?;
        Ok(Self {
            chunker: v.chunker,
            collections: v.collections,
            time_ms: v.time_ms,
            agreed: v.agreed,
        })
    }

    /// Seals it for a commit.
    pub fn seal(&self, keys: &KeyRing, rng: &mut impl CryptoRng) -> Result<Vec<u8>, SealError> {
        keys.seal(Kind::Metadata, &[0; 32], &self.encode(), rng)
    }

    /// Opens what a commit holds.
    pub fn open(keys: &KeyRing, sealed: &[u8]) -> Result<Self, FormatError> {
        let plain = keys
            .open(Kind::Metadata, &[0; 32], sealed)
            .map_err(|_| FormatError::Damaged(WHAT))?;
        let meta = Self::decode(&plain)?;
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
