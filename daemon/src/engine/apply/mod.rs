//! A plan becomes files on this terminal: temporary files, one `syncfs`, renames, one `syncfs`, then rows. A folder that is new
//! is built aside, with its files in it, and renamed as a whole.
//!
//! What is on this disk already is not fetched: a file that only moved is renamed, and content is copied from files that
//! have it. Deletions come last, so that nothing is gone before it was copied.

mod fresh;
mod ready;
mod removal;
pub(super) mod sources;
mod staging;
pub(super) mod whole_items;
mod write;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use simsync_sync::dir::{Applier, ApplyError, Stat, dir_bits, lock_dir, unlock_dir};
use simsync_sync::node::{Changes, Node, RelPath};
use simsync_sync::plan::Plan;

use super::EngineError;
use super::cancel::{Cancel, KeyCell};
use super::content::Content;
use super::error::code_of;
use super::progress::Progress;
use crate::engine::apply::sources::{Prefix, Sources, prefix};
use crate::engine::disk::on_disk::OnDisk;
use crate::engine::vault::fetch::Packs;
use crate::engine::vault::objects::Objects;
use crate::outstanding::{Report, Unsynced};
use crate::store::{CollectionPk, Store};
use fresh::Fresh;

/// How things look on disk after a plan was applied.
#[derive(Default)]
pub struct Applied {
    /// New states of what was written.
    pub stats: HashMap<RelPath, Stat>,
    /// Paths that could not be applied, and why; they stay as they were and are tried again.
    pub failed: HashMap<RelPath, Report>,
    /// Files written or removed.
    pub count: usize,
    /// Bytes written.
    pub bytes: u64,
}

/// A file to write.
struct Wanted<'a> {
    path: &'a RelPath,
    mode: u16,
    content: &'a Content,
}

struct Work<'a, 'o> {
    room: &'a PlanApplier,
    collection: CollectionPk,
    applier: Applier,
    disk: &'a OnDisk<'a>,
    objects: &'a mut Objects<'o>,
    sources: Sources<'a>,
    /// Paths whose entry was moved away by us.
    moved: HashSet<RelPath>,
    /// Directories that were made writable for the moment, with their permission bits.
    opened: BTreeMap<Option<RelPath>, u16>,
    out: Applied,
}

/// Writes what the vault has onto this disk.
#[derive(Clone)]
pub(super) struct PlanApplier {
    store: Arc<Store>,
    keys: KeyCell,
    packs: Packs,
    cancel: Cancel,
    progress: Arc<Progress>,
}

impl PlanApplier {
    /// From these packs, opened with these keys, until this stops it. What is to be put back after a crash is noted in this
    /// database.
    pub(super) fn new(
        store: Arc<Store>,
        keys: KeyCell,
        packs: Packs,
        cancel: Cancel,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            store,
            keys,
            packs,
            cancel,
            progress,
        }
    }

    /// Applies `plan` beneath the applier's root. Entries of the plan that could not be done are taken out of it.
    pub(super) fn apply(
        &self,
        collection: CollectionPk,
        applier: Applier,
        plan: &mut Plan<Content>,
        disk: &OnDisk<'_>,
        objects: &mut Objects<'_>,
    ) -> Result<Applied, EngineError> {
        if plan.moves.is_empty() && plan.apply.is_empty() {
            return Ok(Applied::default());
        }
        self.progress.step("writing", plan.apply.len());
        let (needed, bytes) = needed_chunks(&plan.apply, disk);
        let mut work = Work {
            room: self,
            collection,
            sources: Sources::new(self.keys.clone(), disk, &needed, bytes)?,
            applier,
            disk,
            objects,
            moved: HashSet::new(),
            opened: BTreeMap::new(),
            out: Applied::default(),
        };
        let result = work.all(plan, &needed);
        work.put_modes_back();
        result?;
        work.directory_modes(&plan.apply)?;
        work.applier.sync_all()?;
        for (path, report) in work.out.failed.clone() {
            for stays in plan.leave(&path) {
                let report = Report::path(report.code, &stays, report.detail.clone());
                work.out.failed.entry(stays).or_insert(report);
            }
        }
        Ok(work.out)
    }
}

