//! A plan becomes files on this terminal: temporary files, one `syncfs`, renames, one `syncfs`, then rows.

use std::collections::{HashMap, HashSet};
use std::io::Write;

use simsync_sync::dir::{Applier, ApplyError, Staged, Stat};
use simsync_sync::node::{Changes, Node, RelPath};
use simsync_sync::plan::Plan;

use super::content::Content;
use super::objects::Objects;
use super::{Engine, EngineError};
use crate::store::FileRow;

/// Files are staged in batches of at most this many, or this many bytes.
const BATCH_FILES: usize = 4096;
const BATCH_BYTES: u64 = 256 << 20;

/// How things look on disk after a plan was applied.
#[derive(Default)]
pub struct Applied {
    /// New states of what was written.
    pub stats: HashMap<RelPath, Stat>,
    /// Paths that could not be applied; they stay as they were and are tried again.
    pub failed: HashSet<RelPath>,
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

impl OnDisk<'_> {
    /// The node that is there.
    pub fn node(&self, path: &RelPath) -> Option<&Node<Content>> {
        match self.changes.get(path) {
            Some(n) => n.as_ref(),
            None => self.rows.get(path).map(|r| &r.node),
        }
    }

    /// Its state.
    pub fn stat(&self, path: &RelPath) -> Option<&Stat> {
        self.node(path)?;
        self.stats
            .get(path)
            .or_else(|| self.rows.get(path).map(|r| &r.stat))
    }
}

struct Work<'a, 'o> {
    engine: &'a Engine,
    applier: Applier,
    disk: &'a OnDisk<'a>,
    objects: &'a mut Objects<'o>,
    out: Applied,
}

impl Engine {
    /// Applies `plan` beneath the applier's root. Entries of the plan that could not be done are taken out of it.
    pub fn apply(
        &self,
        applier: Applier,
        plan: &mut Plan<Content>,
        disk: &OnDisk<'_>,
        objects: &mut Objects<'_>,
    ) -> Result<Applied, EngineError> {
        if plan.moves.is_empty() && plan.apply.is_empty() {
            return Ok(Applied::default());
        }
        self.progress.step("writing", plan.apply.len());
        let mut work = Work {
            engine: self,
            applier,
            disk,
            objects,
            out: Applied::default(),
        };
        let moves = std::mem::take(&mut plan.moves);
        for (from, to) in moves {
            match work.applier.rename(&from, &to) {
                Ok(stat) => {
                    work.out.stats.insert(to.clone(), stat);
                    plan.moves.push((from, to));
                }
                Err(error) => {
                    work.note(&from, error)?;
                    plan.apply.remove(&from);
                    plan.publish.remove(&to);
                    plan.conflicts.retain(|c| c.aside != to);
                }
            }
        }
        let moved: HashSet<RelPath> = plan.moves.iter().map(|(from, _)| from.clone()).collect();
        work.make_room(&plan.apply, &moved)?;
        work.directories(&plan.apply)?;
        work.files(&plan.apply, &moved)?;
        work.links(&plan.apply, &moved)?;
        work.directory_modes(&plan.apply)?;
        work.applier.sync_all()?;
        for path in &work.out.failed {
            plan.publish.remove(path);
        }
        Ok(work.out)
    }
}

impl Work<'_, '_> {
    /// A full disk stops everything; anything else concerns one path, which is tried again later.
    fn note(&mut self, path: &RelPath, error: ApplyError) -> Result<(), EngineError> {
        if error.is_full() {
            return Err(error.into());
        }
        tracing::warn!(%path, %error, "not applied yet");
        self.out.failed.insert(path.clone());
        Ok(())
    }

    /// Deletions, and removal of what is of another kind than what comes; the deepest first.
    fn make_room(
        &mut self,
        apply: &Changes<Content>,
        moved: &HashSet<RelPath>,
    ) -> Result<(), EngineError> {
        for (path, node) in apply.iter().rev() {
            self.engine.cancel.check()?;
            let Some(here) = self.disk.node(path).filter(|_| !moved.contains(path)) else {
                continue;
            };
            let replace = match node {
                None => true,
                Some(new) => here.is_dir() != new.is_dir(),
            };
            if !replace {
                continue;
            }
            match self.applier.remove(path, self.disk.stat(path)) {
                Ok(()) => {
                    if node.is_none() {
                        self.out.count += 1;
                        self.engine.progress.file();
                    }
                }
                Err(error) => self.note(path, error)?,
            }
        }
        Ok(())
    }

