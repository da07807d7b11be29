//! The watched folders, and what inotify is told of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use inotify::{WatchDescriptor, WatchMask, Watches};

use simsync_sync::dir::WORK_FOLDER;

/// What is said when the limit of watches is reached.
const LIMIT_REMEDY: &str = "not all folders can be watched; changes in the others are found by the regular look: raise fs.inotify.max_user_watches with sysctl";

/// Folders that went and came, as events told.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    /// Moved away, with all below.
    pub(super) moved: Vec<PathBuf>,
    /// There no more. Told late where somebody has the folder open: another one may be at its path.
    pub(super) gone: Vec<WatchDescriptor>,
    /// New at these paths, with all below.
    pub(super) new: Vec<PathBuf>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.moved.is_empty() && self.gone.is_empty() && self.new.is_empty()
    }
}

/// The watched folders.
pub(super) struct Tree {
    watches: Watches,
    folders: HashMap<WatchDescriptor, Arc<Path>>,
    /// The same by their paths: what is below one follows it.
    paths: BTreeMap<Arc<Path>, WatchDescriptor>,
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
            paths: BTreeMap::new(),
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

    /// Which folder a watch is on.
    pub(super) fn folder(&self, wd: &WatchDescriptor) -> Option<&Path> {
        self.folders.get(wd).map(AsRef::as_ref)
    }

    fn is_watched(&self, folder: &Path) -> bool {
        self.paths.contains_key(folder)
    }

    fn missing_roots(&self) -> Vec<PathBuf> {
        let missing = self.roots.iter().filter(|r| !self.is_watched(r));
        missing.cloned().collect()
    }

    pub(super) fn has_missing_roots(&self) -> bool {
        !self.limited && !self.roots.iter().all(|r| self.is_watched(r))
    }

    fn add_missing_roots(&mut self) {
        for root in self.missing_roots() {
            self.add(&root);
        }
    }

    /// Looks for roots that are not watched. Whether one is there again, for whatever happened in it meanwhile counts; or is
    /// not there although it was `found`.
    pub(super) async fn find_missing_roots(self, found: Vec<PathBuf>) -> (Self, bool) {
        let before = self.missing_roots();
        let tree = self.blocking(Self::add_missing_roots).await;
        let missing = tree.missing_roots();
        let went = |root: &PathBuf| found.contains(root) && matches!(root.try_exists(), Ok(false));
        let changed = missing.len() < before.len() || missing.iter().any(went);
        (tree, changed)
    }

    /// Follows folders that went and came.
    pub(super) async fn after(self, changes: Changes) -> Self {
        if changes.is_empty() {
            return self;
        }
        self.blocking(move |tree| {
            for wd in &changes.gone {
                if let Some(path) = tree.folders.remove(wd)
                    && tree.paths.get(&path) == Some(wd)
                {
                    tree.paths.remove(&path);
                }
            }
            for path in &changes.moved {
                tree.forget(path);
            }
            for path in &changes.new {
                tree.add(path);
            }
        })
        .await
    }

    /// Whether this root and all below it is watched.
    pub(super) fn is_whole(&self, root: &Path) -> bool {
        !self.limited && !self.lacks_below(root) && self.is_watched(root)
    }

    /// Whether a folder, or one below it, could not be watched.
    pub(super) fn lacks_below(&self, path: &Path) -> bool {
        self.refused.iter().any(|r| r.starts_with(path))
    }

    /// Forgets everything, so that the roots are walked again.
    pub(super) fn clear(&mut self) {
        self.roots.clear();
        self.refused.clear();
        self.paths.clear();
        for (wd, _) in self.folders.drain() {
            // The folder may be gone, and its watch with it.
            let _ = self.watches.remove(wd);
        }
    }

    /// Watches nothing at this path and below any more.
    pub(super) fn forget(&mut self, path: &Path) {
        self.refused.retain(|r| !r.starts_with(path));
        let from = (Bound::Included(path), Bound::Unbounded);
        let below = self.paths.range::<Path, _>(from).map(|(p, _)| p.clone());
        let below: Vec<Arc<Path>> = below.take_while(|p| p.starts_with(path)).collect();
        for folder in below {
            if let Some(wd) = self.paths.remove(&folder) {
                self.folders.remove(&wd);
                let _ = self.watches.remove(wd);
            }
        }
    }

    /// Watches a folder and all below it. Symbolic links are not followed.
    fn add(&mut self, root: &Path) {
        self.add_listed_by(root, folders_in);
    }

