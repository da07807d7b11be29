//! Directories: scans what is there, and applies changes beneath a root and never outside it.

mod apply;
mod apply_error;
mod local;
mod new_folder;
mod permissions;
mod scan;
mod scan_paths;
mod work_folder;
mod works;

pub use apply::Applier;
pub use apply_error::ApplyError;
pub use local::is_local;
pub use new_folder::{NewFolder, OpenNewFolder};
pub use permissions::{dir_bits, lock_dir, unlock_dir};
pub use scan::{
    Found, FoundKind, FsId, Hides, Mount, Scan, ScanError, SkipReason, Skipped, Stat, open_beneath,
    open_root, read_link, scan,
};
pub use scan_paths::{scan_paths, tops};
pub use work_folder::WORK_FOLDER;
pub use works::Staged;