/// Chunks of what is to be written and is not at its place already, and how many bytes that is.
fn needed_chunks(apply: &Changes<Content>, disk: &OnDisk<'_>) -> (HashSet<Prefix>, u64) {
    let mut bytes = 0u64;
    let files = apply.iter().filter_map(|(path, node)| match node {
        Some(Node::File { content, .. }) if !has_content(disk.node(path), content) => Some(content),
        _ => None,
    });
    let chunks = files.flat_map(|c| {
        bytes = bytes.saturating_add(c.size);
        c.chunks.iter().map(prefix)
    });
    (chunks.collect(), bytes)
}

fn has_content(node: Option<&Node<Content>>, content: &Content) -> bool {
    matches!(node, Some(Node::File { content: c, .. }) if c == content)
}

impl<'a> Work<'a, '_> {
    fn all(
        &mut self,
        plan: &mut Plan<Content>,
        needed: &HashSet<Prefix>,
    ) -> Result<(), EngineError> {
        for (from, to) in std::mem::take(&mut plan.moves) {
            let _step = simsync_failpoint::step("daemon.apply.moved");
            match self.attempt(&from, |applier| applier.rename(&from, &to)) {
                Ok(stat) => {
                    // What was written to it meanwhile moved along: then it is to be read again.
                    let now = self.disk.stat(&from);
                    let is_as_read = now.is_some_and(|l| {
                        (l.size, l.mtime, l.ino) == (stat.size, stat.mtime, stat.ino)
                    });
                    let ctime = if is_as_read { stat.ctime } else { 0 };
                    let stat = Stat { ctime, ..stat };
                    self.out.stats.insert(to.clone(), stat);
                    self.sources.moved(&from, &to, stat);
                    self.moved.insert(from.clone());
                    plan.moves.push((from, to));
                }
                Err(error) => {
                    self.note(&from, &error);
                    plan.apply.remove(&from);
                    plan.publish.remove(&to);
                    plan.conflicts.retain(|c| c.aside != to);
                }
            }
        }
        let last = self.make_room(&plan.apply, needed)?;
        let mut leaving = self.leaving(&plan.apply);
        let fresh = if self.has_room(&plan.apply) {
            let leaving = leaving.keys().map(|chunks| &chunks[..]).collect();
            Fresh::find(&plan.apply, self.disk, &leaving)
        } else {
            Fresh::default()
        };
        self.directories(&plan.apply, &fresh);
        self.renames(&plan.apply, &mut leaving)?;
        self.files(&plan.apply, &fresh)?;
        self.links(&plan.apply);
        for path in last {
            self.room.cancel.check()?;
            if !self.moved.contains(&path) {
                self.remove(&path, true);
            }
        }
        Ok(())
    }

    /// It concerns one path, which is tried again later.
    fn note(&mut self, path: &RelPath, error: &ApplyError) {
        self.fail(path, code_of(error), error.to_string());
    }

    fn fail(&mut self, path: &RelPath, code: Unsynced, detail: String) {
        tracing::warn!(%path, code = code.as_str(), detail, "not applied yet");
        let report = Report::path(code, path, detail);
        self.out.failed.insert(path.clone(), report);
    }

    /// Does something at `path`, with its folder made writable for the moment where that is in the way.
    fn attempt<T>(
        &mut self,
        path: &RelPath,
        mut step: impl FnMut(&mut Applier) -> Result<T, ApplyError>,
    ) -> Result<T, ApplyError> {
        match step(&mut self.applier) {
            Err(error) if error.is_denied() && self.open_folder_of(path) => step(&mut self.applier),
            other => other,
        }
    }

    /// Whether the folder of a path was made writable just now.
    fn open_folder_of(&mut self, path: &RelPath) -> bool {
        let folder = path.parent();
        if self.opened.contains_key(&folder) {
            return false;
        }
        let root = self.applier.root();
        let mode = match dir_bits(root, folder.as_ref()) {
            Ok(Some(mode)) if mode & 0o700 != 0o700 => mode,
            _ => return false,
        };
        // Written down before it is done: after a crash it is put back.
        let store = &self.room.store;
        let noted = store.add_opened_dir(self.collection, folder.as_ref(), mode);
        if let Err(error) = noted {
            tracing::warn!(%error, "a folder without write permission");
            return false;
        }
        let _step = simsync_failpoint::step("daemon.apply.unlocked");
        let opened = unlock_dir(root, folder.as_ref()).is_ok();
        if opened {
            self.opened.insert(folder, mode);
        }
        opened
    }

    fn put_modes_back(&self) {
        let root = self.applier.root();
        let mut all = true;
        for (folder, mode) in self.opened.iter().rev() {
            let _step = simsync_failpoint::step("daemon.apply.locked");
            if let Err(error) = lock_dir(root, folder.as_ref(), *mode) {
                tracing::warn!(%error, "permissions of a folder were not put back");
                all = false;
            }
        }
        if all
            && !self.opened.is_empty()
            && let Err(error) = self.room.store.clear_opened_dirs(self.collection)
        {
            tracing::warn!(%error, "folders that were made writable for the moment");
        }
    }

    /// The entry that is at a path still, or none.
    fn here(&self, path: &RelPath) -> Option<&'a Node<Content>> {
        self.disk.node(path).filter(|_| !self.moved.contains(path))
    }

    /// The state that must be found at a path where a file or link is put; none: nothing may be there.
    fn expected(&self, path: &RelPath) -> Option<&'a Stat> {
        self.here(path)
            .filter(|n| !n.is_dir())
            .and_then(|_| self.disk.stat(path))
    }

    /// Directories, the highest first; writable until everything is in them. Those that are built aside come later.
    fn directories(&mut self, apply: &Changes<Content>, fresh: &Fresh<'_>) {
        let folders = apply.iter().filter_map(|(path, node)| match node {
            Some(Node::Dir { mode }) if fresh.of_folder(path).is_none() => Some((path, *mode)),
            _ => None,
        });
        self.make_folders(&folders.collect::<Vec<_>>());
    }

    fn make_folders(&mut self, folders: &[(&RelPath, u16)]) {
        for (path, mode) in folders {
            if self.out.failed.contains_key(*path) {
                continue;
            }
            let _step = simsync_failpoint::step("daemon.apply.folder");
            match self.attempt(path, |applier| applier.directory(path, mode | 0o700)) {
                Ok(stat) => {
                    self.out.stats.insert((*path).clone(), stat);
                }
                Err(error) => self.note(path, &error),
            }
        }
    }

    fn directory_modes(&mut self, apply: &Changes<Content>) -> Result<(), EngineError> {
        for (path, node) in apply.iter().rev() {
            if let Some(Node::Dir { mode }) = node
                && mode & 0o700 != 0o700
                && !self.out.failed.contains_key(path)
            {
                let _step = simsync_failpoint::step("daemon.apply.folder-mode");
                match self.applier.directory(path, *mode) {
                    Ok(stat) => {
                        self.out.stats.insert(path.clone(), stat);
                    }
                    Err(error) => self.note(path, &error),
                }
            }
        }
        Ok(())
    }

    fn links(&mut self, apply: &Changes<Content>) {
        for (path, node) in apply {
            if let Some(Node::Symlink { target }) = node
                && !self.out.failed.contains_key(path)
            {
                let expected = self.expected(path).copied();
                let link = |applier: &mut Applier| applier.symlink(path, target, expected.as_ref());
                let _step = simsync_failpoint::step("daemon.apply.link");
                match self.attempt(path, link) {
                    Ok(stat) => {
                        self.out.stats.insert(path.clone(), stat);
                        self.out.count += 1;
                    }
                    Err(error) => self.note(path, &error),
                }
            }
        }
    }
}

fn files_of(apply: &Changes<Content>) -> impl Iterator<Item = Wanted<'_>> {
    apply.iter().filter_map(|(path, node)| match node {
        Some(Node::File { mode, content }) => Some(Wanted {
            path,
            mode: *mode,
            content,
        }),
        _ => None,
    })
}