    /// The same, with what `list` says that is in a folder.
    fn add_listed_by(&mut self, root: &Path, list: impl Fn(&Path) -> io::Result<Vec<PathBuf>>) {
        let mask = WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::MODIFY
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
            let below = self.watches.add(&folder, mask).and_then(|wd| {
                self.watched(folder.as_path().into(), wd);
                // It may have been closed to us since it is watched.
                list(&folder)
            });
            match below {
                Ok(below) => todo.extend(below),
                Err(error) => {
                    self.cannot_watch(&folder, &error);
                    if self.limited {
                        return;
                    }
                }
            }
        }
    }

    fn watched(&mut self, path: Arc<Path>, wd: WatchDescriptor) {
        let before = self.paths.insert(path.clone(), wd.clone());
        if let Some(other) = before.filter(|before| *before != wd) {
            // A folder that was at this path before.
            self.folders.remove(&other);
            let _ = self.watches.remove(other);
        }
        let before = self.folders.insert(wd, path.clone());
        if let Some(other) = before.filter(|before| *before != path) {
            // Where this folder was before.
            self.paths.remove(&other);
        }
    }

    fn cannot_watch(&mut self, folder: &Path, error: &io::Error) {
        let no_room = rustix::io::Errno::NOSPC.raw_os_error();
        if error.raw_os_error() == Some(no_room) {
            if !std::mem::replace(&mut self.limited, true) {
                tracing::warn!(watched = self.folders.len(), "{LIMIT_REMEDY}");
            }
        } else {
            // Gone again, or not ours to read: the scan has its own word on that.
            let is_gone = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
            if !is_gone.contains(&error.kind()) {
                self.refused.insert(folder.to_owned());
            }
            tracing::debug!(folder = %folder.display(), %error, "a folder is not watched");
        }
    }
}

/// The folders in this one that may hold data.
fn folders_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == WORK_FOLDER {
            continue;
        }
        // One of an unknown kind is taken for a folder: whoever watches it hears what it is.
        if entry.file_type().is_ok_and(|kind| !kind.is_dir()) {
            continue;
        }
        folders.push(entry.path());
    }
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use inotify::Inotify;

    use super::super::batch::read;
    use super::*;

    #[tokio::test]
    async fn what_is_below_a_folder_follows_it() {
        let inotify = Inotify::init().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["a/b/c", "a-b", "ab"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        let mut tree = Tree::new(inotify.watches());
        tree = tree.with_roots(vec![dir.path().to_owned()]).await;
        assert!(tree.is_whole(dir.path()));
        let watched = |tree: &Tree| {
            let below = |path: &Arc<Path>| path.strip_prefix(dir.path()).unwrap().to_owned();
            assert_eq!(tree.paths.len(), tree.folders.len());
            tree.paths.keys().map(below).collect::<Vec<_>>()
        };
        assert_eq!(
            watched(&tree),
            ["", "a", "a/b", "a/b/c", "a-b", "ab"].map(PathBuf::from)
        );
        tree.forget(&at("a"));
        assert_eq!(watched(&tree), ["", "a-b", "ab"].map(PathBuf::from));
        // The same folder by another name, before anybody told that it left the first one.
        std::fs::rename(at("ab"), at("x")).unwrap();
        tree.add(&at("x"));
        assert_eq!(watched(&tree), ["", "a-b", "x"].map(PathBuf::from));
        tree.forget(&at("ab"));
        assert_eq!(watched(&tree), ["", "a-b", "x"].map(PathBuf::from));
        // Another folder at a path, before anybody told that the first one is gone.
        std::fs::remove_dir(at("x")).unwrap();
        std::fs::create_dir(at("x")).unwrap();
        tree.add(&at("x"));
        assert_eq!(watched(&tree), ["", "a-b", "x"].map(PathBuf::from));
        tree.forget(dir.path());
        assert!(watched(&tree).is_empty());
        assert!(tree.has_missing_roots());
    }

    #[tokio::test]
    async fn f_d_a_folder_that_was_closed_while_it_was_walked_is_not_watched_as_a_whole() {
        let inotify = Inotify::init().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let closed = dir.path().join("closed");
        std::fs::create_dir_all(closed.join("inner")).unwrap();
        let mut tree = Tree::new(inotify.watches());
        tree.roots.insert(dir.path().to_owned());
        tree.add_listed_by(dir.path(), |folder| {
            if folder == closed {
                return Err(rustix::io::Errno::ACCESS.into());
            }
            folders_in(folder)
        });
        assert!(tree.is_watched(&closed));
        assert!(!tree.is_watched(&closed.join("inner")));
        assert!(tree.lacks_below(&closed));
        assert!(!tree.is_whole(dir.path()));
        tree.add(&closed);
        assert!(tree.is_watched(&closed.join("inner")));
        assert!(tree.is_whole(dir.path()));
    }

    #[tokio::test]
    async fn f_d_a_folder_that_could_not_be_watched_and_went_is_not_lacked_any_more() {
        let mut inotify = Inotify::init().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let closed = dir.path().join("closed");
        std::fs::create_dir(&closed).unwrap();
        let mut tree = Tree::new(inotify.watches());
        tree.roots.insert(dir.path().to_owned());
        tree.add_listed_by(dir.path(), |folder| match folder == closed {
            true => Err(rustix::io::Errno::ACCESS.into()),
            false => folders_in(folder),
        });
        assert!(!tree.is_whole(dir.path()));
        std::fs::remove_dir(&closed).unwrap();
        let told = read(&mut inotify, &mut [0; 4096], &tree).unwrap();
        let tree = tree.after(told.changes).await;
        assert!(tree.is_whole(dir.path()));
    }
}
