//! What inotify is in the world: it tells where something is not as it was.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use simsync_sync::adapter::Adapter as _;
use simsync_sync::folders::Folders;
use simsyncd::vouch::{Vouches, Watcher};

/// How everything looks: inode, times, size, kind and permissions.
type Snapshot = BTreeMap<PathBuf, (u64, i64, i64, u64, u32)>;

/// Vouches for these folders from now on.
pub fn watch(vouches: &Vouches, roots: &[PathBuf]) {
    for root in roots {
        let folder = Folders.open(root).unwrap();
        vouches.watching(root, folder.identity().unwrap());
    }
    let roots = roots.to_vec();
    let snapshot = Mutex::new(snapshot(&roots));
    vouches.watched_by(Arc::new(PollingWatcher { roots, snapshot }));
}

/// Compares at each question.
struct PollingWatcher {
    roots: Vec<PathBuf>,
    snapshot: Mutex<Snapshot>,
}

impl Watcher for PollingWatcher {
    fn catch_up(&self, vouches: &Vouches) -> bool {
        let now = snapshot(&self.roots);
        let mut before = self.snapshot.lock();
        let gone = before.keys().filter(|path| !now.contains_key(*path));
        let came = now
            .iter()
            .filter(|(path, snapshot)| before.get(*path) != Some(snapshot));
        for path in gone.chain(came.map(|(path, _)| path)) {
            vouches.changed_at(path);
        }
        *before = now;
        true
    }
}

fn snapshot(roots: &[PathBuf]) -> Snapshot {
    let mut out = Snapshot::new();
    for root in roots {
        below(root, &mut out);
    }
    out
}

fn below(folder: &Path, out: &mut Snapshot) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(meta) = path.symlink_metadata() else {
            continue;
        };
        if meta.is_dir() {
            below(&path, out);
            // Nobody tells of a folder that something in it changed.
            out.insert(path, (meta.ino(), 0, 0, 0, meta.mode()));
            continue;
        }
        let times = (
            meta.mtime() * 1_000_000_000 + meta.mtime_nsec(),
            meta.ctime() * 1_000_000_000 + meta.ctime_nsec(),
        );
        let snapshot = (meta.ino(), times.0, times.1, meta.size(), meta.mode());
        out.insert(path, snapshot);
    }
}
