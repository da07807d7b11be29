//! Changes in the collections' folders, by inotify. What changed is found by a look; where to look is told here, as long as all of
//! a root is watched.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use inotify::Inotify;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::batch::read;
use super::mounts::Mounts;
use super::tree::Tree;
use super::vouched::{Asks, Vouched, identities};
use crate::rules::Event;
use crate::vouch::Vouches;

/// So often what is told is read before whoever asks is told that there is no end of it.
const ROUNDS: usize = 1_000;
/// So long nobody is woken again by a file that is only being written to, unless a look asks: that may go on all day.
const REST: Duration = Duration::from_millis(100);
/// Room for many events at once.
const BUFFER: usize = 64 << 10;
/// What is said where no folder can be watched.
const NOT_WATCHED: &str = "folders cannot be watched; changes are found by the regular look: raise fs.inotify.max_user_instances with sysctl";

/// A root that is not there, or was moved away, is looked for this often.
const ROOT_BACK: Duration = Duration::from_secs(2);

/// Folders of the collections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots {
    /// To be watched.
    pub wanted: Vec<PathBuf>,
    /// Those of them that the last sync found in place. One that is not watched and not there any more went in between, and no
    /// event tells of that.
    pub found: Vec<PathBuf>,
}

/// Watches the folders that `roots` wants, for as long as somebody sends them, and emits [`Event::DataChanged`]; and
/// [`Event::WatchLimit`] when that begins or ends to be so. Vouches for the roots that are watched as a whole.
pub async fn run(roots: watch::Receiver<Roots>, vouches: Vouches, emit: impl Fn(Event)) {
    run_with(Inotify::init(), roots, vouches, emit).await;
}

/// The same, with what the system answered. Where nothing can be watched, that is told as a limit: everything is looked at
/// oftener then.
async fn run_with(
    inotify: std::io::Result<Inotify>,
    roots: watch::Receiver<Roots>,
    vouches: Vouches,
    emit: impl Fn(Event),
) {
    let watched = match inotify {
        Ok(inotify) => watch_roots(inotify, roots, &vouches, &emit).await,
        Err(error) => Err(error),
    };
    vouches.lost_all();
    if let Err(error) = watched {
        tracing::warn!(%error, "{NOT_WATCHED}");
        emit(Event::WatchLimit(true));
        emit(Event::DataChanged);
    }
}

