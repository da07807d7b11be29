//! Content-defined chunking: FastCDC with a gear table that is keyed in full per vault.
//!
//! A seed mixed into a public table can be recovered from the chunk lengths that a server sees; a table that is secret in
//! full is what remains. The cut points are part of the format: golden vectors pin them.

use serde::{Deserialize, Serialize};

/// Largest chunk that any vault can have, in bytes.
pub const CHUNK_MAX: u32 = 32 << 20;

/// Limits of chunk sizes; part of the vault's sealed header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkerParams {
    /// Files up to this size are one chunk, in bytes.
    pub whole_file_max: u32,
    /// Smallest chunk, in bytes.
    pub min: u32,
    /// Size aimed at, a power of two, in bytes.
    pub average: u32,
    /// Largest chunk, in bytes.
    pub max: u32,
}

impl ChunkerParams {
    /// What new vaults use.
    pub const V1: Self = Self {
        whole_file_max: 64 << 10,
        min: 256 << 10,
        average: 1 << 20,
        max: 4 << 20,
    };

    /// Whether values from outside are usable.
    pub fn is_sane(&self) -> bool {
        let ordered = 64 <= self.min && self.min <= self.average && self.average <= self.max;
        ordered
            && self.max <= CHUNK_MAX
            && self.whole_file_max <= self.max
            && self.average.is_power_of_two()
    }
}

/// Finds cut points.
pub struct Chunker {
    params: ChunkerParams,
    gear: Box<[u64; 256]>,
    mask_small: u64,
    mask_large: u64,
}

impl Chunker {
    /// `key` is the vault's chunker key.
    pub fn new(key: &[u8; 32], params: ChunkerParams) -> Self {
        let mut gear = Box::new([0u64; 256]);
        let mut xof = blake3::Hasher::new_keyed(key)
            .update(b"simsync/1/gear")
            .finalize_xof();
        for g in gear.iter_mut() {
            let mut bytes = [0; 8];
            xof.fill(&mut bytes);
            *g = u64::from_le_bytes(bytes);
        }
        let bits = params.average.ilog2();
        Self {
            params,
            gear,
            // Normalised chunking, level 2: harder to cut before the average, easier after. The high bits
            // of the rolling value depend on the most input bytes.
            mask_small: !0u64 << (64 - (bits + 2)),
            mask_large: !0u64 << (64 - (bits - 2)),
        }
    }

    /// The limits in use.
    pub fn params(&self) -> &ChunkerParams {
        &self.params
    }

    /// Length of the next chunk at the front of `data`. `data` must hold the rest of the file, or at
    /// least `max` bytes of it.
    pub fn cut(&self, data: &[u8]) -> usize {
        let (min, average, max) = (
            self.params.min as usize,
            self.params.average as usize,
            self.params.max as usize,
        );
        if data.len() <= min {
            return data.len();
        }
        let end = data.len().min(max);
        let middle = end.min(average);
        let mut rolling = 0u64;
        for (i, byte) in data.iter().enumerate().take(end).skip(min) {
            rolling = (rolling << 1).wrapping_add(self.gear[usize::from(*byte)]);
            let mask = if i < middle {
                self.mask_small
            } else {
                self.mask_large
            };
            if rolling & mask == 0 {
                return i + 1;
            }
        }
        end
    }
}
