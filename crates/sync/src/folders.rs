//! The adapter for folders.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::adapter::{Adapter, Few, Opened, Place, Writes};
use crate::dir::{
    Found, FsId, Scan, ScanError, Stat, is_local, open_beneath, open_root, read_link, scan,
    scan_paths,
};
use crate::node::RelPath;

/// A collection is a folder with all in it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Folders;

impl Adapter for Folders {
    fn open(&self, root: &Path) -> Result<Box<dyn Place>, ScanError> {
        Ok(Box::new(Folder(open_root(root)?)))
    }

    fn make(&self, root: &Path) -> std::io::Result<bool> {
        match std::fs::create_dir(root) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn watched(&self, root: &Path) -> PathBuf {
        root.to_owned()
    }
}

#[derive(Debug)]
struct Folder(OwnedFd);

impl Place for Folder {
    fn identity(&self) -> Result<(FsId, u64), Errno> {
        Ok((FsId::of(&self.0)?, Stat::of_fd(&self.0)?.ino))
    }

    fn scan(
        &self,
        entry: &mut dyn FnMut(Found),
        stop: &dyn Fn() -> bool,
    ) -> Result<Scan, ScanError> {
        scan(self.0.as_fd(), entry, stop)
    }

    fn few(&self) -> Option<&dyn Few> {
        is_local(&self.0).unwrap_or(false).then_some(self)
    }

    fn read_link(&self, path: &RelPath) -> Result<Vec<u8>, Errno> {
        read_link(self.0.as_fd(), path)
    }

    fn open_file(&self, path: &RelPath) -> Result<Box<dyn Opened>, Errno> {
        // A FIFO that came in the file's place is not waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let fd = open_beneath(self.0.as_fd(), path.as_bytes(), flags)?;
        Ok(Box::new(std::fs::File::from(fd)))
    }

    fn writes(&self) -> Writes<'_> {
        Writes::Folder(self.0.as_fd())
    }
}

impl Few for Folder {
    fn scan_paths(
        &self,
        paths: &BTreeSet<RelPath>,
        entry: &mut dyn FnMut(Found),
        stop: &dyn Fn() -> bool,
    ) -> Result<Scan, ScanError> {
        scan_paths(self.0.as_fd(), paths, entry, stop)
    }
}
