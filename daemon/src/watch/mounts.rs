//! What is mounted below the collections' folders: inotify does not tell when a disk comes or goes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The kernel's list, as this process sees it. It can be waited for: proc_pid_mountinfo(5).
const MOUNTINFO: &str = "/proc/self/mountinfo";

/// A mount: its ID, which another one at the same place does not have, and where it is.
type Mount = (u32, PathBuf);

/// The mounts below some folders, and when they change.
pub(super) struct Mounts {
    /// None where the kernel's list cannot be had: then the regular look finds what changed.
    list: Option<AsyncFd<File>>,
    known: BTreeSet<Mount>,
}

impl Mounts {
    /// Opens the kernel's list.
    pub(super) fn new() -> Self {
        // Deprecated because a type could lie about its descriptor; a `File` cannot, and the other way is unsafe code.
        #[allow(deprecated)]
        let list = File::open(MOUNTINFO)
            .and_then(|file| AsyncFd::with_interest(file, Interest::PRIORITY))
            .inspect_err(|error| tracing::warn!(%error, "{MOUNTINFO}: disks that come and go are found by the regular look"));
        Self {
            list: list.ok(),
            known: BTreeSet::new(),
        }
    }

    /// Looks what is mounted below these folders. Answers whether that is something else than before.
    pub(super) fn below(&mut self, roots: &[PathBuf]) -> bool {
        let Some(list) = &mut self.list else {
            return false;
        };
        let mut text = Vec::new();
        let file = list.get_mut();
        if let Err(error) = file.rewind().and_then(|()| file.read_to_end(&mut text)) {
            tracing::warn!(%error, "{MOUNTINFO}");
            return false;
        }
        let now = mounts(&text, roots);
        std::mem::replace(&mut self.known, now) != self.known
    }

    /// Waits until something else is mounted below these folders.
    pub(super) async fn changed(&mut self, roots: &[PathBuf]) {
        loop {
            let Some(list) = &self.list else {
                return std::future::pending().await;
            };
            let seen = list.ready(Interest::PRIORITY).await;
            let seen = seen.map(|mut ready| ready.clear_ready());
            if let Err(error) = seen {
                tracing::warn!(%error, "{MOUNTINFO} is no longer watched");
                self.list = None;
            } else if self.below(roots) {
                return;
            }
        }
    }
}

/// The mounts of a list that are at or below one of these folders.
fn mounts(list: &[u8], roots: &[PathBuf]) -> BTreeSet<Mount> {
    let lines = list.split(|b| *b == b'\n');
    lines
        .filter_map(mount)
        .filter(|(_, at)| roots.iter().any(|r| at.starts_with(r)))
        .collect()
}

/// ID (first field) and mount point (fifth field) of a line.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let at = Path::new(&std::ffi::OsString::from_vec(unescaped(fields.nth(3)?))).to_owned();
    Some((id, at))
}

/// A field as it was before the kernel wrote blanks, tabs, line breaks and backslashes as a backslash and three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let code = digits
            .and_then(|d| std::str::from_utf8(d).ok())
            .and_then(|d| u8::from_str_radix(d, 8).ok());
        match code {
            Some(byte) => {
                out.push(byte);
                rest = &after[3..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = b"22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
        36 22 8:17 / /home/anna/My\\040Photos/disk rw - vfat /dev/sdb1 rw\n\
        37 22 0:44 / /home/anna/Documents rw shared:5 - tmpfs tmpfs rw\n\
        nonsense\n";

    #[test]
    fn f_d_what_is_mounted_in_a_collection_is_found_in_the_kernels_list() {
        let below = |root: &str| mounts(LIST, &[PathBuf::from(root)]);
        let photos = PathBuf::from("/home/anna/My Photos/disk");
        assert_eq!(
            below("/home/anna/My Photos"),
            BTreeSet::from([(36, photos)])
        );
        assert_eq!(below("/home/anna").len(), 2);
        assert_eq!(below("/home/anna/Doc").len(), 0);
        assert_eq!(below("/home/anna/Documents").len(), 1);
        assert_eq!(unescaped(b"a\\134b\\9\\"), b"a\\b\\9\\");
    }

    #[tokio::test]
    async fn the_kernels_list_can_be_read_again_and_again() {
        let mut mounts = Mounts::new();
        assert!(mounts.below(&[PathBuf::from("/")]));
        assert!(!mounts.below(&[PathBuf::from("/")]));
        assert!(mounts.below(&[PathBuf::from("/nowhere")]));
    }
}
