//! CAP files (Java Card Virtual Machine Specification 3.0.4, chapter 6): read, checked in every size that they name, and
//! taken only if they are our applet.
//!
//! Cards and installers take much for granted: a wrong size ends in a load that never finishes, or in an applet that
//! differs from the file. So everything is checked here, before a card sees the first byte.

mod components;
mod error;
mod zip;

use openssl::hash::MessageDigest;

use crate::aid::Aid;
use crate::crypto;
use crate::error::GpError;
use crate::tlv;

pub use components::Component;
pub use error::{CapError, MAX_BLOCKS, MAX_FILE};

/// Tag of the load file data block (GPCS, table 11-58).
const LOAD_FILE_DATA_BLOCK: u8 = 0xC4;

/// A CAP file that was found to be our applet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapFile {
    components: Vec<Component>,
    version: (u8, u8),
}

impl CapFile {
    /// Reads and checks the bytes of a file, at most [`MAX_FILE`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CapError> {
        if bytes.len() > MAX_FILE {
            return Err(CapError::TooLarge);
        }
        let components = zip::components(bytes)?;
        let version = components::check(&components)?;
        Ok(Self {
            components,
            version,
        })
    }

    /// Major and minor version of the package.
    pub fn version(&self) -> (u8, u8) {
        self.version
    }

    /// AID of the package. It is always ours: a file with another one is refused when it is read.
    pub fn package(&self) -> Aid {
        Aid::our_package()
    }

    /// The applet in it, whose instance gets the same AID.
    pub fn applet(&self) -> Aid {
        Aid::our_applet()
    }

    /// The components that are loaded, in the order in which they are: all but Descriptor and Debug.
    pub fn loaded(&self) -> impl Iterator<Item = &Component> {
        self.components.iter().filter(|c| c.is_loaded())
    }

    /// Those components, joined.
    pub fn load_data(&self) -> Vec<u8> {
        self.loaded()
            .flat_map(|c| c.bytes.iter().copied())
            .collect()
    }

    /// The load file data block with its tag and length, in pieces of `size` bytes.
    pub fn blocks(&self, size: usize) -> Result<Vec<Vec<u8>>, CapError> {
        let data = self.load_data();
        let mut block = vec![LOAD_FILE_DATA_BLOCK];
        // Below 65,536 if it fits into the blocks there are; checked below.
        let length = u16::try_from(data.len())
            .map_err(|_| CapError::TooManyBlocks(data.len() / size.max(1)))?;
        block.extend(tlv::length(length));
        block.extend(data);
        let blocks: Vec<Vec<u8>> = block.chunks(size.max(1)).map(<[u8]>::to_vec).collect();
        if blocks.len() > MAX_BLOCKS {
            return Err(CapError::TooManyBlocks(blocks.len()));
        }
        Ok(blocks)
    }

    /// Load file data block hashes, SHA-256 and SHA-1 (GPCS C.2), of what is loaded.
    pub fn hashes(&self) -> Result<([u8; 32], [u8; 20]), GpError> {
        let data = self.load_data();
        let (mut long, mut short) = ([0; 32], [0; 20]);
        long.copy_from_slice(&crypto::digest(MessageDigest::sha256(), &data)?);
        short.copy_from_slice(&crypto::digest(MessageDigest::sha1(), &data)?);
        Ok((long, short))
    }
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
