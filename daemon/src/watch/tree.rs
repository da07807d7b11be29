//! The watched folders, and what inotify is told of them.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use inotify::{WatchDescriptor, WatchMask, Watches};

use simsync_sync::dir::WORK_FOLDER;

/// What is said when the limit of watches is reached.
const LIMIT_REMEDY: &str = "not all folders can be watched; changes in the others are found by the regular look: raise fs.inotify.max_user_watches with sysctl";

/// The watched folders.
pub(super) struct Tree {
    watches: Watches,
    pub(super) folders: HashMap<WatchDescriptor, PathBuf>,
    pub(super) roots: HashSet<PathBuf>,
    /// Folders that the system did not let us watch, for example for their permissions.
    refused: HashSet<PathBuf>,
    /// The limit was reached and told.
    pub(super) limited: bool,
}

impl Tree {
    pub(super) fn new(watches: Watches) -> Self {
        Self {
            watches,
            folders: HashMap::new(),
            roots: HashSet::new(),
            refused: HashSet::new(),
            limited: false,
        }
    }

    /// Runs what walks folders where it holds nothing up.
    async fn blocking(mut self, work: impl FnOnce(&mut Self) + Send + 'static) -> Self {
        let watches = self.watches.clone();
        let done = tokio::task::spawn_blocking(move || {
            work(&mut self);
            self
        });
        // It does not panic; if it did, nothing would be watched, and the regular look goes on.
        done.await.unwrap_or_else(|_| Self::new(watches))
    }

    /// Watches exactly these roots.
    pub(super) async fn with_roots(self, wanted: Vec<PathBuf>) -> Self {
        self.blocking(move |tree| {
            let wanted: HashSet<PathBuf> = wanted.into_iter().collect();
            let gone: Vec<PathBuf> = tree.roots.difference(&wanted).cloned().collect();
            for root in &gone {
                tree.forget(root);
            }
            tree.roots = wanted;
            // Room that became free may suffice now.
            tree.limited = false;
            tree.add_missing_roots();
        })
        .await
    }

    fn missing_roots(&self) -> Vec<PathBuf> {
        let watched: HashSet<&PathBuf> = self.folders.values().collect();
        let missing = self.roots.iter().filter(|r| !watched.contains(r));
        missing.cloned().collect()
    }

    pub(super) fn has_missing_roots(&self) -> bool {
        !self.limited && !self.missing_roots().is_empty()
    }

    fn add_missing_roots(&mut self) {
        for root in self.missing_roots() {
            self.add(&root);
        }
    }

    /// Looks for roots that are not watched. Whether one is there again, for whatever happened in it meanwhile counts; or is
    /// not there although it was `found`.
    pub(super) async fn look_for_roots(self, found: Vec<PathBuf>) -> (Self, bool) {
        let before = self.missing_roots();
        let tree = self.blocking(Self::add_missing_roots).await;
        let missing = tree.missing_roots();
        let went = |root: &PathBuf| found.contains(root) && matches!(root.try_exists(), Ok(false));
        let changed = missing.len() < before.len() || missing.iter().any(went);
        (tree, changed)
    }

    /// Follows folders that went and came.
    pub(super) async fn after(self, forget: Vec<PathBuf>, new_folders: Vec<PathBuf>) -> Self {
        if forget.is_empty() && new_folders.is_empty() {
            return self;
        }
        self.blocking(move |tree| {
            for path in &forget {
                tree.forget(path);
            }
            for path in &new_folders {
                tree.add(path);
            }
        })
        .await
    }

    /// Whether a folder, or one below it, could not be watched.
    pub(super) fn lacks_below(&self, path: &Path) -> bool {
        self.refused.iter().any(|r| r.starts_with(path))
    }

    /// Forgets everything, so that the roots are walked again.
    pub(super) fn clear(&mut self) {
        self.roots.clear();
        self.refused.clear();
        let all: Vec<WatchDescriptor> = self.folders.drain().map(|(wd, _)| wd).collect();
        for wd in all {
            // The folder may be gone, and its watch with it.
            let _ = self.watches.remove(wd);
        }
    }

    fn forget(&mut self, path: &Path) {
        self.refused.retain(|r| !r.starts_with(path));
        let below: Vec<WatchDescriptor> = self
            .folders
            .iter()
            .filter(|(_, p)| p.starts_with(path))
            .map(|(wd, _)| wd.clone())
            .collect();
        for wd in below {
            self.folders.remove(&wd);
            let _ = self.watches.remove(wd);
        }
    }

    /// Watches a folder and all below it. Symbolic links are not followed.
    fn add(&mut self, root: &Path) {
        let mask = WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::CLOSE_WRITE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR
            | WatchMask::DONT_FOLLOW
            | WatchMask::EXCL_UNLINK;
        self.refused.retain(|r| !r.starts_with(root));
        let mut todo = vec![root.to_owned()];
        while let Some(folder) = todo.pop() {
            match self.watches.add(&folder, mask) {
                Ok(wd) => {
                    self.folders.insert(wd, folder.clone());
                }
                Err(error) => {
                    self.cannot_watch(&folder, &error);
                    if self.limited {
                        return;
                    }
                    continue;
                }
            }
            let Ok(entries) = std::fs::read_dir(&folder) else {
                continue;
            };
            let below = entries.flatten().filter(|e| {
                e.file_name() != WORK_FOLDER && e.file_type().is_ok_and(|t| t.is_dir())
            });
            todo.extend(below.map(|e| e.path()));
        }
    }

    fn cannot_watch(&mut self, folder: &Path, error: &std::io::Error) {
        let no_room = rustix::io::Errno::NOSPC.raw_os_error();
        if error.raw_os_error() == Some(no_room) {
            if !std::mem::replace(&mut self.limited, true) {
                tracing::warn!(watched = self.folders.len(), "{LIMIT_REMEDY}");
            }
        } else {
            // Gone again, or not ours to read: the scan has its own word on that.
            if error.kind() != std::io::ErrorKind::NotFound {
                self.refused.insert(folder.to_owned());
            }
            tracing::debug!(folder = %folder.display(), %error, "a folder is not watched");
        }
    }
}
