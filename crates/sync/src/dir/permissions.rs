//! Folders without permission for their own owner: made writable for the moment, and put back.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::apply::chmod_of;
use super::{ApplyError, Stat, open_beneath};
use crate::node::RelPath;

/// Makes a directory of one's own (none: the root) readable, writable and searchable for its owner. Whoever calls it has noted
/// the permission bits before, so that a crash does not change them for good.
pub fn unlock_dir(root: BorrowedFd<'_>, path: Option<&RelPath>) -> Result<(), ApplyError> {
    let Some((fd, mode)) = dir_mode(root, path)? else {
        return Ok(());
    };
    let shown = path.map_or_else(|| ".".to_owned(), ToString::to_string);
    chmod_of(&fd, mode | 0o700).map_err(|errno| ApplyError::Io { path: shown, errno })
}

/// Puts the permission bits of a directory back, if they are still what [`unlock_dir`] made of them.
pub fn lock_dir(root: BorrowedFd<'_>, path: Option<&RelPath>, mode: u16) -> Result<(), ApplyError> {
    let Some((fd, now)) = dir_mode(root, path)? else {
        return Ok(());
    };
    if now == mode | 0o700 {
        let shown = path.map_or_else(|| ".".to_owned(), ToString::to_string);
        let io = |errno| ApplyError::Io { path: shown, errno };
        chmod_of(&fd, mode).map_err(io)?;
    }
    Ok(())
}

/// The permission bits of a directory (none: the root); none if no directory is there.
pub fn dir_bits(root: BorrowedFd<'_>, path: Option<&RelPath>) -> Result<Option<u16>, ApplyError> {
    Ok(dir_mode(root, path)?.map(|(_, mode)| mode))
}

fn dir_mode(
    root: BorrowedFd<'_>,
    path: Option<&RelPath>,
) -> Result<Option<(OwnedFd, u16)>, ApplyError> {
    let bytes = path.map_or(&b"."[..], RelPath::as_bytes);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let fd = match open_beneath(root, bytes, flags) {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(errno) => {
            let path = String::from_utf8_lossy(bytes).into_owned();
            return Err(ApplyError::Io { path, errno });
        }
    };
    match Stat::of_fd(&fd) {
        Ok(stat) => Ok(Some((fd, stat.mode))),
        Err(_) => Ok(None),
    }
}
