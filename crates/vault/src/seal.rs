//! Sealed objects: zstd, Padmé padding, XChaCha20-Poly1305 with a random 192-bit nonce.
//!
//! ```text
//! version (1) ‖ epoch (4) ‖ nonce (24) ‖ ciphertext ‖ tag (16)
//! plaintext: coding (1: 0 raw, 1 zstd) ‖ plain length (4) ‖ coded length (4) ‖ coded bytes ‖ zeros
//! ```
//! Additional data: version, vault, epoch, kind, ID, as fields with lengths.

use std::cell::RefCell;
use std::marker::PhantomData;

use chacha20poly1305::aead::{Aead, AeadInOut, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand_core::CryptoRng;
use simsync_card::text::fields;
use zeroize::Zeroizing;
use zstd::bulk::{Compressor, Decompressor};

use crate::chunker::CHUNK_MAX;
use crate::ids::VaultId;
use crate::secret::Secret32;
use crate::signed::BODY_MAX;

/// Format version of sealed objects.
pub const SEAL_VERSION: u8 = 1;
/// Largest plaintext of any object, in bytes; [`Kind::plain_max`] is that of each kind.
pub const PLAIN_MAX: usize = 64 << 20;
/// Version, epoch, nonce, tag.
pub const OVERHEAD: usize = HEADER + 16;
const HEADER: usize = 1 + 4 + 24;
const INNER: usize = 1 + 4 + 4;
const LEVEL: i32 = 1;

/// What an object is; part of what is authenticated, so none passes for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A piece of a file's content.
    Chunk = 1,
    /// A directory of a tree.
    Directory = 2,
    /// A pack's index.
    Index = 3,
    /// Vault metadata in a commit.
    Metadata = 4,
    /// The vault key of the epoch before.
    PreviousKey = 5,
}

impl Kind {
    /// Largest plaintext of this kind, in bytes. What is sealed under a key of ours may still come from a terminal that
    /// somebody else steers, so a length is believed only as far as the kind goes.
    pub fn plain_max(self) -> usize {
        match self {
            Self::Chunk => CHUNK_MAX as usize,
            Self::Directory | Self::Index => PLAIN_MAX,
            Self::Metadata => BODY_MAX,
            Self::PreviousKey => 32,
        }
    }

    /// Longest sealed form of this kind, in bytes.
    fn sealed_max(self) -> usize {
        OVERHEAD + padme(INNER + self.plain_max())
    }
}

/// Why an object does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Changed, truncated, or of another place.
    #[error("a sealed object is damaged or was moved from another place")]
    Damaged,
    /// Sealed in an epoch that we have no key for.
    #[error("a sealed object is of epoch {0}, for which there is no key here")]
    NoKey(u32),
    /// Written by a newer simsync.
    #[error("a sealed object has format version {0}: update simsync on this terminal")]
    Newer(u8),
    /// The cipher refused.
    #[error("an object could not be sealed; nothing of it was written")]
    NotSealed,
    /// Larger than anything that we write.
    #[error("a sealed object is larger than any of its kind can be")]
    TooLarge,
}

/// A 256-bit AEAD key; zeroized when dropped.
#[derive(Clone, Debug)]
pub struct SealKey(Secret32);

impl SealKey {
    /// From derived bytes.
    pub fn new(bytes: Secret32) -> Self {
        Self(bytes)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.0).into())
    }
}

fn additional_data(vault: &VaultId, epoch: u32, kind: Kind, id: &[u8; 32]) -> Vec<u8> {
    fields(&[
        &[SEAL_VERSION],
        &vault.0,
        &epoch.to_be_bytes(),
        &[kind as u8],
        id,
    ])
}

/// Padmé: the smallest length with few significant bits that holds `len`; leaks at most O(log log len) bits.
pub fn padme(len: usize) -> usize {
    if len < 2 {
        return len;
    }
    let e = len.ilog2();
    let s = e.ilog2() + 1;
    let mask = (1usize << (e.saturating_sub(s))) - 1;
    (len + mask) & !mask
}

