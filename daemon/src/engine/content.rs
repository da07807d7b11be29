//! What identifies a file's content on this terminal.

use std::sync::Arc;

use simsync_sync::node::Node;
use simsync_vault::ids::ObjectId;

/// The chunks of a file in order, with its size and time for the eye. Equal chunks are equal content.
#[derive(Debug, Clone)]
pub struct Content {
    /// Keyed hashes of the chunks; copies share them.
    pub chunks: Arc<[ObjectId]>,
    /// Size in bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970. Takes no part in comparisons.
    pub mtime: i64,
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.chunks == other.chunks
    }
}

impl Eq for Content {}

impl Content {
    /// The chunk hashes, side by side.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.chunks.iter().flat_map(|c| c.0).collect()
    }

    /// The reverse of [`Self::to_bytes`]; none if the length is odd.
    pub fn from_bytes(bytes: &[u8], size: u64, mtime: i64) -> Option<Self> {
        let (chunks, rest) = bytes.as_chunks::<32>();
        rest.is_empty().then(|| Self {
            chunks: chunks.iter().map(|c| ObjectId(*c)).collect(),
            size,
            mtime,
        })
    }
}

/// What an entry holds, under whatever name.
#[derive(PartialEq, Eq, Hash)]
pub enum Held<'a> {
    /// Directories hold nothing of their own.
    Nothing,
    /// A file's chunks.
    Chunks(&'a [ObjectId]),
    /// A link's target.
    Target(&'a [u8]),
}

impl<'a> From<&'a Node<Content>> for Held<'a> {
    fn from(node: &'a Node<Content>) -> Self {
        match node {
            Node::Dir { .. } => Self::Nothing,
            Node::File { content, .. } => Self::Chunks(&content.chunks),
            Node::Symlink { target } => Self::Target(target),
        }
    }
}
