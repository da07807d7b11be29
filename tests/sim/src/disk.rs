//! One disk for all of a world: it can be made full at any moment, and is lost with the process.

use std::path::Path;

use rustix::mount::{MountFlags, mount, mount_remount};

/// Its size while it is not full.
const ROOMY: &str = "size=512m";
const PAGE: u64 = 4096;

/// Mounts one where temporary files go. Whether this process may: it may in a namespace of its own.
pub fn mount_own() -> bool {
    let folder = std::env::temp_dir();
    let size = std::ffi::CString::new(ROOMY).unwrap();
    mount(
        "sim",
        &folder,
        "tmpfs",
        MountFlags::empty(),
        size.as_c_str(),
    )
    .is_ok()
}

/// From now on it has room for so many pages more.
pub fn fill(pages: u64) {
    let Some(folder) = own() else { return };
    let stat = rustix::fs::statvfs(&folder).unwrap();
    let used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize;
    let size = format!("size={}", used + pages * PAGE);
    mount_remount(&folder, MountFlags::empty(), size).unwrap();
}

/// There is room again.
pub fn free() {
    if let Some(folder) = own() {
        mount_remount(&folder, MountFlags::empty(), ROOMY).unwrap();
    }
}

/// Where it is mounted, if it is: nobody else's disk is touched.
fn own() -> Option<std::path::PathBuf> {
    let folder = std::env::temp_dir();
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let is_ours = |line: &str| {
        let mut words = line.split(' ');
        words.next() == Some("sim") && words.next().map(Path::new) == Some(&*folder)
    };
    mounts.lines().any(is_ours).then_some(folder)
}
