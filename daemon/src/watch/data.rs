//! Changes in the collections' folders, by inotify. A hint only: what changed is found by a scan.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask, Watches};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use crate::core::Event;

/// The engine's own folder in a root; what happens in it is no change of data.
pub const WORK_FOLDER: &str = ".simsync-work";
/// Room for many events at once.
const BUFFER: usize = 64 << 10;
/// What is said when the limit of watches is reached.
const LIMIT_REMEDY: &str = "not all folders can be watched; changes in the others are found by the regular look: raise fs.inotify.max_user_watches with sysctl";

/// A root that is not there, or was moved away, is looked for again after this time.
const ROOT_BACK: Duration = Duration::from_secs(2);

/// Watches the folders that `roots` names, for as long as somebody sends them, and emits [`Event::DataChanged`]; and
/// [`Event::WatchLimit`] when that begins or ends to be so.
pub async fn run(mut roots: watch::Receiver<Vec<PathBuf>>, emit: impl Fn(Event)) {
    let inotify = match Inotify::init() {
        Ok(inotify) => inotify,
        Err(error) => {
            tracing::warn!(%error, "folders cannot be watched; changes are found by the regular look: raise fs.inotify.max_user_instances with sysctl");
            return;
        }
    };
    let watches = inotify.watches();
    let mut inotify = inotify;
    let ready = match readiness(&inotify) {
        Ok(ready) => ready,
        Err(error) => {
            tracing::warn!(%error, "folders cannot be watched; changes are found by the regular look");
            return;
        }
    };
    let mut tree = Tree::new(watches);
    let mut buffer = vec![0; BUFFER];
    let mut wanted = roots.borrow_and_update().clone();
    let mut limited = false;
    loop {
        tree = tree.with_roots(wanted.clone()).await;
        // Changes from before the watches count too.
        emit(Event::DataChanged);
        loop {
            if std::mem::replace(&mut limited, tree.limited) != tree.limited {
                emit(Event::WatchLimit(limited));
            }
            let missing = tree.has_missing_roots();
            tokio::select! {
                () = tokio::time::sleep(ROOT_BACK), if missing => {
                    let (found, back) = tree.look_for_roots().await;
                    tree = found;
                    if back {
                        emit(Event::DataChanged);
                    }
                }
                changed = roots.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    wanted = roots.borrow_and_update().clone();
                    break;
                }
                seen = wait(&ready) => {
                    if let Err(error) = seen {
                        tracing::warn!(%error, "folders are no longer watched");
                        return;
                    }
                    let batch = match read(&mut inotify, &mut buffer, &tree) {
                        Ok(batch) => batch,
                        Err(error) => {
                            tracing::warn!(%error, "folders are no longer watched");
                            return;
                        }
                    };
                    tree = tree.after(batch.forget, batch.new_folders).await;
                    if batch.overflow {
                        tracing::info!("too many changes at once; everything is looked at again");
                        tree.clear();
                        break;
                    }
                    if batch.changed {
                        emit(Event::DataChanged);
                    }
                }
            }
        }
    }
}

fn readiness(inotify: &Inotify) -> std::io::Result<AsyncFd<OwnedFd>> {
    let fd = inotify.as_fd().try_clone_to_owned()?;
    // Deprecated because a type could lie about its descriptor; an `OwnedFd` cannot, and the other way is unsafe code.
    #[allow(deprecated)]
    AsyncFd::new(fd)
}

async fn wait(ready: &AsyncFd<OwnedFd>) -> std::io::Result<()> {
    // All events are read in one go after this, so what came meanwhile makes it ready again.
    ready.readable().await?.clear_ready();
    Ok(())
}

/// What a reading brought.
#[derive(Debug, Default)]
struct Batch {
    changed: bool,
    overflow: bool,
    forget: Vec<PathBuf>,
    new_folders: Vec<PathBuf>,
}

