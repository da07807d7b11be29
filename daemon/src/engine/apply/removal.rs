//! What goes: deletions, what stands in the way, and files that only go somewhere else.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use simsync_sync::dir::{Applier, ApplyError, Stat};
use simsync_sync::node::{Changes, Node, RelPath};
use simsync_vault::ids::ObjectId;

use super::sources::{Prefix, prefix};
use super::{Wanted, Work, files_of};
use crate::engine::EngineError;
use crate::engine::content::Content;

impl Work<'_, '_> {
    /// Removes what is of another kind than what comes, the deepest first, and deletes what nobody needs. Answers what is to
    /// be deleted at last: folders, and files whose content goes somewhere else.
    pub(super) fn make_room(
        &mut self,
        apply: &Changes<Content>,
        needed: &HashSet<Prefix>,
    ) -> Result<Vec<RelPath>, EngineError> {
        let becomes_file = |path: &RelPath| {
            let node = apply.get(path).and_then(Option::as_ref);
            node.is_some_and(|n| !n.is_dir())
        };
        let mut last = Vec::new();
        for (path, node) in apply.iter().rev() {
            self.room.cancel.check()?;
            let Some(here) = self.here(path) else {
                continue;
            };
            let replaced = node.as_ref().is_some_and(|n| here.is_dir() != n.is_dir());
            if node.is_some() && !replaced {
                continue;
            }
            let in_the_way = replaced || path.ancestors().any(|a| becomes_file(&a));
            let wanted = match here {
                Node::File { content, .. } => {
                    content.chunks.iter().any(|c| needed.contains(&prefix(c)))
                }
                Node::Dir { .. } => true,
                Node::Symlink { .. } => false,
            };
            if wanted && !in_the_way {
                last.push(path.clone());
            } else {
                self.remove(path, node.is_none());
            }
        }
        Ok(last)
    }

    pub(super) fn remove(&mut self, path: &RelPath, for_good: bool) {
        let stat = self.disk.stat(path).copied();
        let _step = simsync_failpoint::step("daemon.apply.removed");
        match self.attempt(path, |applier| applier.remove(path, stat.as_ref())) {
            Ok(()) => {
                if for_good {
                    self.out.count += 1;
                    self.room.progress.file();
                }
            }
            Err(error) => self.note(path, &error),
        }
    }

    /// Files that leave their place unchanged, by their content: they may only go somewhere else.
    pub(super) fn leaving<'p>(
        &self,
        apply: &'p Changes<Content>,
    ) -> HashMap<Arc<[ObjectId]>, Vec<&'p RelPath>> {
        let mut leaving: HashMap<Arc<[ObjectId]>, Vec<&RelPath>> = HashMap::new();
        for (path, node) in apply.iter().filter(|(_, node)| node.is_none()) {
            let unchanged = !self.disk.changes.contains_key(path);
            if node.is_none()
                && unchanged
                && let Some(Node::File { content, .. }) = self.here(path)
                && content.size > 0
            {
                let same = leaving.entry(content.chunks.clone()).or_default();
                same.push(path);
            }
        }
        leaving
    }

    /// Files that only go somewhere else, as they are: renamed, so that whoever has them open keeps them.
    pub(super) fn renames(
        &mut self,
        apply: &Changes<Content>,
        leaving: &mut HashMap<Arc<[ObjectId]>, Vec<&RelPath>>,
    ) -> Result<(), EngineError> {
        if leaving.is_empty() {
            return Ok(());
        }
        // A file that was renamed kept its time; a copy of it did not.
        for same_time in [true, false] {
            self.rename_all(apply, leaving, same_time)?;
        }
        Ok(())
    }

    pub(super) fn rename_all(
        &mut self,
        apply: &Changes<Content>,
        leaving: &mut HashMap<Arc<[ObjectId]>, Vec<&RelPath>>,
        same_time: bool,
    ) -> Result<(), EngineError> {
        for wanted in files_of(apply) {
            self.room.cancel.check()?;
            let path = wanted.path;
            let done = self.out.stats.contains_key(path) || self.out.failed.contains_key(path);
            if done || self.here(path).is_some() {
                continue;
            }
            let Some(same) = leaving.get_mut(&wanted.content.chunks) else {
                continue;
            };
            let fits = |from: &&RelPath| {
                let mtime = self.disk.stat(from).map(|s| s.mtime);
                !same_time || mtime == Some(wanted.content.mtime)
            };
            let Some(from) = same.iter().position(fits).map(|i| same.swap_remove(i)) else {
                continue;
            };
            if self.out.failed.contains_key(from) {
                continue;
            }
            let _step = simsync_failpoint::step("daemon.apply.renamed");
            match self.rename_one(from, &wanted) {
                Ok(stat) => {
                    self.sources.moved(from, path, stat);
                    self.moved.insert(from.clone());
                    self.out.stats.insert(path.clone(), stat);
                    self.out.count += 1;
                    self.room.progress.file();
                }
                // Then it is written, as any other.
                Err(error) => tracing::debug!(%from, to = %path, %error, "not renamed"),
            }
        }
        Ok(())
    }

    pub(super) fn rename_one(
        &mut self,
        from: &RelPath,
        to: &Wanted<'_>,
    ) -> Result<Stat, ApplyError> {
        let stat = self.disk.stat(from).copied();
        let (path, mode, mtime) = (to.path, to.mode, to.content.mtime);
        let rename =
            |applier: &Applier| applier.rename_unchanged(from, path, stat.as_ref(), mode, mtime);
        match rename(&self.applier) {
            Err(error) if error.is_denied() => {
                let opened = [from, path].map(|p| self.open_folder_of(p));
                if opened.contains(&true) {
                    rename(&self.applier)
                } else {
                    Err(error)
                }
            }
            other => other,
        }
    }
}
