//! Disks of a world: one for each program, which can be made full at any moment, and all on one that is lost with the process.

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use tempfile::TempDir;

/// Size of a disk while it is not full.
const ROOMY: &str = "size=512m";
const PAGE: u64 = 4096;
/// The mount that all others are on.
const SOURCE: &str = "sim";

fn mount_at(folder: &Path) -> bool {
    let size = std::ffi::CString::new(ROOMY).unwrap();
    mount(
        SOURCE,
        folder,
        "tmpfs",
        MountFlags::empty(),
        size.as_c_str(),
    )
    .is_ok()
}

/// Mounts one where temporary files go. Whether this process may: it may in a namespace of its own.
pub fn mount_own() -> bool {
    mount_at(&std::env::temp_dir())
}

/// A folder, on a disk of its own where this process has mounted one for itself.
pub fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    if is_own() {
        assert!(mount_at(folder.path()));
    }
    folder
}

/// What is in such a folder is lost.
pub fn lose(folder: &Path) {
    if is_own() {
        // Whatever still has a file of it open goes on with that.
        let _ = unmount(folder, UnmountFlags::DETACH);
    }
}

/// From now on these have room for so many pages more.
pub fn fill(folders: &[PathBuf], pages: u64) {
    if !is_own() {
        return;
    }
    for folder in folders {
        let stat = rustix::fs::statvfs(folder).unwrap();
        let used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize;
        let size = format!("size={}", used + pages * PAGE);
        mount_remount(folder, MountFlags::empty(), size).unwrap();
    }
}

/// There is room again.
pub fn free(folders: &[PathBuf]) {
    if is_own() {
        for folder in folders {
            mount_remount(folder, MountFlags::empty(), ROOMY).unwrap();
        }
    }
}

/// Whether temporary files go to a disk of ours: nobody else's is touched.
fn is_own() -> bool {
    let folder = std::env::temp_dir();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| {
        let mut words = line.split(' ');
        words.next() == Some(SOURCE) && words.next().map(Path::new) == Some(&*folder)
    })
}
