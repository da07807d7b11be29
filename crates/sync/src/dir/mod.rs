//! Adapter for directories: scans what is there, and applies changes beneath a root and never outside it.

mod apply;
mod permissions;
mod scan;

pub use apply::{Applier, ApplyError, Staged};
pub use permissions::{dir_bits, lock_dir, unlock_dir};
pub use scan::{
    Found, FoundKind, FsId, Hides, Mount, Scan, ScanError, SkipReason, Skipped, Stat, open_beneath,
    open_root, read_link, scan,
};

/// Name of the folder directly below a root, or below a mount point in it, that holds temporary files. Nothing of this name
/// is ever synced.
pub const WORK_FOLDER: &str = ".simsync-work";
