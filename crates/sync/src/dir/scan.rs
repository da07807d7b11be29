//! Walks a directory tree beneath a root, without following links and without leaving it. Other file systems that are
//! mounted below it are walked too, and named: what lies on them is not there while they are not mounted.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Statx, StatxAttributes, StatxFlags, openat,
    openat2, statat, statx,
};
use rustix::io::Errno;

use super::work_folder::{WORK_FOLDER, is_own};
use crate::node::{DEPTH_MAX, RelPath};

/// What tells a changed file from an unchanged one without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stat {
    /// Size in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970.
    pub mtime: i64,
    /// Time of the last change of content or attributes, in nanoseconds since 1970. Cannot be set by programs.
    pub ctime: i64,
    /// Inode number.
    pub ino: u64,
    /// Permission bits.
    pub mode: u16,
}

impl Stat {
    fn of(s: &rustix::fs::Stat) -> Self {
        let nanos = |seconds: i64, nanos: u64| {
            seconds
                .saturating_mul(1_000_000_000)
                .saturating_add(i64::try_from(nanos).unwrap_or(0))
        };
        Self {
            size: u64::try_from(s.st_size).unwrap_or(0),
            mtime: nanos(s.st_mtime, s.st_mtime_nsec),
            ctime: nanos(s.st_ctime, s.st_ctime_nsec),
            ino: s.st_ino,
            mode: (s.st_mode & 0o777) as u16,
        }
    }

    fn of_statx(s: &Statx) -> Self {
        let nanos = |t: rustix::fs::StatxTimestamp| {
            t.tv_sec
                .saturating_mul(1_000_000_000)
                .saturating_add(i64::from(t.tv_nsec))
        };
        Self {
            size: s.stx_size,
            mtime: nanos(s.stx_mtime),
            ctime: nanos(s.stx_ctime),
            ino: s.stx_ino,
            mode: s.stx_mode & 0o777,
        }
    }

    /// The present state of an open file.
    pub fn of_fd(fd: impl AsFd) -> Result<Self, Errno> {
        rustix::fs::fstat(fd).map(|s| Self::of(&s))
    }

    /// Whether an open file is as it was: a write since would show.
    pub fn is_still(&self, fd: impl AsFd) -> bool {
        Self::of_fd(fd).is_ok_and(|now| self.same_content(&now) && self.ctime == now.ctime)
    }

    /// Whether size, time and inode are the same. Attributes may differ, and so may the time of their change.
    pub fn same_content(&self, other: &Self) -> bool {
        (self.size, self.mtime, self.ino) == (other.size, other.mtime, other.ino)
    }

    /// The present state of an entry of an open directory, of links themselves; none if nothing is there.
    pub(super) fn of_entry(
        dir: impl AsFd,
        name: &[u8],
    ) -> Result<Option<(FoundKind, Self)>, Errno> {
        match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(s) => Ok(kind_of(&s).map(|k| (k, Self::of(&s)))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The present state of a path beneath a root, of links themselves; none if nothing is there.
    pub fn of_path(
        root: BorrowedFd<'_>,
        path: &RelPath,
    ) -> Result<Option<(FoundKind, Self)>, Errno> {
        let (dir, name) = match open_parent(root, path) {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(None),
            Err(e) => return Err(e),
        };
        Self::of_entry(&dir, &name)
    }
}

/// Opens the directory that holds `path`, and answers it with the last name.
pub(super) fn open_parent(
    root: BorrowedFd<'_>,
    path: &RelPath,
) -> Result<(OwnedFd, Vec<u8>), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = match path.parent() {
        Some(parent) => open_beneath(root, parent.as_bytes(), flags)?,
        None => open_beneath(root, b".", flags)?,
    };
    Ok((dir, path.name().to_vec()))
}

/// Kinds of entries that are synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundKind {
    /// A directory; a scan tells of it before its entries.
    Dir,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
}

/// An entry that the scan met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its path below the root of the collection.
    pub path: RelPath,
    /// Whether it is a file, a folder or a link.
    pub kind: FoundKind,
    /// What `stat` said of it.
    pub stat: Stat,
    /// A file or link that has other names, too: it may change by one of them.
    pub linked: bool,
}

/// Why something is not among the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// The system refused.
    Unreadable(Errno),
    /// Neither file, directory nor link, but this.
    Special(&'static str),
    /// Its path is longer than any that can be synced.
    PathTooLong,
    /// It is nested deeper than [`DEPTH_MAX`].
    TooDeep,
}

/// How much a skipped entry leaves unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hides {
    /// Nothing that was ever synced.
    Nothing,
    /// The path itself.
    Path,
    /// The path, and everything below it.
    Subtree,
}

/// Something that could not be looked at. It is left as it was, never taken for deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where, below the root; empty is the root itself. May be longer than a [`RelPath`].
    pub path: Vec<u8>,
    /// What about it cannot be synced.
    pub reason: SkipReason,
    /// What is unknown because of it.
    pub hides: Hides,
}

