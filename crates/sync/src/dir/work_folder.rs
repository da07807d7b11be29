//! The folder for temporary files.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags, openat2, unlinkat};
use rustix::io::Errno;

/// Name of the folder directly below a root, or below a mount point in it, that holds temporary files. Nothing of this name
/// is ever synced.
pub const WORK_FOLDER: &str = ".simsync-work";

/// How names of folders end that are built there.
pub(super) const FOLDER_ENDING: &str = ".dir";

/// Whether a name is one that staging gives: a number, and what it stands for. Whatever else is there is somebody's.
pub(super) fn is_own(name: &[u8]) -> bool {
    let mut endings = [".part", ".link", FOLDER_ENDING].iter();
    let number = endings.find_map(|e| name.strip_suffix(e.as_bytes()));
    number.is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit))
}

/// Removes a folder of ours in a work folder, with what is in it: no link is followed, and nothing removed that is mounted there.
pub(super) fn remove_folder(work: BorrowedFd<'_>, name: &[u8]) {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let open = |path: &[u8], flags: OFlags| {
        let flags = flags | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat2(work, path, flags, Mode::empty(), resolve)
    };
    let mut folders = vec![name.to_vec()];
    let mut done = 0;
    while let Some(folder) = folders.get(done).cloned() {
        done += 1;
        let Ok(fd) = open(&folder, OFlags::RDONLY) else {
            continue;
        };
        for entry in Dir::read_from(&fd).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            // What cannot be removed stays, and is tried again when the work folder is opened the next time.
            if let Err(Errno::ISDIR | Errno::PERM) = unlinkat(&fd, name, AtFlags::empty()) {
                folders.push([&folder, &b"/"[..], name.to_bytes()].concat());
            }
        }
    }
    for folder in folders.iter().rev() {
        let cut = folder.iter().rposition(|b| *b == b'/');
        let (above, name) = match cut {
            Some(cut) => (&folder[..cut], &folder[cut + 1..]),
            None => (&b"."[..], &folder[..]),
        };
        if let Ok(above) = open(above, OFlags::PATH) {
            let _ = unlinkat(&above, name, AtFlags::REMOVEDIR);
        }
    }
}
