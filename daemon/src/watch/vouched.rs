//! The roots of collections that are vouched for: all of each is watched, and it is the folder that it was before.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use simsync_sync::adapter::Adapter as _;
use simsync_sync::folders::Folders;
use tokio::sync::mpsc;

use super::batch::Batch;
use super::tree::{Changes, Tree};
use crate::vouch::{Identity, Vouches, Watcher};

/// So often a root is walked that is another folder after it than before.
const WALKS: usize = 3;
/// For so long a look waits until all that was before it was read.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the task that reads events.
pub(super) struct Asks(mpsc::UnboundedSender<SyncSender<()>>);

impl Asks {
    /// By these requests, each of which is answered when that is done.
    pub(super) fn new(requests: mpsc::UnboundedSender<SyncSender<()>>) -> Self {
        Self(requests)
    }
}

impl Watcher for Asks {
    fn catch_up(&self, _: &Vouches) -> bool {
        let (caught_up, wait) = sync_channel(1);
        // Engines look on threads of their own, which may wait.
        self.0.send(caught_up).is_ok() && wait.recv_timeout(PATIENCE).is_ok()
    }
}

/// The roots that are vouched for.
pub(super) struct Vouched<'a> {
    vouches: &'a Vouches,
    roots: HashSet<PathBuf>,
}

/// Which folders these roots are now, as far as there are any.
pub(super) fn identities(roots: &[PathBuf]) -> HashMap<PathBuf, Identity> {
    let identity = |root: &PathBuf| {
        let identity = Folders.open(root).ok()?.identity().ok()?;
        Some((root.clone(), identity))
    };
    roots.iter().filter_map(identity).collect()
}

impl<'a> Vouched<'a> {
    /// None yet.
    pub(super) fn new(vouches: &'a Vouches) -> Self {
        vouches.lost_all();
        Self {
            vouches,
            roots: HashSet::new(),
        }
    }

    /// Vouches for all roots that are watched as a whole now. `before`: which folders they were before they were watched.
    pub(super) async fn follow(
        &mut self,
        mut tree: Tree,
        mut before: HashMap<PathBuf, Identity>,
    ) -> Tree {
        for _ in 0..WALKS {
            let replaced = self.vouch(&mut tree, &before);
            if replaced.is_empty() {
                break;
            }
            // Whoever waits for its next look might wait for a folder that came and went.
            before = identities(&replaced);
            let again = Changes {
                new: replaced,
                ..Changes::default()
            };
            tree = tree.after(again).await;
        }
        tree
    }

    /// The same once. Answers the roots where another folder, or the first one, came while they were walked: what is watched there
    /// is unknown, so nothing is.
    fn vouch(&mut self, tree: &mut Tree, before: &HashMap<PathBuf, Identity>) -> Vec<PathBuf> {
        let vouches = self.vouches;
        for root in self.roots.extract_if(|root| !tree.is_whole(root)) {
            vouches.lost(&root);
        }
        let new = tree.roots.iter().filter(|r| !self.roots.contains(*r));
        let new: Vec<PathBuf> = new.filter(|r| tree.is_whole(r)).cloned().collect();
        let now = identities(&new);
        let mut replaced = Vec::new();
        for root in new {
            match (before.get(&root), now.get(&root)) {
                (Some(was), Some(is)) if was == is => {
                    vouches.watching(&root, *is);
                    self.roots.insert(root);
                }
                (_, Some(_)) => {
                    tree.forget(&root);
                    replaced.push(root);
                }
                // Nobody can tell which folder it is.
                (_, None) => {}
            }
        }
        replaced
    }

    /// Follows folders that went and came, then tells what changed: what is in a new folder before it is watched is found by
    /// whoever looks at it from then on.
    pub(super) async fn take_in(&mut self, batch: &Batch, tree: Tree) -> Tree {
        let changes = batch.changes.clone();
        let is_moved = !changes.is_empty();
        let unvouched = tree.roots.difference(&self.roots);
        let unvouched: Vec<PathBuf> = unvouched.filter(|_| is_moved).cloned().collect();
        let before = identities(&unvouched);
        let mut tree = tree.after(changes).await;
        if is_moved {
            tree = self.follow(tree, before).await;
        }
        for path in &batch.paths {
            self.vouches.changed_at(path);
        }
        tree
    }
}

#[cfg(test)]
mod tests {
    use inotify::Inotify;

    use super::*;

    #[tokio::test]
    async fn a_root_that_came_while_it_was_walked_is_walked_again() {
        let inotify = Inotify::init().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let tree = Tree::new(inotify.watches());
        let tree = tree.with_roots(vec![root.clone()]).await;
        let vouches = Vouches::default();
        let mut vouched = Vouched::new(&vouches);
        // It was not there before, and nobody knows when it came.
        let tree = vouched.follow(tree, HashMap::new()).await;
        assert!(tree.is_whole(&root));
        assert!(vouched.roots.contains(&root));
        let identity = identities(std::slice::from_ref(&root))[&root];
        let looks = || {
            let scope = vouches.begin_scan(&root, identity);
            let all = scope.paths().is_none();
            scope.end([], Vec::new(), true);
            all
        };
        assert!(looks() && !looks());
    }
}
