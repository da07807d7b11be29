//! A plan becomes files on this terminal: temporary files, one `syncfs`, renames, one `syncfs`, then rows.
//!
//! What is on this disk already is not fetched: a file that only moved is renamed, and content is copied from files that
//! have it. Deletions come last, so that nothing is gone before it was copied.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;

use simsync_sync::dir::{Applier, ApplyError, Staged, Stat, dir_bits, lock_dir, unlock_dir};
use simsync_sync::node::{Changes, Node, RelPath};
use simsync_sync::plan::Plan;
use simsync_vault::ids::ObjectId;

use super::content::Content;
use super::objects::Objects;
use super::sources::{Prefix, Sources, prefix};
use super::{Engine, EngineError};
use crate::outstanding::{Code, Report};
use crate::store::{CollectionPk, FileRow};

/// Files are staged in batches of at most this many, or this many bytes.
const BATCH_FILES: usize = 4096;
const BATCH_BYTES: u64 = 256 << 20;
/// What a file takes on disk is counted in blocks of this many bytes.
const BLOCK: u64 = 4096;

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

/// What is on disk now, as the scan saw it.
pub struct OnDisk<'a> {
    /// Rows of the last sync.
    pub rows: &'a HashMap<RelPath, FileRow>,
    /// What differs from them.
    pub changes: &'a Changes<Content>,
    /// States of what differs.
    pub stats: &'a HashMap<RelPath, Stat>,
}

impl<'a> OnDisk<'a> {
    /// The node that is there.
    pub fn node(&self, path: &RelPath) -> Option<&'a Node<Content>> {
        match self.changes.get(path) {
            Some(n) => n.as_ref(),
            None => self.rows.get(path).map(|r| &r.node),
        }
    }

    /// Its state.
    pub fn stat(&self, path: &RelPath) -> Option<&'a Stat> {
        self.node(path)?;
        self.stats
            .get(path)
            .or_else(|| self.rows.get(path).map(|r| &r.stat))
    }
}

/// A file to write.
struct Wanted<'a> {
    path: &'a RelPath,
    mode: u16,
    content: &'a Content,
}