    /// Directories, the highest first; writable until everything is in them.
    fn directories(&mut self, apply: &Changes<Content>) -> Result<(), EngineError> {
        for (path, node) in apply {
            if let Some(Node::Dir { mode }) = node
                && !self.out.failed.contains(path)
            {
                match self.applier.directory(path, mode | 0o700) {
                    Ok(stat) => {
                        self.out.stats.insert(path.clone(), stat);
                    }
                    Err(error) => self.note(path, error)?,
                }
            }
        }
        Ok(())
    }

    fn directory_modes(&mut self, apply: &Changes<Content>) -> Result<(), EngineError> {
        for (path, node) in apply.iter().rev() {
            if let Some(Node::Dir { mode }) = node
                && mode & 0o700 != 0o700
                && !self.out.failed.contains(path)
            {
                match self.applier.directory(path, *mode) {
                    Ok(stat) => {
                        self.out.stats.insert(path.clone(), stat);
                    }
                    Err(error) => self.note(path, error)?,
                }
            }
        }
        Ok(())
    }

    fn files(
        &mut self,
        apply: &Changes<Content>,
        moved: &HashSet<RelPath>,
    ) -> Result<(), EngineError> {
        let files: Vec<(&RelPath, u16, &Content)> = apply
            .iter()
            .filter_map(|(p, n)| match n {
                Some(Node::File { mode, content }) if !self.out.failed.contains(p) => {
                    Some((p, *mode, content))
                }
                _ => None,
            })
            .collect();
        let mut rest = files.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let n = rest
                .iter()
                .take(BATCH_FILES)
                .take_while(|(_, _, c)| {
                    let first = bytes == 0;
                    bytes += c.size.max(1);
                    first || bytes <= BATCH_BYTES
                })
                .count();
            self.batch(&rest[..n], moved)?;
            rest = &rest[n..];
        }
        Ok(())
    }

    fn batch(
        &mut self,
        files: &[(&RelPath, u16, &Content)],
        moved: &HashSet<RelPath>,
    ) -> Result<(), EngineError> {
        let chunks = files.iter().flat_map(|(_, _, c)| &c.chunks);
        self.objects.prepare(chunks)?;
        let mut staged: Vec<(&RelPath, u16, &Content, Staged)> = Vec::with_capacity(files.len());
        for (path, mode, content) in files {
            self.engine.cancel.check()?;
            let here = self.disk.node(path).filter(|_| !moved.contains(*path));
            if let Some(Node::File { content: c, .. }) = here
                && c == *content
            {
                match self.applier.chmod(path, *mode) {
                    Ok(stat) => {
                        self.out.stats.insert((*path).clone(), stat);
                    }
                    Err(error) => self.note(path, error)?,
                }
                continue;
            }
            let (stage, mut file) = self.applier.stage()?;
            for id in &content.chunks {
                let data = self.objects.chunk(id)?;
                file.write_all(&data).map_err(|e| write_error(path, &e))?;
                self.out.bytes += data.len() as u64;
            }
            staged.push((path, *mode, content, stage));
        }
        // The content must be on disk before any name points to it.
        self.applier.sync_all()?;
        for (path, mode, content, stage) in staged {
            let expected = if moved.contains(path) {
                None
            } else {
                self.disk.stat(path)
            };
            let expected = expected.filter(|_| self.disk.node(path).is_some_and(|n| !n.is_dir()));
            match self
                .applier
                .place(stage, path, expected, mode, content.mtime)
            {
                Ok(stat) => {
                    self.out.stats.insert(path.clone(), stat);
                    self.out.count += 1;
                }
                Err(error) => self.note(path, error)?,
            }
            self.engine.progress.file();
        }
        Ok(())
    }

    fn links(
        &mut self,
        apply: &Changes<Content>,
        moved: &HashSet<RelPath>,
    ) -> Result<(), EngineError> {
        for (path, node) in apply {
            if let Some(Node::Symlink { target }) = node
                && !self.out.failed.contains(path)
            {
                let expected = if moved.contains(path) {
                    None
                } else {
                    self.disk.stat(path)
                };
                let expected =
                    expected.filter(|_| self.disk.node(path).is_some_and(|n| !n.is_dir()));
                match self.applier.symlink(path, target, expected) {
                    Ok(stat) => {
                        self.out.stats.insert(path.clone(), stat);
                        self.out.count += 1;
                    }
                    Err(error) => self.note(path, error)?,
                }
            }
        }
        Ok(())
    }
}

fn write_error(path: &RelPath, e: &std::io::Error) -> ApplyError {
    let errno = rustix::io::Errno::from_raw_os_error(e.raw_os_error().unwrap_or(5));
    ApplyError::Io {
        path: path.to_string(),
        errno,
    }
}
