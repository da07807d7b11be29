//! What a plan knows of a file's content: all of it, or only that the file looks different. Planning reads what both sides
//! changed and nothing else; every other file is read once, when it is uploaded.

use simsync_sync::node::{Changes, Node};

use super::content::Content;

/// A file's content, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// Its chunks are known: it was read, or a row or the vault names them.
    Read(Content),
    /// It may be anything. Equal to itself only: the number of the candidate among those of the scan.
    Unread(usize),
}

/// A node whose content is known.
pub(super) fn seen(node: Node<Content>) -> Node<Seen> {
    match node {
        Node::Dir { mode } => Node::Dir { mode },
        Node::Symlink { target } => Node::Symlink { target },
        Node::File { mode, content } => Node::File {
            mode,
            content: Seen::Read(content),
        },
    }
}

/// The reverse; none where the content is not known.
pub(super) fn read(node: Node<Seen>) -> Option<Node<Content>> {
    Some(match node {
        Node::Dir { mode } => Node::Dir { mode },
        Node::Symlink { target } => Node::Symlink { target },
        Node::File {
            mode,
            content: Seen::Read(content),
        } => Node::File { mode, content },
        Node::File {
            content: Seen::Unread(_),
            ..
        } => return None,
    })
}

/// Changes whose content is known.
pub(super) fn all_seen(changes: Changes<Content>) -> Changes<Seen> {
    let seen_one = |(path, node): (_, Option<_>)| (path, node.map(seen));
    changes.into_iter().map(seen_one).collect()
}

/// The reverse: those whose content is known.
pub(super) fn all_read(changes: Changes<Seen>) -> Changes<Content> {
    let read_one = |(path, node): (_, Option<_>)| match node {
        None => Some((path, None)),
        Some(node) => Some((path, Some(read(node)?))),
    };
    changes.into_iter().filter_map(read_one).collect()
}