struct Work<'a, 'o> {
    engine: &'a Engine,
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

impl Engine {
    /// Applies `plan` beneath the applier's root. Entries of the plan that could not be done are taken out of it.
    pub fn apply(
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
        let needed = needed_chunks(&plan.apply, disk);
        let mut work = Work {
            engine: self,
            collection,
            sources: Sources::new(self, disk, &needed),
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
        for path in work.out.failed.keys() {
            plan.publish.remove(path);
        }
        Ok(work.out)
    }
}

/// Chunks of what is to be written and is not at its place already.
fn needed_chunks(apply: &Changes<Content>, disk: &OnDisk<'_>) -> HashSet<Prefix> {
    let files = apply.iter().filter_map(|(path, node)| match node {
        Some(Node::File { content, .. }) if !has_content(disk.node(path), content) => Some(content),
        _ => None,
    });
    files.flat_map(|c| c.chunks.iter().map(prefix)).collect()
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
            match self.attempt(&from, |applier| applier.rename(&from, &to)) {
                Ok(stat) => {
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
        self.directories(&plan.apply);
        self.renames(&plan.apply)?;
        self.files(&plan.apply)?;
        self.links(&plan.apply);
        for path in last {
            self.engine.cancel.check()?;
            if !self.moved.contains(&path) {
                self.remove(&path, true);
            }
        }
        Ok(())
    }

    /// It concerns one path, which is tried again later.
    fn note(&mut self, path: &RelPath, error: &ApplyError) {
        let code = match error {
            ApplyError::ChangedMeanwhile(_) => Code::ChangedMeanwhile,
            e if e.is_full() => Code::DiskFull,
            e if e.is_denied() => Code::NotWritable,
            ApplyError::Io { .. } => Code::Io,
        };
        self.fail(path, code, error.to_string());
    }

    fn fail(&mut self, path: &RelPath, code: Code, detail: String) {
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
        let store = &self.engine.store;
        let noted = store.add_opened_dir(self.collection, folder.as_ref(), mode);
        if let Err(error) = noted {
            tracing::warn!(%error, "a folder without write permission");
            return false;
        }
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
            if let Err(error) = lock_dir(root, folder.as_ref(), *mode) {
                tracing::warn!(%error, "permissions of a folder were not put back");
                all = false;
            }
        }
        if all
            && !self.opened.is_empty()
            && let Err(error) = self.engine.store.clear_opened_dirs(self.collection)
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

    /// Removes what is of another kind than what comes, the deepest first, and deletes what nobody needs. Answers what is to
    /// be deleted at last: folders, and files whose content goes somewhere else.
    fn make_room(
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
            self.engine.cancel.check()?;
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

    fn remove(&mut self, path: &RelPath, for_good: bool) {
        let stat = self.disk.stat(path).copied();
        match self.attempt(path, |applier| applier.remove(path, stat.as_ref())) {
            Ok(()) => {
                if for_good {
                    self.out.count += 1;
                    self.engine.progress.file();
                }
            }
            Err(error) => self.note(path, &error),
        }
    }

    /// Directories, the highest first; writable until everything is in them.
    fn directories(&mut self, apply: &Changes<Content>) {
        for (path, node) in apply {
            if let Some(Node::Dir { mode }) = node
                && !self.out.failed.contains_key(path)
            {
                match self.attempt(path, |applier| applier.directory(path, mode | 0o700)) {
                    Ok(stat) => {
                        self.out.stats.insert(path.clone(), stat);
                    }
                    Err(error) => self.note(path, &error),
                }
            }
        }
    }

    fn directory_modes(&mut self, apply: &Changes<Content>) -> Result<(), EngineError> {
        for (path, node) in apply.iter().rev() {
            if let Some(Node::Dir { mode }) = node
                && mode & 0o700 != 0o700
                && !self.out.failed.contains_key(path)
            {
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

    /// Files that only go somewhere else, as they are: renamed, so that whoever has them open keeps them.
    fn renames(&mut self, apply: &Changes<Content>) -> Result<(), EngineError> {
        let mut leaving: HashMap<Vec<ObjectId>, Vec<&RelPath>> = HashMap::new();
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
        if leaving.is_empty() {
            return Ok(());
        }
        // A file that was renamed kept its time; a copy of it did not.
        for same_time in [true, false] {
            self.rename_all(apply, &mut leaving, same_time)?;
        }
        Ok(())
    }

    fn rename_all(
        &mut self,
        apply: &Changes<Content>,
        leaving: &mut HashMap<Vec<ObjectId>, Vec<&RelPath>>,
        same_time: bool,
    ) -> Result<(), EngineError> {
        for wanted in files_of(apply) {
            self.engine.cancel.check()?;
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
            match self.rename_one(from, &wanted) {
                Ok(stat) => {
                    self.sources.moved(from, path, stat);
                    self.moved.insert(from.clone());
                    self.out.stats.insert(path.clone(), stat);
                    self.out.count += 1;
                    self.engine.progress.file();
                }
                // Then it is written, as any other.
                Err(error) => tracing::debug!(%from, to = %path, %error, "not renamed"),
            }
        }
        Ok(())
    }

    fn rename_one(&mut self, from: &RelPath, to: &Wanted<'_>) -> Result<Stat, ApplyError> {
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

    fn files(&mut self, apply: &Changes<Content>) -> Result<(), EngineError> {
        let mut files: Vec<Wanted<'_>> = files_of(apply)
            .filter(|w| {
                !self.out.failed.contains_key(w.path) && !self.out.stats.contains_key(w.path)
            })
            .collect();
        // Where not everything has room, most of it may.
        files.sort_by_key(|w| w.content.size);
        let mut rest = files.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0u64;
            let n = rest
                .iter()
                .take(BATCH_FILES)
                .take_while(|w| {
                    let first = bytes == 0;
                    bytes = bytes.saturating_add(w.content.size.max(1));
                    first || bytes <= BATCH_BYTES
                })
                .count();
            self.batch(&rest[..n])?;
            rest = &rest[n..];
        }
        Ok(())
    }

    fn batch(&mut self, files: &[Wanted<'_>]) -> Result<(), EngineError> {
        let mut room: HashMap<usize, u64> = HashMap::new();
        let mut to_stage = Vec::with_capacity(files.len());
        for wanted in files {
            let path = wanted.path;
            if has_content(self.here(path), wanted.content) {
                match self.attempt(path, |applier| applier.chmod(path, wanted.mode)) {
                    Ok(stat) => {
                        self.out.stats.insert(path.clone(), stat);
                    }
                    Err(error) => self.note(path, &error),
                }
                continue;
            }
            match self.take_room(wanted, &mut room) {
                Ok(true) => to_stage.push(wanted),
                Ok(false) => self.fail(path, Code::DiskFull, String::new()),
                Err(error) => self.note(path, &error),
            }
        }
        let chunks = to_stage.iter().flat_map(|w| &w.content.chunks);
        let to_fetch: Vec<&ObjectId> = chunks.filter(|c| !self.sources.has(c)).collect();
        self.objects.prepare(to_fetch.into_iter())?;
        let mut staged: Vec<(&Wanted<'_>, Staged)> = Vec::with_capacity(to_stage.len());
        for wanted in to_stage {
            self.engine.cancel.check()?;
            if let Some(stage) = self.stage(wanted)? {
                staged.push((wanted, stage));
            }
        }
        // The content must be on disk before any name points to it.
        self.applier.sync_all()?;
        for (wanted, stage) in staged {
            let (path, mode, mtime) = (wanted.path, wanted.mode, wanted.content.mtime);
            let expected = self.expected(path).copied();
            let place =
                |applier: &mut Applier| applier.place(&stage, path, expected.as_ref(), mode, mtime);
            match self.attempt(path, place) {
                Ok(stat) => {
                    self.out.stats.insert(path.clone(), stat);
                    self.out.count += 1;
                }
                Err(error) => {
                    self.applier.discard(&stage);
                    self.note(path, &error);
                }
            }
            self.engine.progress.file();
        }
        Ok(())
    }

    /// Whether a file still fits on its disk; takes that from what is left.
    fn take_room(
        &mut self,
        wanted: &Wanted<'_>,
        room: &mut HashMap<usize, u64>,
    ) -> Result<bool, ApplyError> {
        let disk = self.applier.file_system(wanted.path)?;
        let left = match room.get(&disk) {
            Some(left) => *left,
            None => self.applier.room(wanted.path)?,
        };
        let size = wanted.content.size.div_ceil(BLOCK).saturating_mul(BLOCK);
        let fits = size <= left;
        room.insert(disk, if fits { left - size } else { left });
        Ok(fits)
    }

    /// A temporary file with the content, or none if that could not be had or written, which is noted then.
    fn stage(&mut self, wanted: &Wanted<'_>) -> Result<Option<Staged>, EngineError> {
        let path = wanted.path;
        let (stage, mut file) = match self.applier.stage(path) {
            Ok(made) => made,
            Err(error) => {
                self.note(path, &error);
                return Ok(None);
            }
        };
        match self.write(wanted, &mut file) {
            Ok(()) => return Ok(Some(stage)),
            Err(EngineError::Apply(error)) => self.note(path, &error),
            Err(error) => match error.of_one_path() {
                Some(code) => self.fail(path, code, error.to_string()),
                None => {
                    self.applier.discard(&stage);
                    return Err(error);
                }
            },
        }
        self.applier.discard(&stage);
        Ok(None)
    }

    fn write(&mut self, wanted: &Wanted<'_>, file: &mut std::fs::File) -> Result<(), EngineError> {
        let mut size = 0u64;
        for id in &wanted.content.chunks {
            self.engine.cancel.check()?;
            let root = self.applier.root();
            let data = match self.sources.chunk(root, id, self.objects)? {
                Some(data) => data,
                None => self.objects.chunk(id)?,
            };
            size = size.saturating_add(data.len() as u64);
            // Room was taken for what it claims to be.
            if size > wanted.content.size {
                return Err(wrong_size(wanted.path));
            }
            file.write_all(&data)
                .map_err(|e| write_error(wanted.path, &e))?;
            self.out.bytes += data.len() as u64;
        }
        if size == wanted.content.size {
            Ok(())
        } else {
            Err(wrong_size(wanted.path))
        }
    }

    fn links(&mut self, apply: &Changes<Content>) {
        for (path, node) in apply {
            if let Some(Node::Symlink { target }) = node
                && !self.out.failed.contains_key(path)
            {
                let expected = self.expected(path).copied();
                let link = |applier: &mut Applier| applier.symlink(path, target, expected.as_ref());
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

fn wrong_size(path: &RelPath) -> EngineError {
    EngineError::WrongSize(path.to_string())
}

fn write_error(path: &RelPath, e: &std::io::Error) -> ApplyError {
    let errno = rustix::io::Errno::from_raw_os_error(e.raw_os_error().unwrap_or(5));
    ApplyError::Io {
        path: path.to_string(),
        errno,
    }
}
