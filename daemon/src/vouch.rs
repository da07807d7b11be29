//! What is vouched for: between two looks at a collection its watcher hears of everything that changes there, so the second look
//! is at that only, and what nobody told of is as it was.
//!
//! A path that is not among the changed ones is on disk as its row says. Whoever breaks that (a look that found something else
//! than the row, a row that is written, a change on disk) adds the path; a look that finds it as its row says takes it out.
//! Wherever that cannot be known, the vouching ends, and the next look is at everything.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use rustix::time::{ClockId, clock_gettime};
use simsync_sync::dir::FsId;
use simsync_sync::node::RelPath;

/// More changed paths than this are not remembered: a look at everything costs no more then.
const CHANGED_MAX: usize = 20_000;
/// So far the clock may move against the time since boot, in nanoseconds, before times of files mean nothing any more.
const CLOCK_STEP: i128 = 1_000_000_000;

/// Which folder a root is: its file system, and its inode number there.
pub type Identity = (FsId, u64);

/// Whoever hears of changes later than they are.
pub trait Watcher: Send + Sync {
    /// Waits until all that was up to now is told. False where that takes too long, or is not known.
    fn catch_up(&self, vouches: &Vouches) -> bool;
}

/// What watchers and engines know together of the roots of collections.
#[derive(Debug, Clone, Default)]
pub struct Vouches(Arc<Shared>);

#[derive(Default)]
struct Shared {
    roots: Mutex<HashMap<PathBuf, Vouch>>,
    /// How often watching began.
    begun: AtomicU64,
    /// None where changes are told at once.
    watcher: Mutex<Option<Arc<dyn Watcher>>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roots = &self.roots;
        f.debug_struct("Shared")
            .field("roots", roots)
            .finish_non_exhaustive()
    }
}

/// One root that is watched as a whole.
#[derive(Debug)]
struct Vouch {
    /// The folder that is watched under that name.
    identity: Identity,
    /// Tells this time of watching from others of the same root.
    number: u64,
    /// Where something changed, or is not as its row says.
    changed: BTreeSet<RelPath>,
    /// Files that have, or had, another name, too: they may change by that one.
    linked: BTreeSet<RelPath>,
    /// There were more of them than are remembered.
    too_many: bool,
    /// Everything was looked at since the watching began: what the clock was against the time since boot then.
    scanned: Option<i128>,
    /// A look is under way.
    scanning: bool,
}

impl Vouches {
    fn roots(&self) -> MutexGuard<'_, HashMap<PathBuf, Vouch>> {
        self.0.roots.lock()
    }

    /// This watcher is asked to catch up before each look.
    pub fn watched_by(&self, watcher: Arc<dyn Watcher>) {
        *self.watcher() = Some(watcher);
    }

    fn watcher(&self) -> MutexGuard<'_, Option<Arc<dyn Watcher>>> {
        self.0.watcher.lock()
    }

    /// From now on somebody tells of every change in this folder and below. What was before is unknown.
    pub fn watching(&self, root: &Path, identity: Identity) {
        let number = self.0.begun.fetch_add(1, Ordering::Relaxed);
        let vouch = Vouch {
            identity,
            number,
            changed: BTreeSet::new(),
            linked: BTreeSet::new(),
            too_many: false,
            scanned: None,
            scanning: false,
        };
        self.roots().insert(root.to_owned(), vouch);
    }

    /// Nobody vouches for this root any more.
    pub fn lost(&self, root: &Path) {
        self.roots().remove(root);
    }

    /// Nobody vouches for anything any more.
    pub fn lost_all(&self) {
        self.roots().clear();
    }

    /// The next look at each root is at everything, although nothing is known to be wrong.
    pub fn doubt(&self) {
        for vouch in self.roots().values_mut() {
            vouch.scanned = None;
        }
    }

    /// Something changed at this path, which may be in several roots.
    pub fn changed_at(&self, path: &Path) {
        use std::os::unix::ffi::OsStrExt;
        for (root, vouch) in self.roots().iter_mut() {
            let Ok(below) = path.strip_prefix(root) else {
                continue;
            };
            match RelPath::new(below.as_os_str().as_bytes()) {
                Ok(path) => vouch.add(path),
                // The root itself, or what cannot be synced.
                Err(_) => vouch.scanned = None,
            }
        }
    }

    /// These paths may not be as their rows say.
    pub fn changed<'p>(&self, root: &Path, paths: impl IntoIterator<Item = &'p RelPath>) {
        if let Some(vouch) = self.roots().get_mut(root) {
            paths.into_iter().cloned().for_each(|p| vouch.add(p));
        }
    }

    /// Begins a look at a root, whose folder is this one.
    pub fn begin_scan(&self, root: &Path, identity: Identity) -> ScanScope {
        let is_watched = self.roots().contains_key(root);
        let caught_up = is_watched && self.catch_up();
        let mut scope = ScanScope {
            vouches: self.clone(),
            root: root.to_owned(),
            number: None,
            paths: BTreeSet::new(),
            linked: BTreeSet::new(),
            is_whole: true,
        };
        let mut roots = self.roots();
        let why = match roots.get_mut(root) {
            None => "it is not watched as a whole",
            Some(_) if !caught_up => "the watcher is behind",
            Some(v) if v.scanning => "another look is under way",
            Some(v) if v.identity != identity => "another folder than this one is watched",
            Some(v) => {
                v.scanning = true;
                scope.number = Some(v.number);
                scope.paths = std::mem::take(&mut v.changed);
                scope.linked.clone_from(&v.linked);
                let too_many = std::mem::take(&mut v.too_many);
                match v.scanned {
                    None => "it was not looked at as a whole since it is watched",
                    Some(_) if too_many => "too much changed",
                    Some(then) if (clock() - then).abs() > CLOCK_STEP => "the clock was set",
                    Some(_) => {
                        scope.is_whole = false;
                        return scope;
                    }
                }
            }
        };
        tracing::info!(root = %root.display(), why, "everything is looked at");
        scope
    }

    /// Waits until the watcher told of all that was up to now; false where it did not.
    pub fn catch_up(&self) -> bool {
        let watcher = self.watcher().clone();
        watcher.is_none_or(|watcher| watcher.catch_up(self))
    }
}