/// Seals one object. More than [`Kind::plain_max`] bytes of plaintext is [`SealError::TooLarge`]: nobody could open it.
pub fn seal(
    key: &SealKey,
    vault: &VaultId,
    epoch: u32,
    kind: Kind,
    id: &[u8; 32],
    plain: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, SealError> {
    if plain.len() > kind.plain_max() {
        return Err(SealError::TooLarge);
    }
    let compressed = compress(plain);
    let (coding, coded): (u8, &[u8]) = match &compressed {
        Some(c) => (1, c),
        None => (0, plain),
    };
    let padded = padme(INNER + coded.len());
    let mut out = Vec::with_capacity(HEADER + padded + 16);
    out.push(SEAL_VERSION);
    out.extend_from_slice(&epoch.to_be_bytes());
    let mut nonce = [0; 24];
    rng.fill_bytes(&mut nonce);
    out.extend_from_slice(&nonce);
    out.push(coding);
    out.extend_from_slice(&u32::try_from(plain.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&u32::try_from(coded.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(coded);
    out.resize(HEADER + padded, 0);
    let aad = additional_data(vault, epoch, kind, id);
    let nonce: &XNonce = (&nonce).into();
    let tag = key
        .cipher()
        .encrypt_inout_detached(nonce, &aad, (&mut out[HEADER..]).into())
        .map_err(|_| SealError::NotSealed)?;
    out.extend_from_slice(&tag);
    Ok(out)
}

/// Opens one object; `key_of` gives the key of the epoch in which it was sealed.
pub fn open(
    key_of: impl Fn(u32) -> Option<SealKey>,
    vault: &VaultId,
    kind: Kind,
    id: &[u8; 32],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (&version, rest) = sealed.split_first().ok_or(SealError::Damaged)?;
    if version > SEAL_VERSION {
        return Err(SealError::Newer(version));
    }
    let (epoch, rest) = rest.split_first_chunk::<4>().ok_or(SealError::Damaged)?;
    let (nonce, ciphertext) = rest.split_first_chunk::<24>().ok_or(SealError::Damaged)?;
    if version == 0 {
        return Err(SealError::Damaged);
    }
    if sealed.len() > kind.sealed_max() {
        return Err(SealError::TooLarge);
    }
    let epoch = u32::from_be_bytes(*epoch);
    let key = key_of(epoch).ok_or(SealError::NoKey(epoch))?;
    let aad = additional_data(vault, epoch, kind, id);
    let inner = key
        .cipher()
        .decrypt(
            nonce.into(),
            Payload {
                msg: ciphertext,
                aad: &aad,
            },
        )
        .map(Zeroizing::new)
        .map_err(|_| SealError::Damaged)?;
    decode_inner(kind, &inner)
}

fn decode_inner(kind: Kind, inner: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (head, rest) = inner
        .split_first_chunk::<INNER>()
        .ok_or(SealError::Damaged)?;
    let [coding, p0, p1, p2, p3, c0, c1, c2, c3] = *head;
    let plain_len = u32::from_be_bytes([p0, p1, p2, p3]) as usize;
    let coded_len = u32::from_be_bytes([c0, c1, c2, c3]) as usize;
    // Before memory is taken for it.
    if plain_len > kind.plain_max() {
        return Err(SealError::TooLarge);
    }
    let coded = rest.get(..coded_len).ok_or(SealError::Damaged)?;
    let plain = match coding {
        0 => coded.to_vec(),
        1 => decompress(coded, plain_len).ok_or(SealError::Damaged)?,
        _ => return Err(SealError::Damaged),
    };
    if plain.len() == plain_len {
        Ok(Zeroizing::new(plain))
    } else {
        Err(SealError::Damaged)
    }
}

/// zstd's contexts of one thread: they cost more to make than a small file costs to compress, and hold parts of what they
/// compressed last.
#[derive(Default)]
struct Contexts {
    /// Pieces of work that use them now.
    users: usize,
    compressor: Option<Compressor<'static>>,
    decompressor: Option<Decompressor<'static>>,
}

thread_local! {
    static CONTEXTS: RefCell<Contexts> = RefCell::default();
}

/// Held by a piece of work that seals or opens much, on its thread: when it is dropped, the thread keeps nothing of what was
/// compressed. The thread may live on for long.
#[derive(Debug)]
pub struct ForgetsPlaintext(PhantomData<*const ()>);

impl ForgetsPlaintext {
    /// From now on, on this thread.
    pub fn hold() -> Self {
        CONTEXTS.with_borrow_mut(|c| c.users += 1);
        Self(PhantomData)
    }
}

impl Drop for ForgetsPlaintext {
    fn drop(&mut self) {
        CONTEXTS.with_borrow_mut(|c| {
            c.users -= 1;
            if c.users == 0 {
                *c = Contexts::default();
            }
        });
    }
}

/// zstd, if it saves anything.
fn compress(plain: &[u8]) -> Option<Vec<u8>> {
    if plain.len() < 64 {
        return None;
    }
    let coded = CONTEXTS.with_borrow_mut(|c| {
        let mut made = None;
        let is_kept = c.users > 0;
        let context = if is_kept {
            &mut c.compressor
        } else {
            &mut made
        };
        if context.is_none() {
            *context = Compressor::new(LEVEL).ok();
        }
        context.as_mut()?.compress(plain).ok()
    });
    coded.filter(|c| c.len() < plain.len())
}

/// What was compressed, if it is at most this long, in bytes.
fn decompress(coded: &[u8], plain_len: usize) -> Option<Vec<u8>> {
    CONTEXTS.with_borrow_mut(|c| {
        let mut made = None;
        let is_kept = c.users > 0;
        let context = if is_kept {
            &mut c.decompressor
        } else {
            &mut made
        };
        if context.is_none() {
            *context = Decompressor::new().ok();
        }
        context.as_mut()?.decompress(coded, plain_len).ok()
    })
}
