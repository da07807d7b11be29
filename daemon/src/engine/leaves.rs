//! From the vault's types to the planner's, and back.

use simsync_sync::node::{Node, RelPath};
use simsync_vault::ids::ObjectId;
use simsync_vault::tree::{Entry, FileEntry};
use simsync_vault::treeops::Leaf;

use super::EngineError;
use super::content::Content;

/// The planner's view of what stands in the vault.
pub fn node_of(leaf: &Leaf) -> Node<Content> {
    match leaf {
        Leaf::Dir(mode) => Node::Dir { mode: *mode },
        Leaf::Symlink(target) => Node::Symlink {
            target: target.clone(),
        },
        Leaf::File(f) => Node::File {
            mode: f.mode,
            content: Content {
                chunks: f.chunks[..].into(),
                size: f.size,
                mtime: f
                    .mtime
                    .saturating_mul(1_000_000_000)
                    .saturating_add(i64::from(f.mtime_nanos)),
            },
        },
    }
}

/// The vault's view of what the planner decided.
pub fn leaf_of(node: &Node<Content>) -> Leaf {
    match node {
        Node::Dir { mode } => Leaf::Dir(*mode),
        Node::Symlink { target } => Leaf::Symlink(target.clone()),
        Node::File { mode, content } => Leaf::File(file_entry(content, *mode)),
    }
}

/// The same, as an entry; directories get no hash.
pub fn entry_of(node: &Node<Content>) -> Entry {
    match leaf_of(node) {
        Leaf::Dir(mode) => Entry::Directory {
            mode,
            id: ObjectId::ZERO,
        },
        Leaf::File(f) => Entry::File(f),
        Leaf::Symlink(target) => Entry::Symlink { target },
    }
}

/// A path from the vault; hostile ones were refused when the listing was read.
pub fn path_of(bytes: &[u8]) -> Result<RelPath, EngineError> {
    Ok(RelPath::new(bytes)?)
}

/// The entry of an item, whose content stands beside it.
pub(super) fn item_entry(content: &Content, mode: u16) -> FileEntry {
    FileEntry {
        chunks: Vec::new(),
        ..file_entry(content, mode)
    }
}

fn file_entry(content: &Content, mode: u16) -> FileEntry {
    FileEntry {
        mode,
        size: content.size,
        mtime: content.mtime.div_euclid(1_000_000_000),
        mtime_nanos: u32::try_from(content.mtime.rem_euclid(1_000_000_000)).unwrap_or(0),
        chunks: content.chunks.to_vec(),
    }
}