impl Skipped {
    /// Whether nothing is known of `path` because of this.
    pub fn covers(&self, path: &RelPath) -> bool {
        let (own, path) = (&self.path[..], path.as_bytes());
        match self.hides {
            Hides::Nothing => false,
            Hides::Path => own == path,
            Hides::Subtree => {
                own.is_empty()
                    || own == path
                    || (path.starts_with(own) && path.get(own.len()) == Some(&b'/'))
            }
        }
    }
}

/// Tells one file system from another, as well as the kernel does: `f_fsid` of `statfs`. Most file systems make it of their
/// UUID; some have none, and then it is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FsId(pub u64);

impl FsId {
    /// The file system of an open file.
    pub fn of(fd: impl AsFd) -> Result<Self, Errno> {
        rustix::fs::fstatvfs(fd).map(|s| Self(s.f_fsid))
    }
}

/// A directory or file below the root that is on another file system, or is mounted there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its path below the root of the collection.
    pub path: RelPath,
    /// Which file system.
    pub fs: FsId,
}

/// Result of a scan besides the entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// Entries met.
    pub entries: usize,
    /// What could not be looked at, or is of a kind that is not synced.
    pub skipped: Vec<Skipped>,
    /// Mount points met, those within others too.
    pub mounts: Vec<Mount>,
}

/// Why a scan gave no result at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// No directory there.
    #[error(
        "the folder {0} is missing; if its disk is not mounted, mount it, else remove the collection"
    )]
    RootMissing(String),
    /// Something else than a directory is there.
    #[error("where the folder {0} was, something else stands now; move that away")]
    NotFolder(String),
    /// The root cannot be read.
    #[error("the folder {0} cannot be read: {1}")]
    Root(String, Errno),
    /// The caller asked to stop.
    #[error("the scan was stopped")]
    Stopped,
}

/// Opens a collection's root.
pub fn open_root(path: &Path) -> Result<OwnedFd, ScanError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|e| match e {
        Errno::NOTDIR if path.symlink_metadata().is_ok() => {
            ScanError::NotFolder(path.display().to_string())
        }
        Errno::NOENT | Errno::NOTDIR => ScanError::RootMissing(path.display().to_string()),
        e => ScanError::Root(path.display().to_string(), e),
    })
}

/// Opens a path beneath a root: no link is followed, no mount or `..` leads out.
pub fn open_beneath(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // The kernel asks for another try when something was renamed meanwhile.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Target of a symbolic link beneath a root.
pub fn read_link(root: BorrowedFd<'_>, path: &RelPath) -> Result<Vec<u8>, Errno> {
    let (dir, name) = open_parent(root, path)?;
    rustix::fs::readlinkat(&dir, &name[..], Vec::new()).map(|c| c.into_bytes())
}

/// Walks everything beneath `root`, directories before what is in them; `visit` gets each entry, `stop` is asked at
/// each directory.
pub fn scan(
    root: BorrowedFd<'_>,
    visit: &mut dyn FnMut(Found),
    stop: &dyn Fn() -> bool,
) -> Result<Scan, ScanError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let at_root = |e| ScanError::Root("of the collection".to_owned(), e);
    let top = openat(root, c".", flags, Mode::empty()).map_err(at_root)?;
    let device = device_of(&stat_at(&top, c"", AtFlags::EMPTY_PATH).map_err(at_root)?);
    let mut walk = Walk::new(root, visit);
    walk.directory(&top, None, device);
    walk.down(stop)?;
    Ok(walk.out)
}

/// Major and minor number.
pub(super) type Device = (u32, u32);

pub(super) fn device_of(s: &Statx) -> Device {
    (s.stx_dev_major, s.stx_dev_minor)
}

pub(super) fn stat_at(
    dir: &OwnedFd,
    name: impl rustix::path::Arg,
    flags: AtFlags,
) -> Result<Statx, Errno> {
    let flags = flags | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    statx(dir, name, flags, StatxFlags::BASIC_STATS)
}

/// Whether an encrypted directory (fscrypt) has no key now: then its names are not its names.
pub(super) fn is_locked(dir: &OwnedFd) -> bool {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    matches!(openat(dir, c".", flags, Mode::RUSR), Err(Errno::NOKEY))
}

fn child(parent: Option<&RelPath>, name: &[u8]) -> Result<RelPath, crate::node::BadPath> {
    match parent {
        Some(p) => p.join(name),
        None => RelPath::new(name),
    }
}

fn kind_of(s: &rustix::fs::Stat) -> Option<FoundKind> {
    kind_of_mode(s.st_mode).ok()
}

/// The kind, or the name of one that is not synced.
fn kind_of_mode(mode: u32) -> Result<FoundKind, &'static str> {
    match FileType::from_raw_mode(mode) {
        FileType::Directory => Ok(FoundKind::Dir),
        FileType::RegularFile => Ok(FoundKind::File),
        FileType::Symlink => Ok(FoundKind::Symlink),
        FileType::Fifo => Err("a FIFO"),
        FileType::Socket => Err("a socket"),
        _ => Err("a device"),
    }
}

/// A directory that is still to be looked at.
struct Next {
    path: RelPath,
    device: Device,
    encrypted: bool,
}

