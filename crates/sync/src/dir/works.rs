//! Work folders: temporary files on the file system that they are to end on, and what room there is.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, symlinkat, unlinkat};
use rustix::io::Errno;

use super::apply_error::ApplyError;
use super::open_beneath;
use super::work_folder::{FOLDER_ENDING, WORK_FOLDER, is_own, remove_folder};
use crate::node::RelPath;

/// A temporary file with its content, not yet at its place.
#[derive(Debug)]
pub struct Staged {
    pub(super) name: String,
    /// Which work folder it is in.
    pub(super) work: usize,
}

/// A work folder, and the file system that it is on.
#[derive(Debug)]
struct Work {
    /// The mount point below the root; none is the root itself.
    at: Option<RelPath>,
    fd: OwnedFd,
}

/// Left free on a disk: this part of it, or so many bytes, whichever is less. A disk that is full to the last byte takes
/// other programs down, and our own database.
const RESERVE_PART: u64 = 20;
const RESERVE_MAX: u64 = 64 << 20;

/// How a file is made where none is.
pub(super) const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The work folders beneath one root.
#[derive(Debug)]
pub(super) struct Works {
    works: Vec<Work>,
    /// Mount points below the root whose work folder was not needed yet.
    mounts: Vec<RelPath>,
    /// What was made last: several threads stage at once.
    counter: AtomicU64,
}

impl Works {
    /// Opens the one directly below the root, and removes what an interrupted batch left there.
    pub(super) fn open(root: BorrowedFd<'_>, mounts: Vec<RelPath>) -> Result<Self, ApplyError> {
        let fd = open_work(root, None)?;
        Ok(Self {
            works: vec![Work { at: None, fd }],
            mounts,
            counter: AtomicU64::new(0),
        })
    }

    /// Which of them is on the file system where `path` is.
    pub(super) fn for_path(
        &mut self,
        root: BorrowedFd<'_>,
        path: &RelPath,
    ) -> Result<usize, ApplyError> {
        let mount = self.mounts.iter().filter(|m| m.is_above(path));
        let Some(mount) = mount.max_by_key(|m| m.as_bytes().len()).cloned() else {
            return Ok(0);
        };
        if let Some(i) = self
            .works
            .iter()
            .position(|w| w.at.as_ref() == Some(&mount))
        {
            return Ok(i);
        }
        let fd = open_work(root, Some(&mount))?;
        self.works.push(Work {
            at: Some(mount),
            fd,
        });
        Ok(self.works.len() - 1)
    }

    /// Descriptor of the work folder that `for_path` answered.
    pub(super) fn dir(&self, index: usize) -> BorrowedFd<'_> {
        self.works[index].fd.as_fd()
    }

    /// Bytes that may be written where `path` is: what is free, less a part that is left to everybody else.
    pub(super) fn room(&mut self, root: BorrowedFd<'_>, path: &RelPath) -> Result<u64, ApplyError> {
        let work = self.for_path(root, path)?;
        let vfs = rustix::fs::fstatvfs(self.dir(work)).map_err(|e| ApplyError::io(path, e))?;
        let (free, all) = (
            vfs.f_bavail.saturating_mul(vfs.f_frsize),
            vfs.f_blocks.saturating_mul(vfs.f_frsize),
        );
        // Some file systems cannot tell.
        if all == 0 {
            return Ok(u64::MAX);
        }
        Ok(free.saturating_sub((all / RESERVE_PART).min(RESERVE_MAX)))
    }

    /// Makes something for `path` under a name that is free, in one of the work folders.
    fn make<T>(
        &self,
        work: usize,
        path: &RelPath,
        ending: &str,
        mut make: impl FnMut(BorrowedFd<'_>, &str) -> Result<T, Errno>,
    ) -> Result<(Staged, T), ApplyError> {
        loop {
            let number = self.counter.fetch_add(1, Ordering::Relaxed);
            let name = format!("{number}{ending}");
            match make(self.dir(work), &name) {
                Ok(made) => return Ok((Staged { name, work }, made)),
                Err(Errno::EXIST) => {}
                Err(e) => return Err(ApplyError::io(path, e)),
            }
        }
    }

    /// Makes an empty temporary file to write the content of `path` to, with these permission bits less the umask's.
    pub(super) fn stage(
        &self,
        work: usize,
        path: &RelPath,
        mode: Mode,
    ) -> Result<(Staged, File), ApplyError> {
        self.make(work, path, ".part", |dir, name| {
            openat(dir, name, NEW_FILE, mode).map(File::from)
        })
    }

    /// Makes a symbolic link that is to end at `path`.
    pub(super) fn link(
        &mut self,
        root: BorrowedFd<'_>,
        path: &RelPath,
        target: &[u8],
    ) -> Result<Staged, ApplyError> {
        let work = self.for_path(root, path)?;
        let made = self.make(work, path, ".link", |dir, name| {
            symlinkat(target, dir, name)
        });
        made.map(|(staged, ())| staged)
    }

    /// Makes an empty folder that is to end at `path`.
    pub(super) fn folder(
        &mut self,
        root: BorrowedFd<'_>,
        path: &RelPath,
        mode: Mode,
    ) -> Result<Staged, ApplyError> {
        let work = self.for_path(root, path)?;
        let made = self.make(work, path, FOLDER_ENDING, |dir, name| {
            mkdirat(dir, name, mode)
        });
        made.map(|(staged, ())| staged)
    }

    /// Removes a temporary file that is not needed any more.
    pub(super) fn discard(&self, staged: &Staged) {
        // What stays is removed when the work folder is opened the next time.
        let _ = unlinkat(self.dir(staged.work), &staged.name, AtFlags::empty());
    }

    /// Makes everything written so far durable.
    pub(super) fn sync_all(&self) -> Result<(), ApplyError> {
        for work in &self.works {
            rustix::fs::syncfs(&work.fd).map_err(|errno| ApplyError::Io {
                path: "the collection's disk".to_owned(),
                errno,
            })?;
        }
        Ok(())
    }
}

/// Opens the work folder below a mount point, or (none) the root, and takes away what was left there by staging.
fn open_work(root: BorrowedFd<'_>, at: Option<&RelPath>) -> Result<OwnedFd, ApplyError> {
    let path = match at {
        Some(at) => [at.as_bytes(), b"/", WORK_FOLDER.as_bytes()].concat(),
        None => WORK_FOLDER.as_bytes().to_vec(),
    };
    let io = |errno| ApplyError::Io {
        path: String::from_utf8_lossy(&path).into_owned(),
        errno,
    };
    let parent = at.map_or(&b"."[..], RelPath::as_bytes);
    let parent = open_beneath(root, parent, OFlags::PATH | OFlags::DIRECTORY).map_err(io)?;
    match mkdirat(&parent, WORK_FOLDER, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(io(e)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let work = open_beneath(root, &path, flags).map_err(io)?;
    for entry in rustix::fs::Dir::read_from(&work).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        if is_own(name.to_bytes()) {
            // Something else that stands there is in nobody's way: names are tried until one is free.
            if let Err(Errno::ISDIR | Errno::PERM) = unlinkat(&work, name, AtFlags::empty()) {
                remove_folder(work.as_fd(), name.to_bytes());
            }
        }
    }
    Ok(work)
}
