//! Items of tails: single changes, sealed to the outbox key, which no terminal without the card can open.
//!
//! An item is its segments in order; each segment is `enc (65) ‖ length (4) ‖ ciphertext`, with at most 1 MiB of
//! plaintext, and the whole is preceded by the number of segments (4).

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use simsync_card::ids::{CardId, Hash, Point};
use simsync_card::text::fields;

use crate::hpke::{self, KemSecret};
use crate::ids::{CollectionId, ObjectId, VaultId};
use crate::signed::{FormatError, encode_with_room};
use crate::tree::{Entry, FileEntry};

/// Format version of items.
pub const ITEM_VERSION: u8 = 1;
/// Plaintext of one segment, in bytes.
pub const SEGMENT: usize = 1 << 20;
/// What sealing adds to a segment, in bytes.
const TAG: usize = 16;
/// Largest plaintext of one item, in bytes.
pub const ITEM_MAX: usize = 48 << 20;
/// Most bytes of a file that one item holds; larger files travel in parts.
pub const PART: usize = 16 << 20;
const WHAT: &str = "an item of a tail";

/// Content of a file that an item writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// The bytes themselves.
    Inline(Vec<u8>),
    /// Chunks that are in packs at the server already.
    Chunks(Vec<ObjectId>),
    /// The bytes are in as many [`Change::Part`] items, which follow at once; each but the last holds [`PART`] bytes.
    Parts(u32),
}

/// What happened at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Nothing is at the path any more.
    Delete,
    /// A directory with these permission bits.
    Directory(u16),
    /// A symbolic link with this target.
    Symlink(Vec<u8>),
    /// A file. `entry.chunks` is empty; the content stands beside it.
    File {
        /// Permission bits, size and time.
        entry: FileEntry,
        /// Where the bytes are.
        content: Content,
    },
    /// The next bytes of the file at the same path, for [`Content::Parts`].
    Part(Vec<u8>),
}

/// One change that was not committed when the card was pulled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// [`ITEM_VERSION`].
    pub version: u8,
    /// The collection that it changes.
    pub collection: CollectionId,
    /// Path below the collection's root, `/` between names.
    pub path: Vec<u8>,
    /// What the terminal's base had there, for the three-way merge.
    pub base: Option<Entry>,
    /// What is there now.
    pub change: Change,
}

/// What ties an item to its tail; part of HPKE's info.
#[derive(Debug, Clone, Copy)]
pub struct ItemContext {
    /// The vault whose outbox key the item is sealed to.
    pub vault: VaultId,
    /// Epoch of the outbox key.
    pub epoch: u32,
    /// The session's card.
    pub card: CardId,
    /// The session's number.
    pub n: u32,
    /// The item's place in the tail.
    pub index: u32,
}

impl ItemContext {
    fn info(&self, segment: u32, segments: u32) -> Vec<u8> {
        fields(&[
            b"simsync/1/item",
            &self.vault.0,
            &self.epoch.to_be_bytes(),
            &self.card.0,
            &self.n.to_be_bytes(),
            &self.index.to_be_bytes(),
            &segment.to_be_bytes(),
            &segments.to_be_bytes(),
        ])
    }
}

impl Item {
    /// Enough bytes for its plaintext form: a vector that grows leaves pieces of it behind.
    fn room(&self) -> usize {
        const FIXED: usize = 1024;
        let entry = |e: &Entry| match e {
            Entry::File(f) => f.chunks.len() * 32,
            Entry::Symlink { target } => target.len(),
            Entry::Directory { .. } => 0,
        };
        let change = match &self.change {
            Change::Delete | Change::Directory(_) => 0,
            Change::Symlink(target) => target.len(),
            Change::Part(bytes) => bytes.len(),
            Change::File { entry, content } => {
                entry.chunks.len() * 32
                    + match content {
                        Content::Inline(bytes) => bytes.len(),
                        Content::Chunks(chunks) => chunks.len() * 32,
                        Content::Parts(_) => 0,
                    }
            }
        };
        FIXED + self.path.len() + self.base.as_ref().map_or(0, entry) + change
    }

    /// Seals the item to the outbox's public key. Needs no secret.
    pub fn seal(
        &self,
        outbox: &Point,
        context: &ItemContext,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, FormatError> {
        let plain = zeroize::Zeroizing::new(encode_with_room(self, self.room()));
        if plain.len() > ITEM_MAX {
            return Err(FormatError::TooLarge {
                what: WHAT,
                max: ITEM_MAX,
            });
        }
        let segments = u32::try_from(plain.chunks(SEGMENT).len()).unwrap_or(u32::MAX);
        let mut out = segments.to_be_bytes().to_vec();
        for (i, part) in (0u32..).zip(plain.chunks(SEGMENT)) {
            let (enc, ciphertext) = hpke::seal(outbox, &context.info(i, segments), b"", part, rng)
                .map_err(|_| FormatError::Damaged("the vault's outbox key"))?;
            out.extend_from_slice(&enc.0);
            out.extend_from_slice(
                &u32::try_from(ciphertext.len())
                    .unwrap_or(u32::MAX)
                    .to_be_bytes(),
            );
            out.extend_from_slice(&ciphertext);
        }
        Ok(out)
    }

    /// Opens an item whose hash the tail names.
    pub fn open(
        key: &KemSecret,
        context: &ItemContext,
        sealed: &[u8],
    ) -> Result<Self, FormatError> {
        let damaged = || FormatError::Damaged(WHAT);
        if sealed.len() > ITEM_MAX + ITEM_MAX / 8 {
            return Err(FormatError::TooLarge {
                what: WHAT,
                max: ITEM_MAX,
            });
        }
        let (segments, mut rest) = sealed.split_first_chunk::<4>().ok_or_else(damaged)?;
        let segments = u32::from_be_bytes(*segments);
        let mut plain = zeroize::Zeroizing::new(Vec::new());
        for i in 0..segments {
            let (enc, r) = rest.split_first_chunk::<65>().ok_or_else(damaged)?;
            let (length, r) = r.split_first_chunk::<4>().ok_or_else(damaged)?;
            let length = u32::from_be_bytes(*length) as usize;
            if length > SEGMENT + TAG {
                return Err(damaged());
            }
            let ciphertext = r.get(..length).ok_or_else(damaged)?;
            rest = &r[length..];
            let part = hpke::open(
                key,
                &Point(*enc),
                &context.info(i, segments),
                b"",
                ciphertext,
            )
            .map_err(|_| damaged())?;
            plain.extend_from_slice(&part);
        }
        if !rest.is_empty() {
            return Err(damaged());
        }
        match plain.first() {
            None | Some(0) => Err(damaged()),
            Some(&found) if found > ITEM_VERSION => Err(FormatError::Newer {
                what: WHAT,
                found,
                known: ITEM_VERSION,
            }),
            Some(_) => match postcard::take_from_bytes(&plain) {
                Ok((item, [])) => Ok(item),
                _ => Err(damaged()),
            },
        }
    }
}

/// Splits the content of outbox packs into items: each is preceded by its length in 4 bytes.
pub fn split_items(mut bytes: &[u8]) -> Result<Vec<&[u8]>, FormatError> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes
            .split_first_chunk::<4>()
            .ok_or(FormatError::Damaged(WHAT))?;
        let length = u32::from_be_bytes(*length) as usize;
        out.push(rest.get(..length).ok_or(FormatError::Damaged(WHAT))?);
        bytes = &rest[length..];
    }
    Ok(out)
}

/// Hash of a sealed item, as the tail lists it.
pub fn item_hash(sealed: &[u8]) -> Hash {
    Hash::of(sealed)
}