fn read(inotify: &mut Inotify, buffer: &mut [u8], tree: &Tree) -> std::io::Result<Batch> {
    let mut batch = Batch::default();
    loop {
        let events = match inotify.read_events(buffer) {
            Ok(events) => events,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Ok(batch),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        for event in events {
            if event.mask.contains(EventMask::Q_OVERFLOW) {
                batch.overflow = true;
                continue;
            }
            let Some(folder) = tree.folders.get(&event.wd) else {
                continue;
            };
            if event.name.is_some_and(|n| n == WORK_FOLDER) {
                continue;
            }
            batch.changed = true;
            let path = event
                .name
                .map_or_else(|| folder.clone(), |n| folder.join(n));
            let is_folder = event.mask.contains(EventMask::ISDIR);
            if is_folder && event.mask.contains(EventMask::MOVED_FROM) {
                batch.forget.push(path);
            } else if is_folder
                && event
                    .mask
                    .intersects(EventMask::CREATE | EventMask::MOVED_TO)
            {
                batch.new_folders.push(path);
            } else if event
                .mask
                .intersects(EventMask::DELETE_SELF | EventMask::UNMOUNT)
                || (event.mask.contains(EventMask::MOVE_SELF) && tree.roots.contains(folder))
            {
                batch.forget.push(folder.clone());
            }
        }
    }
}

/// The watched folders.
struct Tree {
    watches: Watches,
    folders: HashMap<WatchDescriptor, PathBuf>,
    roots: HashSet<PathBuf>,
    /// The limit was reached and told.
    limited: bool,
}

impl Tree {
    fn new(watches: Watches) -> Self {
        Self {
            watches,
            folders: HashMap::new(),
            roots: HashSet::new(),
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
    async fn with_roots(self, wanted: Vec<PathBuf>) -> Self {
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

    fn has_missing_roots(&self) -> bool {
        !self.limited && !self.missing_roots().is_empty()
    }

    fn add_missing_roots(&mut self) {
        for root in self.missing_roots() {
            self.add(&root);
        }
    }

    /// Whether a root is there again: whatever happened in it meanwhile counts.
    async fn look_for_roots(self) -> (Self, bool) {
        let before = self.missing_roots().len();
        let tree = self.blocking(Self::add_missing_roots).await;
        let back = tree.missing_roots().len() < before;
        (tree, back)
    }

    /// Follows folders that went and came.
    async fn after(self, forget: Vec<PathBuf>, new_folders: Vec<PathBuf>) -> Self {
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

    /// Forgets everything, so that the roots are walked again.
    fn clear(&mut self) {
        self.roots.clear();
        let all: Vec<WatchDescriptor> = self.folders.drain().map(|(wd, _)| wd).collect();
        for wd in all {
            // The folder may be gone, and its watch with it.
            let _ = self.watches.remove(wd);
        }
    }

    fn forget(&mut self, path: &Path) {
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
            tracing::debug!(folder = %folder.display(), %error, "a folder is not watched");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    struct Rig {
        roots: watch::Sender<Vec<PathBuf>>,
        events: mpsc::UnboundedReceiver<Event>,
        dir: tempfile::TempDir,
    }

    impl Rig {
        async fn start() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (roots, rx) = watch::channel(vec![dir.path().to_owned()]);
            let (tx, events) = mpsc::unbounded_channel();
            tokio::spawn(run(rx, move |e| tx.send(e).unwrap_or_default()));
            let mut rig = Self { roots, events, dir };
            rig.changed().await;
            rig
        }

        async fn changed(&mut self) {
            let next = tokio::time::timeout(Duration::from_secs(10), self.events.recv());
            assert_eq!(next.await.unwrap(), Some(Event::DataChanged));
        }

        /// Hints may come in pieces: a file by which the end of the old ones is seen cannot be told apart, so
        /// repeat a change until the watcher saw it.
        async fn changed_by(&mut self, change: impl Fn(u32)) {
            for i in 0..200 {
                change(i);
                let next = tokio::time::timeout(Duration::from_millis(50), self.events.recv());
                if let Ok(Some(Event::DataChanged)) = next.await {
                    return;
                }
            }
            panic!("no change was seen");
        }

        fn drain(&mut self) {
            while self.events.try_recv().is_ok() {}
        }
    }

    #[tokio::test]
    async fn files_and_new_folders_are_seen() {
        let mut rig = Rig::start().await;
        let root = rig.dir.path().to_owned();
        std::fs::write(root.join("a"), "1").unwrap();
        rig.changed().await;
        rig.drain();
        std::fs::create_dir_all(root.join("x/y/z")).unwrap();
        rig.changed().await;
        // In the new folder too, once its watch is there.
        let deep = root.join("x/y/z");
        rig.changed_by(|i| std::fs::write(deep.join("b"), i.to_string()).unwrap())
            .await;
    }

    #[tokio::test]
    async fn a_moved_folder_is_followed() {
        let mut rig = Rig::start().await;
        let root = rig.dir.path().to_owned();
        std::fs::create_dir(root.join("one")).unwrap();
        rig.changed().await;
        std::fs::rename(root.join("one"), root.join("two")).unwrap();
        rig.changed().await;
        rig.drain();
        rig.changed_by(|i| std::fs::write(root.join("two/f"), i.to_string()).unwrap())
            .await;
    }

    #[tokio::test]
    async fn f_d_a_root_that_was_moved_away_and_comes_back_is_watched_again() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("root");
        let mut rig = Rig::start().await;
        rig.roots.send(vec![root.clone()]).unwrap();
        rig.changed().await;
        // It comes, goes, and comes back, as another folder or the same one.
        std::fs::create_dir(&root).unwrap();
        rig.changed().await;
        for again in ["moved", "made anew"] {
            std::fs::rename(&root, outer.path().join("away")).unwrap();
            rig.changed().await;
            if again == "moved" {
                std::fs::rename(outer.path().join("away"), &root).unwrap();
            } else {
                std::fs::create_dir(&root).unwrap();
            }
            rig.changed().await;
            rig.drain();
            rig.changed_by(|i| std::fs::write(root.join("f"), i.to_string()).unwrap())
                .await;
            rig.drain();
        }
    }

    #[tokio::test]
    async fn the_work_folder_is_no_data_and_roots_can_change() {
        let mut rig = Rig::start().await;
        let root = rig.dir.path().to_owned();
        let work = root.join(WORK_FOLDER);
        std::fs::create_dir(&work).unwrap();
        std::fs::write(work.join("part"), "1").unwrap();
        let other = tempfile::tempdir().unwrap();
        rig.roots
            .send(vec![other.path().to_owned(), root.join("missing")])
            .unwrap();
        // The first hint that comes is the one of the new roots: none came from the work folder.
        rig.changed().await;
        assert!(rig.events.try_recv().is_err());
        std::fs::write(other.path().join("f"), "1").unwrap();
        rig.changed().await;
    }
}