impl Vouch {
    fn add(&mut self, path: RelPath) {
        if self.changed.len() < CHANGED_MAX {
            self.changed.insert(path);
        } else {
            self.too_many = true;
        }
    }
}

/// A look at one root that is under way.
#[derive(Debug)]
pub struct ScanScope {
    vouches: Vouches,
    root: PathBuf,
    /// Which watching it belongs to; none: it proves nothing for the next one.
    number: Option<u64>,
    paths: BTreeSet<RelPath>,
    linked: BTreeSet<RelPath>,
    is_whole: bool,
}

impl ScanScope {
    /// Where to look; none: at everything.
    pub fn paths(&self) -> Option<BTreeSet<RelPath>> {
        (!self.is_whole).then(|| self.paths.union(&self.linked).cloned().collect())
    }

    /// Whether a file has another name that nobody knew of. Files that it is the other name of look different now, and nobody
    /// told of them.
    pub fn is_new_link(&self, path: &RelPath) -> bool {
        !self.linked.contains(path)
    }

    /// It is at everything, whatever was vouched for.
    pub fn widen(&mut self) {
        self.is_whole = true;
    }

    /// It ended, and these paths are not as their rows say, or are to be looked at again whatever is told; and these files have
    /// other names. `proves`: what was seen is all that is there.
    pub fn end(
        mut self,
        different: impl IntoIterator<Item = RelPath>,
        linked: Vec<RelPath>,
        proves: bool,
    ) {
        let Some(number) = self.number.take() else {
            return;
        };
        let mut roots = self.vouches.roots();
        let Some(v) = roots.get_mut(&self.root).filter(|v| v.number == number) else {
            return;
        };
        v.scanning = false;
        if self.is_whole || !proves {
            v.scanned = proves.then(clock);
        }
        different.into_iter().for_each(|p| v.add(p));
        v.linked.extend(linked);
        v.too_many |= v.linked.len() > CHANGED_MAX;
    }
}

impl Drop for ScanScope {
    fn drop(&mut self) {
        // It failed: what it was to look at is still to be looked at.
        let Some(number) = self.number.take() else {
            return;
        };
        let mut roots = self.vouches.roots();
        if let Some(v) = roots.get_mut(&self.root).filter(|v| v.number == number) {
            v.scanning = false;
            if self.is_whole {
                v.scanned = None;
            }
            std::mem::take(&mut self.paths)
                .into_iter()
                .for_each(|p| v.add(p));
        }
    }
}

