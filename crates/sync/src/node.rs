//! Paths and nodes of a tree.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Deepest nesting of directories that is synced.
pub const DEPTH_MAX: usize = 512;

/// A path below a collection's root: names joined by `/`, never empty, never `.` or `..`. A sync names each of its paths in
/// many places; copies share the bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Arc<[u8]>);

/// A path that must not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a path below a collection's root")]
pub struct BadPath(String);

impl RelPath {
    /// Longest path, in bytes (as Linux has it).
    pub const MAX: usize = 4095;

    /// Checks every name.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, BadPath> {
        let bytes = bytes.into();
        let name_ok = |n: &[u8]| {
            !n.is_empty() && n.len() <= 255 && n != b"." && n != b".." && !n.contains(&0)
        };
        if bytes.len() <= Self::MAX && bytes.split(|b| *b == b'/').all(name_ok) {
            Ok(Self(bytes.into()))
        } else {
            Err(BadPath(String::from_utf8_lossy(&bytes).into_owned()))
        }
    }

    /// Names and slashes as they are on disk: any bytes but NUL.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path of the directory that holds this, or none if it is directly below the root.
    pub fn parent(&self) -> Option<Self> {
        let cut = self.0.iter().rposition(|b| *b == b'/')?;
        Some(Self(self.0[..cut].into()))
    }

    /// The last name.
    pub fn name(&self) -> &[u8] {
        let start = self.0.iter().rposition(|b| *b == b'/').map_or(0, |i| i + 1);
        &self.0[start..]
    }

    /// All paths above, nearest first.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }

    /// The names in order.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/')
    }

    /// The path of `name` in this directory.
    pub fn join(&self, name: &[u8]) -> Result<Self, BadPath> {
        Self::new([&self.0, &b"/"[..], name].concat())
    }

    /// This path with another last name.
    pub fn with_name(&self, name: &[u8]) -> Result<Self, BadPath> {
        match self.parent() {
            Some(parent) => parent.join(name),
            None => Self::new(name),
        }
    }

    /// Number of names.
    pub fn depth(&self) -> usize {
        self.names().count()
    }

    /// Whether `other` lies below this path.
    pub fn is_above(&self, other: &Self) -> bool {
        other.0.len() > self.0.len()
            && other.0.starts_with(&self.0)
            && other.0[self.0.len()] == b'/'
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bytes that are no text are told apart: two names never look the same.
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// What a path stands for. `C` identifies content: equal values mean equal bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node<C> {
    /// A directory with permission bits.
    Dir {
        /// Permission bits.
        mode: u16,
    },
    /// A regular file with permission bits.
    File {
        /// Permission bits.
        mode: u16,
        /// What identifies the content.
        content: C,
    },
    /// A symbolic link.
    Symlink {
        /// Its target, uninterpreted.
        target: Vec<u8>,
    },
}

impl<C> Node<C> {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        matches!(self, Self::Dir { .. })
    }
}

/// Changes of one side against the base: what is there now, or `None` if it is gone.
///
/// Complete: if a directory is gone or became something else, everything that was below is listed as gone too.
pub type Changes<C> = BTreeMap<RelPath, Option<Node<C>>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_tree_are_refused() {
        for bad in [
            "", "/", "/a", "a/", "a//b", "..", "a/../b", ".", "a/./b", "a\0b",
        ] {
            assert!(RelPath::new(bad).is_err(), "{bad:?}");
        }
        assert!(RelPath::new("x".repeat(256)).is_err());
        assert!(RelPath::new("x/".repeat(2048) + "x").is_err());
        let p = RelPath::new("a/b/c.txt").unwrap();
        assert_eq!(p.name(), b"c.txt");
        assert_eq!(p.parent().unwrap().as_bytes(), b"a/b");
        assert_eq!(p.ancestors().count(), 2);
        assert!(RelPath::new("a").unwrap().is_above(&p));
        assert!(!RelPath::new("a/b/c").unwrap().is_above(&p));
    }
}
