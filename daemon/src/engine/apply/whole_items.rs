//! A plan becomes items of a place that is no folder: each is written as a whole.

use std::collections::HashSet;

use simsync_sync::adapter::Items;
use simsync_sync::dir::{ApplyError, Stat};
use simsync_sync::node::{Node, RelPath};
use simsync_sync::plan::Plan;

use crate::engine::EngineError;
use crate::engine::apply::Applied;
use crate::engine::cancel::Cancel;
use crate::engine::content::Content;
use crate::engine::disk::on_disk::OnDisk;
use crate::engine::error::code_of;
use crate::engine::vault::objects::Objects;
use crate::outstanding::{Report, Unsynced};

/// Largest item, in bytes: it is in memory as a whole.
const ITEM_MAX: u64 = 64 << 20;

struct Work<'a, 'o> {
    items: &'a dyn Items,
    disk: &'a OnDisk<'a>,
    objects: &'a mut Objects<'o>,
    moved: HashSet<RelPath>,
    out: Applied,
}

/// Carries a plan out. Entries that could not be done are taken out of it.
pub fn apply(
    items: &dyn Items,
    plan: &mut Plan<Content>,
    disk: &OnDisk<'_>,
    objects: &mut Objects<'_>,
    cancel: &Cancel,
) -> Result<Applied, EngineError> {
    let mut work = Work {
        items,
        disk,
        objects,
        moved: HashSet::new(),
        out: Applied::default(),
    };
    for (from, to) in std::mem::take(&mut plan.moves) {
        let _step = simsync_failpoint::step("daemon.items.renamed");
        match work.items.rename(&from, &to) {
            Ok(stat) => {
                work.out.stats.insert(to.clone(), stat);
                work.moved.insert(from.clone());
                plan.moves.push((from, to));
            }
            Err(error) => {
                work.note(&from, &error);
                plan.apply.remove(&from);
                plan.publish.remove(&to);
                plan.conflicts.retain(|c| c.aside != to);
            }
        }
    }
    for (path, node) in &plan.apply {
        cancel.check()?;
        if work.out.failed.contains_key(path) {
            continue;
        }
        let _step = simsync_failpoint::step("daemon.items.written");
        let done = work.one(path, node.as_ref());
        match done {
            Ok(()) => work.out.count += 1,
            Err(EngineError::Apply(error)) => work.note(path, &error),
            Err(error) => match error.of_one_path() {
                Some(code) => work.fail(path, code, error.to_string()),
                None => return Err(error),
            },
        }
    }
    for (path, report) in work.out.failed.clone() {
        for stays in plan.leave(&path) {
            let report = Report::path(report.code, &stays, report.detail.clone());
            work.out.failed.entry(stays).or_insert(report);
        }
    }
    Ok(work.out)
}

impl Work<'_, '_> {
    /// The state that must be found at a path; none: nothing may be there.
    fn expected(&self, path: &RelPath) -> Option<&Stat> {
        self.disk.stat(path).filter(|_| !self.moved.contains(path))
    }

    fn one(&mut self, path: &RelPath, node: Option<&Node<Content>>) -> Result<(), EngineError> {
        match node {
            None => Ok(self.items.remove(path, self.expected(path))?),
            Some(Node::File { content, .. }) => {
                let data = self.content(path, content)?;
                let stat = self
                    .items
                    .write(path, &data, content.mtime, self.expected(path))?;
                self.out.stats.insert(path.clone(), stat);
                self.out.bytes += content.size;
                Ok(())
            }
            Some(Node::Dir { .. } | Node::Symlink { .. }) => {
                let what = "nothing but items can be kept where this collection is";
                self.fail(path, Unsynced::Special, what.to_owned());
                Ok(())
            }
        }
    }

    fn content(
        &mut self,
        path: &RelPath,
        content: &Content,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, EngineError> {
        let wrong = || EngineError::WrongSize(path.to_string());
        if content.size > ITEM_MAX {
            return Err(wrong());
        }
        let size = usize::try_from(content.size).map_err(|_| wrong())?;
        let mut data = zeroize::Zeroizing::new(Vec::with_capacity(size));
        self.objects.prepare(content.chunks.iter())?;
        for id in content.chunks.iter() {
            let chunk = self.objects.chunk(id)?;
            if chunk.len() > size - data.len() {
                return Err(wrong());
            }
            data.extend_from_slice(&chunk);
        }
        if data.len() == size {
            Ok(data)
        } else {
            Err(wrong())
        }
    }

    /// It concerns one item, which is tried again later.
    fn note(&mut self, path: &RelPath, error: &ApplyError) {
        self.fail(path, code_of(error), error.to_string());
    }

    fn fail(&mut self, path: &RelPath, code: Unsynced, detail: String) {
        tracing::warn!(%path, code = code.as_str(), detail, "not applied yet");
        let report = Report::path(code, path, detail);
        self.out.failed.insert(path.clone(), report);
    }
}
