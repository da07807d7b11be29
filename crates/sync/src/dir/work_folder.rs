//! The folder for temporary files.

/// Name of the folder directly below a root, or below a mount point in it, that holds temporary files. Nothing of this name
/// is ever synced.
pub const WORK_FOLDER: &str = ".simsync-work";

/// Whether a name is one that staging gives: a number, and what it stands for. Whatever else is there is somebody's.
pub(super) fn is_own(name: &[u8]) -> bool {
    let number = name.strip_suffix(b".part").or(name.strip_suffix(b".link"));
    number.is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit))
}