pub(super) struct Walk<'a> {
    root: BorrowedFd<'a>,
    visit: &'a mut dyn FnMut(Found),
    pub(super) out: Scan,
    stack: Vec<Next>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, visit: &'a mut dyn FnMut(Found)) -> Self {
        Self {
            root,
            visit,
            out: Scan::default(),
            stack: Vec::new(),
        }
    }

    /// Looks at all that is below the directories that were met.
    pub(super) fn down(&mut self, stop: &dyn Fn() -> bool) -> Result<(), ScanError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        while let Some(next) = self.stack.pop() {
            if stop() {
                return Err(ScanError::Stopped);
            }
            match open_beneath(self.root, next.path.as_bytes(), flags) {
                Ok(fd) if next.encrypted && is_locked(&fd) => {
                    let reason = SkipReason::Unreadable(Errno::NOKEY);
                    self.skip(next.path.as_bytes(), reason, Hides::Subtree);
                }
                Ok(fd) => self.directory(&fd, Some(&next.path), next.device),
                Err(e) => {
                    let reason = SkipReason::Unreadable(e);
                    self.skip(next.path.as_bytes(), reason, Hides::Subtree);
                }
            }
        }
        Ok(())
    }

    pub(super) fn skip(&mut self, path: &[u8], reason: SkipReason, hides: Hides) {
        let path = path.to_vec();
        self.out.skipped.push(Skipped {
            path,
            reason,
            hides,
        });
    }

    fn directory(&mut self, fd: &OwnedFd, at: Option<&RelPath>, device: Device) {
        let here = at.map_or(&b""[..], RelPath::as_bytes);
        let unreadable = SkipReason::Unreadable;
        let dir = match Dir::read_from(fd) {
            Ok(dir) => dir,
            Err(e) => return self.skip(here, unreadable(e), Hides::Subtree),
        };
        for entry in dir {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) => return self.skip(here, unreadable(e), Hides::Subtree),
            };
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if name == WORK_FOLDER.as_bytes() {
                self.work_folder(fd, at);
                continue;
            }
            let Ok(path) = child(at, name) else {
                let path = [here, b"/", name].concat();
                self.skip(&path, SkipReason::PathTooLong, Hides::Nothing);
                continue;
            };
            match stat_at(fd, entry.file_name(), AtFlags::empty()) {
                Ok(s) => self.entry(path, &s, device),
                // Gone between listing and looking: that is a deletion.
                Err(Errno::NOENT) => {}
                Err(e) => self.skip(path.as_bytes(), unreadable(e), Hides::Subtree),
            }
        }
    }

    /// The place where content is staged, at the root and where something is mounted. Elsewhere, or with something else in it,
    /// it is somebody's, and not synced.
    pub(super) fn work_folder(&mut self, fd: &OwnedFd, at: Option<&RelPath>) {
        let ours = at.is_none_or(|p| self.out.mounts.iter().any(|m| m.path == *p));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(fd, WORK_FOLDER, flags, rustix::fs::Mode::empty());
        let others = |dir: OwnedFd| {
            let Ok(entries) = Dir::read_from(&dir) else {
                return false;
            };
            entries.flatten().any(|e| {
                let name = e.file_name().to_bytes();
                name != b"." && name != b".." && !is_own(name)
            })
        };
        if !ours || opened.is_ok_and(others) {
            let here = at.map_or(&b""[..], RelPath::as_bytes);
            let path = [here, b"/", WORK_FOLDER.as_bytes()].concat();
            let path = path.strip_prefix(b"/").unwrap_or(&path).to_vec();
            self.skip(
                &path,
                SkipReason::Special("a folder of simsync's own name"),
                Hides::Nothing,
            );
        }
    }

    pub(super) fn entry(&mut self, path: RelPath, s: &Statx, above: Device) {
        let kind = match kind_of_mode(u32::from(s.stx_mode)) {
            Ok(kind) => kind,
            Err(what) => {
                return self.skip(path.as_bytes(), SkipReason::Special(what), Hides::Path);
            }
        };
        if kind == FoundKind::Dir && path.depth() > DEPTH_MAX {
            return self.skip(path.as_bytes(), SkipReason::TooDeep, Hides::Subtree);
        }
        let device = device_of(s);
        let mounted = s.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) || device != above;
        if mounted && kind != FoundKind::Symlink {
            let fs = open_beneath(self.root, path.as_bytes(), OFlags::PATH | OFlags::NOFOLLOW);
            match fs.and_then(FsId::of) {
                Ok(fs) => self.out.mounts.push(Mount {
                    path: path.clone(),
                    fs,
                }),
                Err(e) => {
                    return self.skip(path.as_bytes(), SkipReason::Unreadable(e), Hides::Subtree);
                }
            }
        }
        self.out.entries += 1;
        if kind == FoundKind::Dir {
            self.stack.push(Next {
                path: path.clone(),
                device,
                encrypted: s.stx_attributes.contains(StatxAttributes::ENCRYPTED),
            });
        }
        (self.visit)(Found {
            path,
            kind,
            stat: Stat::of_statx(s),
            linked: kind != FoundKind::Dir && s.stx_nlink > 1,
        });
    }
}