/// The clock less the time since boot, in nanoseconds: it moves only when the clock is set.
fn clock() -> i128 {
    let nanos = |id| {
        let t = clock_gettime(id);
        i128::from(t.tv_sec) * 1_000_000_000 + i128::from(t.tv_nsec)
    };
    nanos(ClockId::Realtime) - nanos(ClockId::Boottime)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "/home/anna/Documents";
    const FOLDER: Identity = (FsId(1), 2);

    fn p(s: &str) -> RelPath {
        RelPath::new(s).unwrap()
    }

    /// Where a look at the root is; none: everywhere.
    fn scope_of(vouches: &Vouches) -> (ScanScope, Option<Vec<String>>) {
        let scope = vouches.begin_scan(Path::new(ROOT), FOLDER);
        let paths = scope.paths();
        let words = |paths: BTreeSet<RelPath>| paths.iter().map(ToString::to_string).collect();
        (scope, paths.map(words))
    }

    /// A look that finds these different.
    fn scan(vouches: &Vouches, different: &[&str]) -> Option<Vec<String>> {
        let (scope, paths) = scope_of(vouches);
        scope.end(different.iter().map(|s| p(s)), Vec::new(), true);
        paths
    }

    fn vouched() -> Vouches {
        let vouches = Vouches::default();
        vouches.watching(Path::new(ROOT), FOLDER);
        assert_eq!(scan(&vouches, &[]), None);
        assert_eq!(scan(&vouches, &[]), Some(Vec::new()));
        vouches
    }

    fn told(vouches: &Vouches, path: &str) {
        vouches.changed_at(&Path::new(ROOT).join(path));
    }

    #[test]
    fn p7_a_look_is_at_what_was_told_and_at_what_was_different() {
        let vouches = vouched();
        told(&vouches, "a");
        vouches.changed_at(Path::new("/home/anna/Documents and more/b"));
        vouches.changed(Path::new(ROOT), [&p("c/d")]);
        assert_eq!(scan(&vouches, &["a"]).unwrap(), ["a", "c/d"]);
        assert_eq!(scan(&vouches, &[]).unwrap(), ["a"]);
        // What changes while somebody looks is for the next look.
        let (scope, _) = scope_of(&vouches);
        told(&vouches, "e");
        scope.end([], Vec::new(), true);
        assert_eq!(scan(&vouches, &[]).unwrap(), ["e"]);
        // Names that a file has by itself are looked at for ever.
        let (scope, _) = scope_of(&vouches);
        assert!(scope.is_new_link(&p("l")));
        scope.end([], vec![p("l")], true);
        for _ in 0..2 {
            let (scope, paths) = scope_of(&vouches);
            assert_eq!(paths.unwrap(), ["l"]);
            assert!(!scope.is_new_link(&p("l")));
            scope.end([], Vec::new(), true);
        }
    }

    #[test]
    fn p7_a_look_that_failed_leaves_everything_to_the_next() {
        let vouches = vouched();
        told(&vouches, "a");
        drop(scope_of(&vouches));
        assert_eq!(scan(&vouches, &[]).unwrap(), ["a"]);
        vouches.doubt();
        drop(scope_of(&vouches));
        assert_eq!(scan(&vouches, &[]), None);
        assert_eq!(scan(&vouches, &[]), Some(Vec::new()));
        // One that did not see everything proves nothing.
        let (scope, _) = scope_of(&vouches);
        scope.end([], Vec::new(), false);
        assert_eq!(scan(&vouches, &[]), None);
        // Two at once: the second is at everything, and counts for nothing.
        let (first, _) = scope_of(&vouches);
        told(&vouches, "b");
        assert_eq!(scan(&vouches, &[]), None);
        first.end([], Vec::new(), true);
        assert_eq!(scan(&vouches, &[]).unwrap(), ["b"]);
    }

    #[test]
    fn p7_where_it_cannot_be_known_the_vouching_ends() {
        let vouches = vouched();
        // The root itself, or a path that cannot be looked at by itself.
        for path in ["", &"x/".repeat(3000)] {
            told(&vouches, path);
            assert_eq!(scan(&vouches, &[]), None, "{path}");
        }
        for i in 0..=CHANGED_MAX {
            told(&vouches, &i.to_string());
        }
        assert_eq!(scan(&vouches, &[]), None);
        assert_eq!(scan(&vouches, &[]), Some(Vec::new()));
        // Another folder there than the one that is watched.
        let other = vouches.begin_scan(Path::new(ROOT), (FsId(1), 3));
        assert_eq!(other.paths(), None);
        other.end([], Vec::new(), true);
        assert_eq!(scan(&vouches, &[]), Some(Vec::new()));
        // A look that began under one watching proves nothing for the next.
        let (scope, _) = scope_of(&vouches);
        vouches.watching(Path::new(ROOT), FOLDER);
        scope.end([], Vec::new(), true);
        assert_eq!(scan(&vouches, &[]), None);
        vouches.lost(Path::new(ROOT));
        assert_eq!(scan(&vouches, &[]), None);
        // A watcher that does not catch up.
        struct Behind;
        impl Watcher for Behind {
            fn catch_up(&self, _: &Vouches) -> bool {
                false
            }
        }
        let vouches = vouched();
        vouches.watched_by(Arc::new(Behind));
        assert_eq!(scan(&vouches, &[]), None);
    }
}