async fn watch_roots(
    mut inotify: Inotify,
    mut roots: watch::Receiver<Roots>,
    vouches: &Vouches,
    emit: &impl Fn(Event),
) -> std::io::Result<()> {
    let ready = readiness(&inotify)?;
    let mut tree = Tree::new(inotify.watches());
    let mut mounts = Mounts::new();
    let mut buffer = vec![0; BUFFER];
    let mut wanted = roots.borrow_and_update().wanted.clone();
    let mut limited = false;
    let mut rest_until = Instant::now();
    let (asks, mut requests) = mpsc::unbounded_channel();
    vouches.watched_by(Arc::new(Asks::new(asks)));
    // Not begun anew by other events, which may come oftener.
    let mut retry = tokio::time::interval(ROOT_BACK);
    retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut vouched = Vouched::new(vouches);
        // First, so that what is mounted while the folders are walked is seen.
        mounts.below(&wanted);
        let before = identities(&wanted);
        tree = tree.with_roots(wanted.clone()).await;
        tree = vouched.follow(tree, before).await;
        // Changes from before the watches count too.
        emit(Event::DataChanged);
        loop {
            if std::mem::replace(&mut limited, tree.limited) != tree.limited {
                emit(Event::WatchLimit(limited));
            }
            let missing = tree.has_missing_roots();
            tokio::select! {
                _ = retry.tick(), if missing => {
                    let before = identities(&wanted);
                    let (searched, changed) = tree.find_missing_roots(Vec::new()).await;
                    tree = vouched.follow(searched, before).await;
                    if changed {
                        emit(Event::DataChanged);
                    }
                }
                changed = roots.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let now = roots.borrow_and_update().clone();
                    if now.wanted != wanted {
                        wanted = now.wanted;
                        break;
                    }
                    if missing {
                        let before = identities(&wanted);
                        let (searched, changed) = tree.find_missing_roots(now.found).await;
                        tree = vouched.follow(searched, before).await;
                        if changed {
                            emit(Event::DataChanged);
                        }
                    }
                }
                () = mounts.changed(&wanted) => {
                    // No event tells of it: the watches are on what the mount hides, or went with it.
                    tree.clear();
                    break;
                }
                seen = wait(&ready, rest_until) => {
                    seen?;
                    let batch = read(&mut inotify, &mut buffer, &tree)?;
                    if batch.is_only_writing() {
                        rest_until = Instant::now() + REST;
                    }
                    tree = vouched.take_in(&batch, tree).await;
                    if batch.overflow {
                        tracing::info!("too many changes at once; everything is looked at again");
                        tree.clear();
                        break;
                    }
                    if batch.changed {
                        emit(Event::DataChanged);
                    }
                }
                Some(caught_up) = requests.recv() => {
                    let mut is_over = false;
                    for _ in 0..ROUNDS {
                        let batch = read(&mut inotify, &mut buffer, &tree)?;
                        tree = vouched.take_in(&batch, tree).await;
                        is_over = batch.overflow;
                        if batch.changed {
                            emit(Event::DataChanged);
                        }
                        if is_over {
                            break;
                        }
                        if batch.is_empty() {
                            // Whoever asked may wait no longer.
                            let _ = SyncSender::try_send(&caught_up, ());
                            break;
                        }
                    }
                    if is_over {
                        tree.clear();
                        break;
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

async fn wait(ready: &AsyncFd<OwnedFd>, rest_until: Instant) -> std::io::Result<()> {
    tokio::time::sleep_until(rest_until).await;
    // All events are read in one go after this, so what came meanwhile makes it ready again.
    ready.readable().await?.clear_ready();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use simsync_sync::dir::WORK_FOLDER;

    use super::*;

    fn wanted(roots: &[&Path]) -> Roots {
        Roots {
            wanted: roots.iter().map(|r| r.to_path_buf()).collect(),
            found: Vec::new(),
        }
    }

    struct Rig {
        roots: watch::Sender<Roots>,
        events: mpsc::UnboundedReceiver<Event>,
        dir: tempfile::TempDir,
    }

    impl Rig {
        async fn start() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (roots, rx) = watch::channel(wanted(&[dir.path()]));
            let (tx, events) = mpsc::unbounded_channel();
            tokio::spawn(run(rx, Vouches::default(), move |e| {
                tx.send(e).unwrap_or_default()
            }));
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
    async fn f_d_where_nothing_can_be_watched_that_is_told() {
        let (_roots, rx) = watch::channel(wanted(&[Path::new("/")]));
        let (tx, mut events) = mpsc::unbounded_channel();
        let none = std::io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
        run_with(Err(none), rx, Vouches::default(), move |e| {
            tx.send(e).unwrap_or_default()
        })
        .await;
        assert_eq!(events.try_recv(), Ok(Event::WatchLimit(true)));
        assert_eq!(events.try_recv(), Ok(Event::DataChanged));
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
        rig.roots.send(wanted(&[&root])).unwrap();
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
    async fn f_d_a_root_that_came_and_went_between_two_looks_has_changed() {
        let mut rig = Rig::start().await;
        let missing = rig.dir.path().join("missing");
        let mut roots = wanted(&[&missing]);
        rig.roots.send(roots.clone()).unwrap();
        rig.changed().await;
        // A sync found it; nobody watched it.
        roots.found = vec![missing];
        rig.roots.send(roots.clone()).unwrap();
        rig.changed().await;
        // The next sync does not find it, which is no news.
        roots.found.clear();
        rig.roots.send(roots).unwrap();
        drop(rig.roots);
        assert_eq!(rig.events.recv().await, None);
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
            .send(wanted(&[other.path(), &root.join("missing")]))
            .unwrap();
        // The first hint that comes is the one of the new roots: none came from the work folder.
        rig.changed().await;
        assert!(rig.events.try_recv().is_err());
        std::fs::write(other.path().join("f"), "1").unwrap();
        rig.changed().await;
    }
}
