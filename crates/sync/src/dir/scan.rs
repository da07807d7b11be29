//! Walks a directory tree beneath a root, without following links and without leaving it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2, statat};
use rustix::io::Errno;

use super::WORK_FOLDER;
use crate::node::RelPath;

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

    /// The present state of an open file.
    pub fn of_fd(fd: impl AsFd) -> Result<Self, Errno> {
        rustix::fs::fstat(fd).map(|s| Self::of(&s))
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
        match statat(&dir, &name[..], AtFlags::SYMLINK_NOFOLLOW) {
            Ok(s) => Ok(kind_of(&s).map(|k| (k, Self::of(&s)))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e),
        }
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
    /// A directory.
    Dir,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
}

/// An entry that the scan met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where.
    pub path: RelPath,
    /// What.
    pub kind: FoundKind,
    /// Its state.
    pub stat: Stat,
}

/// Something that could not be looked at. It is left as it was, never taken for deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where; none is the root itself or a name that no path can hold.
    pub path: Option<RelPath>,
    /// Why, for people.
    pub why: String,
    /// Everything below is unknown too.
    pub subtree: bool,
}

/// Result of a scan besides the entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// Entries met.
    pub entries: usize,
    /// What could not be looked at, or is of a kind that is not synced.
    pub skipped: Vec<Skipped>,
}

/// Why a scan gave no result at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// No directory there.
    #[error(
        "the folder {0} is missing; if its disk is not mounted, mount it, else remove the collection"
    )]
    RootMissing(String),
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
    let mut out = Scan::default();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = openat(root, c".", flags, Mode::empty())
        .map_err(|e| ScanError::Root("of the collection".to_owned(), e))?;
    let mut stack: Vec<(Option<RelPath>, Vec<u8>)> = Vec::new();
    walk_one(&top, None, visit, &mut out, &mut stack);
    while let Some((parent, name)) = stack.pop() {
        if stop() {
            return Err(ScanError::Stopped);
        }
        let Ok(path) = child(parent.as_ref(), &name) else {
            continue;
        };
        match open_beneath(root, path.as_bytes(), flags) {
            Ok(fd) => walk_one(&fd, Some(&path), visit, &mut out, &mut stack),
            Err(e) => out.skipped.push(Skipped {
                path: Some(path),
                why: e.to_string(),
                subtree: true,
            }),
        }
    }
    Ok(out)
}

fn child(parent: Option<&RelPath>, name: &[u8]) -> Result<RelPath, crate::node::BadPath> {
    match parent {
        Some(p) => p.join(name),
        None => RelPath::new(name),
    }
}

fn kind_of(s: &rustix::fs::Stat) -> Option<FoundKind> {
    match FileType::from_raw_mode(s.st_mode) {
        FileType::Directory => Some(FoundKind::Dir),
        FileType::RegularFile => Some(FoundKind::File),
        FileType::Symlink => Some(FoundKind::Symlink),
        _ => None,
    }
}

fn walk_one(
    fd: &OwnedFd,
    at: Option<&RelPath>,
    visit: &mut dyn FnMut(Found),
    out: &mut Scan,
    stack: &mut Vec<(Option<RelPath>, Vec<u8>)>,
) {
    let mut skip = |path: Option<RelPath>, why: String, subtree: bool| {
        out.skipped.push(Skipped { path, why, subtree });
    };
    let dir = match Dir::read_from(fd) {
        Ok(dir) => dir,
        Err(e) => return skip(at.cloned(), e.to_string(), true),
    };
    for entry in dir {
        let entry = match entry {
            Ok(entry) => entry,
            Err(e) => return skip(at.cloned(), e.to_string(), true),
        };
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." || (at.is_none() && name == WORK_FOLDER.as_bytes()) {
            continue;
        }
        let Ok(path) = child(at, name) else {
            skip(
                at.cloned(),
                "a path is too long to be synced".to_owned(),
                true,
            );
            continue;
        };
        match statat(fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(s) => match kind_of(&s) {
                Some(kind) => {
                    out.entries += 1;
                    if kind == FoundKind::Dir {
                        stack.push((at.cloned(), name.to_vec()));
                    }
                    visit(Found {
                        path,
                        kind,
                        stat: Stat::of(&s),
                    });
                }
                None => skip(
                    Some(path),
                    "neither file, directory nor link".to_owned(),
                    false,
                ),
            },
            // Gone between listing and looking: that is a deletion.
            Err(Errno::NOENT) => {}
            Err(e) => skip(Some(path), e.to_string(), true),
        }
    }
}
