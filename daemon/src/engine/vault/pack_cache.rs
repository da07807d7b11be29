//! Packs on this disk: ciphertext that was fetched and can be fetched again. Nothing relies on it: a pack that is missing, has
//! another size or is no file is as if it had never been kept, and whoever empties the folder takes nothing away.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use simsync_vault::commit::PackRef;
use simsync_vault::ids::PackId;

/// The folder with packs that were fetched.
#[derive(Debug, Clone)]
pub struct PackCache(PathBuf);

impl PackCache {
    /// In a folder, which is made when it is needed.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    fn path(&self, id: &PackId) -> PathBuf {
        self.0.join(id.to_string())
    }

    /// A pack that is here, to be read from. Its content is not checked.
    pub fn open(&self, pack: &PackRef) -> Option<File> {
        open_whole(&self.path(&pack.id), pack.size)
    }

    /// The bytes of a pack that is here.
    pub fn read(&self, pack: &PackRef) -> Option<Vec<u8>> {
        read_whole(&self.path(&pack.id), pack.size)
    }

    fn make(&self) -> std::io::Result<()> {
        if self.0.is_dir() {
            return Ok(());
        }
        let mut dirs = std::fs::DirBuilder::new();
        dirs.recursive(true).mode(0o700).create(&self.0)
    }

    /// Bytes that it holds.
    pub fn held(&self) -> u64 {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let sizes = entries.filter_map(|e| e.metadata().ok()).map(|m| m.len());
        sizes.fold(0, u64::saturating_add)
    }

    /// Bytes that are free on its disk; 0 where it cannot be made.
    pub fn free(&self) -> u64 {
        if self.make().is_err() {
            return 0;
        }
        let stat = rustix::fs::statvfs(&self.0);
        stat.map_or(0, |v| v.f_bavail.saturating_mul(v.f_frsize))
    }

    /// Keeps a pack, whole or not at all.
    pub fn keep(&self, id: &PackId, bytes: &[u8]) -> std::io::Result<()> {
        let _step = simsync_failpoint::step("daemon.pack-cache.kept");
        let path = self.path(id);
        let temp = path.with_extension("part");
        self.make()?;
        clear_away(&temp);
        let written = File::create_new(&temp)
            .and_then(|mut f| std::io::Write::write_all(&mut f, bytes))
            .and_then(|()| {
                if path.is_dir() {
                    clear_away(&path);
                }
                std::fs::rename(&temp, &path)
            });
        written.inspect_err(|_| {
            // Half a pack is of no use, and takes room.
            let _ = std::fs::remove_file(&temp);
        })
    }

    /// Whatever stands where this pack would be is of no use.
    pub fn remove(&self, id: &PackId) {
        clear_away(&self.path(id));
    }

    /// Removes everything.
    pub fn clear(&self) {
        let _step = simsync_failpoint::step("daemon.pack-cache.cleared");
        let Ok(entries) = std::fs::read_dir(&self.0) else {
            return;
        };
        for entry in entries.flatten() {
            clear_away(&entry.path());
        }
    }
}

/// A file of this very size. Whatever else stands there, a FIFO for example, is not waited for.
fn open_whole(path: &Path, size: u64) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    let meta = file.metadata().ok()?;
    (meta.is_file() && meta.len() == size).then_some(file)
}

/// What is in a file of this very size.
pub fn read_whole(path: &Path, size: u64) -> Option<Vec<u8>> {
    let file = open_whole(path, size)?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).ok()?);
    file.take(size).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 == size).then_some(bytes)
}

/// Removes what stands there, a folder with what is in it. Links are not followed.
fn clear_away(path: &Path) {
    let is_folder = path.symlink_metadata().is_ok_and(|m| m.is_dir());
    let _ = if is_folder {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
}
