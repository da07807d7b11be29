//! Adapter for directories: scans what is there, and applies changes beneath a root and never outside it.

mod apply;
mod scan;

pub use apply::{Applier, ApplyError, Staged};
pub use scan::{
    Found, FoundKind, Scan, ScanError, Skipped, Stat, open_beneath, open_root, read_link, scan,
};

/// Name of the folder directly below a root that holds temporary files. It is never synced.
pub const WORK_FOLDER: &str = ".simsync-work";
