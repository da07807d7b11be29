//! Directories: scans what is there, and applies changes beneath a root and never outside it.

mod apply;
mod apply_error;
mod aside;
mod local;
mod look;
mod permissions;
mod scan;
mod work_folder;
mod works;

pub use apply::Applier;
pub use apply_error::ApplyError;
pub use aside::{Aside, AsideFolder};
pub use local::is_local;
pub use look::{look_at, tops};
pub use permissions::{dir_bits, lock_dir, unlock_dir};
pub use scan::{
    Found, FoundKind, FsId, Hides, Mount, Scan, ScanError, SkipReason, Skipped, Stat, open_beneath,
    open_root, read_link, scan,
};
pub use work_folder::WORK_FOLDER;
pub use works::Staged;
