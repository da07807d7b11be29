//! What a collection is on a terminal: where its entries are, and how they are found, read, written, watched and merged.
//! [`crate::folders::Folders`] is the adapter for folders; an engine knows trees only.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::dir::{ApplyError, Found, FsId, Scan, ScanError, Stat};
use crate::node::RelPath;
use crate::plan::Merged;

/// How collections of one kind are kept on this terminal.
pub trait Adapter: Debug + Send + Sync {
    /// Opens the place where a collection is. Whoever holds it goes on with that very place, whatever takes its name.
    fn open(&self, root: &Path) -> Result<Box<dyn Place>, ScanError>;

    /// Makes the place, empty, where it is missing and its owner said that it may begin anew. Whether it was missing.
    fn make(&self, root: &Path) -> std::io::Result<bool>;

    /// A folder in which, or below which, every change of the collection shows.
    fn watched(&self, root: &Path) -> PathBuf;

    /// Whether contents of this path may be merged by [`Self::merge`], which costs reading all of them.
    fn merges(&self, _path: &RelPath) -> bool {
        false
    }

    /// Makes one content of two that both changed since `base`; none where that cannot be: then both are kept.
    fn merge(&self, _path: &RelPath, _versions: &Versions<'_>) -> Option<Merged<Vec<u8>>> {
        None
    }
}

/// Contents of one path.
#[derive(Clone, Copy)]
pub struct Versions<'a> {
    /// What both sides had; none if there was nothing, or nobody has it any more.
    pub base: Option<&'a [u8]>,
    /// What this terminal has; it differs from `base`.
    pub local: &'a [u8],
    /// What the vault has; it differs from `base`, too.
    pub remote: &'a [u8],
}

/// A collection's place, open.
pub trait Place: Debug + Send + Sync {
    /// What tells it from another one under the same name: its file system, and its inode number there.
    fn identity(&self) -> Result<(FsId, u64), Errno>;

    /// Looks at every entry, folders before what is in them, and reads none. Stops when `stop` says so.
    fn scan(
        &self,
        entry: &mut dyn FnMut(Found),
        stop: &dyn Fn() -> bool,
    ) -> Result<Scan, ScanError>;

    /// How a few paths of it are looked at. None where whoever watches it does not hear of every change: there, what nobody told
    /// of may have changed all the same.
    fn few(&self) -> Option<&dyn Few> {
        None
    }

    /// Target of a symbolic link.
    fn read_link(&self, path: &RelPath) -> Result<Vec<u8>, Errno>;

    /// Opens a file for reading.
    fn open_file(&self, path: &RelPath) -> Result<Box<dyn Opened>, Errno>;

    /// Whether it is written to as a folder or item by item, and the way to do so.
    fn writes(&self) -> Writes<'_>;
}

/// A place of which a few paths can be looked at, since every change is told.
pub trait Few {
    /// As [`Place::scan`], of these paths and all below them only.
    fn scan_paths(
        &self,
        paths: &BTreeSet<RelPath>,
        entry: &mut dyn FnMut(Found),
        stop: &dyn Fn() -> bool,
    ) -> Result<Scan, ScanError>;
}

/// A file, open for reading.
pub trait Opened: Read + Send {
    /// How it looks now.
    fn stat(&self) -> Result<Stat, Errno>;
}

impl Opened for std::fs::File {
    fn stat(&self) -> Result<Stat, Errno> {
        Stat::of_fd(self)
    }
}

/// How a place is written to.
#[derive(Debug)]
pub enum Writes<'a> {
    /// It is a folder: whoever writes does so beneath it, in batches.
    Folder(BorrowedFd<'a>),
    /// Item by item, each as a whole.
    Items(&'a dyn Items),
}

/// Writes whole items, each durably before it answers. What is not as `expected` is left alone: [`ApplyError::ChangedMeanwhile`].
pub trait Items: Debug {
    /// Writes an item in place of the expected one, or where nothing is. Answers its new state.
    fn write(
        &self,
        path: &RelPath,
        content: &[u8],
        mtime: i64,
        expected: Option<&Stat>,
    ) -> Result<Stat, ApplyError>;

    /// Gives an item another name; what has that name already stays.
    fn rename(&self, from: &RelPath, to: &RelPath) -> Result<Stat, ApplyError>;

    /// Removes an item; one that is gone already is no error.
    fn remove(&self, path: &RelPath, expected: Option<&Stat>) -> Result<(), ApplyError>;
}
