//! Directories of a collection as sealed objects: a Merkle tree by keyed hashes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::ObjectId;
use crate::keys::KeyRing;
use crate::signed::encode;

/// Format version of directories.
pub const DIRECTORY_VERSION: u8 = 1;
/// Longest name of an entry, in bytes (as Linux has it).
pub const NAME_MAX: usize = 255;
/// Longest target of a symbolic link, in bytes.
pub const TARGET_MAX: usize = 4096;
/// Most entries of one listing. In memory an entry takes many times the few bytes that it may have in a listing: this many
/// take some 200 MiB. Files with content reach the largest listing's size at about as many.
pub const ENTRIES_MAX: usize = 1 << 20;

/// Content and attributes of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Permission bits, 0o777 at most.
    pub mode: u16,
    /// Size in bytes.
    pub size: u64,
    /// Modification time: seconds since 1970. For the eye; it decides nothing.
    pub mtime: i64,
    /// Modification time: nanoseconds of the second, below 1,000,000,000.
    pub mtime_nanos: u32,
    /// The content, in order; empty for an empty file.
    pub chunks: Vec<ObjectId>,
}

/// What a name in a directory stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A directory, by the hash of its listing.
    Directory {
        /// Permission bits.
        mode: u16,
        /// Keyed hash of its listing.
        id: ObjectId,
    },
    /// A regular file: permission bits, size, time and chunks.
    File(FileEntry),
    /// A symbolic link and its target, uninterpreted.
    Symlink {
        /// The target's bytes.
        target: Vec<u8>,
    },
}

/// A directory's listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// [`DIRECTORY_VERSION`].
    pub version: u8,
    /// Entries by name, in byte order.
    pub entries: BTreeMap<Vec<u8>, Entry>,
}

/// Why a directory cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Not of this format.
    #[error("a directory of the vault is damaged")]
    Damaged,
    /// Written by a newer simsync.
    #[error("a directory of the vault has format version {0}: update simsync on this terminal")]
    Newer(u8),
    /// More entries than [`ENTRIES_MAX`].
    #[error("a directory of the vault has more than {ENTRIES_MAX} entries")]
    TooManyEntries,
    /// A name that must not be written to disk.
    #[error("a directory of the vault holds the forbidden name {0:?}")]
    BadName(String),
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            version: DIRECTORY_VERSION,
            entries: BTreeMap::new(),
        }
    }
}

impl Directory {
    /// Serialized form and keyed hash.
    pub fn to_object(&self, keys: &KeyRing) -> (ObjectId, Vec<u8>) {
        let bytes = encode(self);
        (directory_id(keys, &bytes), bytes)
    }

    /// Reads a listing and refuses names that would leave the tree, and any other form than [`Self::to_object`] writes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TreeError> {
        match bytes.first() {
            None | Some(0) => return Err(TreeError::Damaged),
            Some(&v) if v > DIRECTORY_VERSION => return Err(TreeError::Newer(v)),
            Some(_) => {}
        }
        // As the listing begins: version, number of entries. They are counted before the first of them takes memory.
        match postcard::take_from_bytes::<(u8, u64)>(bytes) {
            Ok(((_, entries), _)) if entries > ENTRIES_MAX as u64 => {
                return Err(TreeError::TooManyEntries);
            }
            Ok(_) => {}
            Err(_) => return Err(TreeError::Damaged),
        }
        let dir: Self = match postcard::take_from_bytes(bytes) {
            Ok((dir, [])) => dir,
            _ => return Err(TreeError::Damaged),
        };
        for (name, entry) in &dir.entries {
            if !is_safe_name(name) {
                return Err(TreeError::BadName(
                    String::from_utf8_lossy(name).into_owned(),
                ));
            }
            let sane = match entry {
                Entry::Directory { mode, .. } => *mode <= 0o777,
                Entry::File(f) => f.mode <= 0o777 && f.mtime_nanos < 1_000_000_000,
                Entry::Symlink { target } => {
                    !target.is_empty() && target.len() <= TARGET_MAX && !target.contains(&0)
                }
            };
            if !sane {
                return Err(TreeError::Damaged);
            }
        }
        // A name that stands there twice, or out of order, is lost on the way into the map: nobody may see another folder
        // than the one whose hash was signed.
        if encode(&dir) != bytes {
            return Err(TreeError::Damaged);
        }
        Ok(dir)
    }
}

/// Whether a name may stand in a directory: not empty, `.`, `..`, too long, no `/`, no NUL.
pub fn is_safe_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= NAME_MAX
        && name != b"."
        && name != b".."
        && !name.iter().any(|b| *b == b'/' || *b == 0)
}

/// Keyed hash of a chunk's plaintext.
pub fn chunk_id(keys: &KeyRing, plain: &[u8]) -> ObjectId {
    ObjectId(*blake3::keyed_hash(keys.chunk_id_key(), plain).as_bytes())
}

/// Keyed hash of a directory's listing. A prefix keeps it apart from chunks of equal bytes.
pub fn directory_id(keys: &KeyRing, bytes: &[u8]) -> ObjectId {
    let mut h = blake3::Hasher::new_keyed(keys.chunk_id_key());
    h.update(b"simsync/1/directory\0").update(bytes);
    ObjectId(*h.finalize().as_bytes())
}
