//! Packs: sealed objects side by side, with a sealed index at the end.
//!
//! ```text
//! "SIMSYNC-PACK" (12) ‖ version (1) ‖ collection (16) ‖ pack ID (16)
//! sealed objects
//! sealed index (kind Index, ID = pack ID ‖ 16 zeros)
//! length of the sealed index (4, big-endian)
//! ```

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::commit::PackRef;
use crate::ids::{CollectionId, ObjectId, PackId};
use crate::keys::KeyRing;
use crate::seal::{Kind, SealError};
use crate::signed::encode;

const MAGIC: &[u8; 12] = b"SIMSYNC-PACK";
/// Format version of packs.
pub const PACK_VERSION: u8 = 1;
/// Bytes before the first object.
pub const HEADER: usize = 12 + 1 + 16 + 16;

/// Where an object stands in its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// [`Kind::Chunk`] or [`Kind::Directory`], as its number.
    pub kind: u8,
    /// Keyed hash of the plaintext.
    pub id: ObjectId,
    /// Offset from the start of the pack, in bytes.
    pub offset: u32,
    /// Stored (sealed) length, in bytes.
    pub stored: u32,
    /// Length of the plaintext, in bytes.
    pub plain: u32,
}

impl IndexEntry {
    /// The object's kind, if it is one that packs hold.
    pub fn kind(&self) -> Option<Kind> {
        match self.kind {
            1 => Some(Kind::Chunk),
            2 => Some(Kind::Directory),
            _ => None,
        }
    }
}

/// Why a pack cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// Not a pack, truncated, or not the pack that was asked for.
    #[error("a pack is damaged or is not the one that was asked for")]
    Damaged,
    /// Written by a newer simsync.
    #[error("a pack has format version {0}: update simsync on this terminal")]
    Newer(u8),
    /// One of its objects does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Collects sealed objects until the pack is large enough.
#[derive(Debug)]
pub struct PackBuilder {
    id: PackId,
    collection: CollectionId,
    bytes: Vec<u8>,
    index: Vec<IndexEntry>,
}

impl PackBuilder {
    /// An empty pack with a random name.
    pub fn new(collection: CollectionId, rng: &mut impl CryptoRng) -> Self {
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        let mut bytes = Vec::new();
        bytes.extend_from_slice(MAGIC);
        bytes.push(PACK_VERSION);
        bytes.extend_from_slice(&collection.0);
        bytes.extend_from_slice(&id);
        Self {
            id: PackId(id),
            collection,
            bytes,
            index: Vec::new(),
        }
    }

    /// The pack's name.
    pub fn id(&self) -> PackId {
        self.id
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was added yet.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Adds an object that was sealed with [`KeyRing::seal`] under `kind` and `id`.
    pub fn push(&mut self, kind: Kind, id: ObjectId, plain_len: usize, sealed: &[u8]) {
        let as_u32 = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.index.push(IndexEntry {
            kind: kind as u8,
            id,
            offset: as_u32(self.bytes.len()),
            stored: as_u32(sealed.len()),
            plain: as_u32(plain_len),
        });
        self.bytes.extend_from_slice(sealed);
    }

    /// Seals the index. Answers the pack, its reference and its index.
    pub fn finish(
        mut self,
        keys: &KeyRing,
        rng: &mut impl CryptoRng,
    ) -> Result<FinishedPack, PackError> {
        let index = keys.seal(Kind::Index, &index_id(&self.id), &encode(&self.index), rng)?;
        let length = u32::try_from(index.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&index);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        Ok(FinishedPack {
            reference: PackRef {
                id: self.id,
                collection: self.collection,
                size: self.bytes.len() as u64,
            },
            bytes: self.bytes,
            index: self.index,
        })
    }
}

/// A pack that is ready to travel.
#[derive(Debug, Clone)]
pub struct FinishedPack {
    /// Name, collection and size.
    pub reference: PackRef,
    /// The stored form.
    pub bytes: Vec<u8>,
    /// Its index, in the clear, for this terminal.
    pub index: Vec<IndexEntry>,
}

fn index_id(pack: &PackId) -> [u8; 32] {
    let mut id = [0; 32];
    id[..16].copy_from_slice(&pack.0);
    id
}

/// Checks the header of a pack and opens its index.
pub fn read_index(
    keys: &KeyRing,
    expected: &PackRef,
    bytes: &[u8],
) -> Result<Vec<IndexEntry>, PackError> {
    if bytes.len() as u64 != expected.size || bytes.len() < HEADER + 4 || &bytes[..12] != MAGIC {
        return Err(PackError::Damaged);
    }
    match bytes[12] {
        0 => return Err(PackError::Damaged),
        v if v > PACK_VERSION => return Err(PackError::Newer(v)),
        _ => {}
    }
    if bytes[13..29] != expected.collection.0 || bytes[29..HEADER] != expected.id.0 {
        return Err(PackError::Damaged);
    }
    let (rest, length) = bytes.split_last_chunk::<4>().ok_or(PackError::Damaged)?;
    let length = u32::from_be_bytes(*length) as usize;
    let start = rest
        .len()
        .checked_sub(length)
        .filter(|s| *s >= HEADER)
        .ok_or(PackError::Damaged)?;
    let plain = keys.open(Kind::Index, &index_id(&expected.id), &rest[start..])?;
    let index: Vec<IndexEntry> = decode_index(&plain)?;
    let fits = |e: &IndexEntry| {
        let end = u64::from(e.offset) + u64::from(e.stored);
        e.kind().is_some() && e.offset as usize >= HEADER && end <= start as u64
    };
    if index.iter().all(fits) {
        Ok(index)
    } else {
        Err(PackError::Damaged)
    }
}

fn decode_index(plain: &[u8]) -> Result<Vec<IndexEntry>, PackError> {
    match postcard::take_from_bytes(plain) {
        Ok((index, [])) => Ok(index),
        _ => Err(PackError::Damaged),
    }
}

/// Opens one object of a pack; `stored` are exactly its bytes.
pub fn open_object(
    keys: &KeyRing,
    kind: Kind,
    id: &ObjectId,
    stored: &[u8],
) -> Result<zeroize::Zeroizing<Vec<u8>>, SealError> {
    keys.open(kind, &id.0, stored)
}
