//! One collection: what changed here, what changed in the vault, and the plan that makes both equal. Nothing is uploaded for it,
//! and only files are read that both sides changed.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::AsFd;
use std::path::Path;

use simsync_sync::dir::{Stat, lock_dir, open_root};
use simsync_sync::node::{Changes, Node, RelPath};
use simsync_sync::plan::{Inputs, Plan, Side, plan};
use simsync_vault::chunker::Chunker;
use simsync_vault::ids::ObjectId;
use simsync_vault::treeops::{self, DirSource};

use super::answers::Answer;
use super::content::Content;
use super::leaves::{node_of, path_of};
use super::merge::aside_name;
use super::objects::Objects;
use super::options::SyncOptions;
use super::planned::Planned;
use super::scan::{Candidate, LocalState};
use super::seen::{Seen, all_read, all_seen, seen};
use super::upload::Uploader;
use super::uploads;
use super::{Engine, EngineError, Session, now_ms};
use crate::outstanding::{Producer, Report};
use crate::store::{Collection, FileRow, RowChange};

/// What every collection of one sync needs.
#[derive(Clone, Copy)]
pub(super) struct Round<'a> {
    pub(super) session: &'a Session,
    pub(super) chunker: &'a Chunker,
    pub(super) uploader: &'a Uploader<'a>,
    pub(super) options: &'a SyncOptions,
}

/// What this terminal has that its rows do not stand for.
#[derive(Default)]
pub(super) struct Local {
    pub(super) changes: Changes<Seen>,
    pub(super) stats: HashMap<RelPath, Stat>,
    /// Rows whose content is as it was, but which look different.
    touched: Vec<RowChange>,
    /// Files that could not be read.
    left: Vec<Report>,
    /// Number of each candidate of the scan, by its path.
    numbers: HashMap<RelPath, usize>,
}

impl Local {
    /// As the scan found it: no file was read.
    fn unread(state: &LocalState) -> Self {
        let mut local = Self::default();
        for path in &state.gone {
            local.changes.insert(path.clone(), None);
        }
        for (path, node, stat) in &state.nodes {
            local.put(&state.rows, path.clone(), node.clone(), *stat);
        }
        for (number, c) in state.candidates.iter().enumerate() {
            let content = Seen::Unread(number);
            let mode = c.stat.mode;
            let node = Some(Node::File { mode, content });
            local.changes.insert(c.path.clone(), node);
            local.stats.insert(c.path.clone(), c.stat);
            local.numbers.insert(c.path.clone(), number);
        }
        local
    }

    fn put(
        &mut self,
        rows: &HashMap<RelPath, FileRow>,
        path: RelPath,
        node: Node<Content>,
        stat: Stat,
    ) {
        self.stats.insert(path.clone(), stat);
        if rows.get(&path).map(|r| &r.node) == Some(&node) {
            self.changes.remove(&path);
            self.touched.push((path, Some(FileRow { node, stat })));
        } else {
            self.changes.insert(path, Some(seen(node)));
        }
    }
}

impl Engine {
    pub(super) fn plan_collection(
        &self,
        round: &Round<'_>,
        collection: Collection,
        remote_root: ObjectId,
    ) -> Result<Planned, EngineError> {
        let root = collection.root.clone().unwrap_or_default();
        let answers = &round.options.answers;
        let limited = answers.is_to_questions(&collection.id);
        let holds = !limited || self.is_what_was_asked(answers, &collection, &root)?;
        let answer = answers.of(&collection.id).filter(|_| holds);
        let begun_anew = answer.is_some() && make_root(&root)?;
        self.put_modes_back(&collection, &root);
        self.progress.step("scanning", 0);
        let mut state = self.scan(&collection, &root, answer.is_some())?;
        if answer == Some(Answer::GiveBack) {
            self.forget_what_is_gone(&collection, &mut state)?;
        }
        let reports = std::mem::take(&mut state.reports);
        self.store
            .report(Producer::Scan, collection.pk, &reports, now_ms())?;
        let agreed = answer == Some(Answer::Delete);
        if let Some(alarm) = state.alarm().filter(|_| !agreed) {
            return Err(EngineError::guard(&collection, alarm));
        }
        let lost_here = state.lost();

        let mut local = Local::unread(&state);
        let mut objects = Objects::new(self, round.session, collection.id);
        if let Some(target) = &collection.applying {
            let written = self.written_since(&collection, target, &mut objects)?;
            self.read_those_of(round, &collection, &state, &mut local, &written)?;
            self.take_for_written(&collection, &written, &mut state, &mut local)?;
        }
        let mut remote =
            self.remote_changes(&collection, &remote_root, &local.changes, &mut objects)?;
        // Rows may be newer than the base's root (merged tails): what they say already is no change of others.
        remote.retain(|path, node| state.rows.get(path).map(|r| &r.node) != node.as_ref());
        self.read_those_of(round, &collection, &state, &mut local, &remote)?;
        let remote = all_seen(remote);
        let Plan {
            moves,
            apply,
            publish,
            conflicts,
        } = plan(&Inputs {
            base: &|p| state.rows.get(p).map(|r| seen(r.node.clone())),
            local: &local.changes,
            remote: &remote,
            aside: &|p, side, attempt| {
                let label = if side == Side::Local {
                    &self.config.label
                } else {
                    "vault"
                };
                aside_name(p, label, attempt)
            },
        });
        let moved: HashMap<&RelPath, &RelPath> =
            moves.iter().map(|(from, to)| (to, from)).collect();
        let source = |path: &RelPath| {
            let from = moved.get(path).copied().unwrap_or(path);
            local.numbers.get(from).copied()
        };
        let is_local = |number: usize, content: &Content| {
            let here = state.candidates.get(number).map(|c| &c.path);
            let here = here.and_then(|path| local.changes.get(path)?.as_ref());
            matches!(here, Some(Node::File { content: Seen::Read(c), .. }) if c == content)
        };
        let (publish, mut uploads) = uploads::split(publish, &source, &is_local);
        for (path, here) in &local.changes {
            if let Some(Node::File {
                content: Seen::Read(content),
                ..
            }) = here
                && let Some(number) = local.numbers.get(path)
                && !uploads.contains_key(path)
            {
                let heals = self.heals(&collection.id, *number, content)?;
                uploads.extend(heals.map(|u| (path.clone(), u)));
            }
        }
        let plan = Plan {
            // What was not read is where it is already: nothing of it is ever to be written here.
            apply: all_read(apply),
            moves,
            publish,
            conflicts,
        };
        if !agreed || limited {
            let open = self.check_deletions(round, &collection, &state, &plan.apply);
            open.or_else(|e| {
                if agreed && answers.covers(&e) {
                    Ok(())
                } else {
                    Err(e)
                }
            })?;
        }
        let mut unknown = objects.take_aside();
        self.name_authors(&collection, &mut unknown)?;
        Ok(Planned {
            collection,
            local: state,
            changes: all_read(local.changes),
            stats: local.stats,
            touched: local.touched,
            left: local.left,
            remote_root,
            remote: all_read(remote),
            plan,
            uploads,
            postponed: Vec::new(),
            not_taken: Vec::new(),
            unknown,
            // A folder that is gone after all in it was deleted and synced is agreed to as well.
            agreed: (agreed && (lost_here > 0 || begun_anew)).then_some(lost_here as u64),
        })
    }

    /// Reads the files that look different and are among `others`: what both sides changed is compared by content. What cannot be
    /// read counts for nothing that changed.
    fn read_those_of(
        &self,
        round: &Round<'_>,
        collection: &Collection,
        state: &LocalState,
        local: &mut Local,
        others: &Changes<Content>,
    ) -> Result<(), EngineError> {
        let is_unread = |path: &RelPath| {
            let here = local.changes.get(path).and_then(Option::as_ref);
            matches!(
                here,
                Some(Node::File {
                    content: Seen::Unread(_),
                    ..
                })
            )
        };
        let both = |c: &&Candidate| others.contains_key(&c.path) && is_unread(&c.path);
        let candidates: Vec<Candidate> = state.candidates.iter().filter(both).cloned().collect();
        let key = (collection.pk, collection.id);
        let reading = self.read_files(key, state.root.as_fd(), &candidates, round.chunker, None)?;
        for c in candidates {
            local.changes.remove(&c.path);
            local.stats.remove(&c.path);
        }
        local.left.extend(reading.left);
        for file in reading.files {
            let node = Node::File {
                mode: file.stat.mode,
                content: file.content,
            };
            local.put(&state.rows, file.path, node, file.stat);
        }
        Ok(())
    }

    /// What the vault has that the rows do not stand for.
    fn remote_changes(
        &self,
        collection: &Collection,
        remote_root: &ObjectId,
        local: &Changes<Seen>,
        objects: &mut Objects<'_>,
    ) -> Result<Changes<Content>, EngineError> {
        let mut out = Changes::new();
        let mut differs = treeops::diff(&collection.base_root, remote_root, objects)?;
        if objects.is_exhausted() {
            // Nothing of it is taken. What changed here is given, and the vault is asked for what it has there.
            objects.begin_anew();
            let paths = local.keys().map(RelPath::as_bytes);
            differs = treeops::lookup(remote_root, paths, objects)?;
            objects.set_aside(&[], EngineError::TooMuch)?;
        }
        for (path, leaf) in differs {
            out.insert(path_of(&path)?, leaf.as_ref().map(node_of));
        }
        let pending = self.store.pending(collection.pk)?;
        let paths = pending.iter().map(RelPath::as_bytes);
        for (path, leaf) in treeops::lookup(remote_root, paths, objects)? {
            out.insert(path_of(&path)?, leaf.as_ref().map(node_of));
        }
        Ok(out)
    }

    /// The owner wants back what is gone here: then no row stands for it, and the vault has it.
    fn forget_what_is_gone(
        &self,
        collection: &Collection,
        state: &mut LocalState,
    ) -> Result<(), EngineError> {
        let gone = std::mem::take(&mut state.gone);
        let rows: Vec<RowChange> = gone.iter().map(|p| (p.clone(), None)).collect();
        let mut pending: BTreeSet<RelPath> =
            self.store.pending(collection.pk)?.into_iter().collect();
        for path in gone {
            state.rows.remove(&path);
            pending.insert(path);
        }
        let pending: Vec<RelPath> = pending.into_iter().collect();
        self.store
            .synced(collection.pk, &collection.base_root, &rows, &pending)?;
        Ok(())
    }

    /// Directories that were made writable for the moment, and stayed so.
    pub(super) fn put_modes_back(&self, collection: &Collection, root: &Path) {
        let Ok(opened) = self.store.opened_dirs(collection.pk) else {
            return;
        };
        if opened.is_empty() {
            return;
        }
        let Ok(fd) = open_root(root) else { return };
        let mut all = true;
        for (path, mode) in opened.iter().rev() {
            if let Err(error) = lock_dir(fd.as_fd(), path.as_ref(), *mode) {
                tracing::warn!(%error, "permissions of a folder were not put back");
                all = false;
            }
        }
        if all && let Err(error) = self.store.clear_opened_dirs(collection.pk) {
            tracing::warn!(%error, "folders that were made writable for the moment");
        }
    }
}

/// The owner answered for a collection whose folder is missing: it begins anew, empty. Whether it was missing.
fn make_root(root: &Path) -> Result<bool, EngineError> {
    match std::fs::create_dir(root) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(EngineError::io(root)(e)),
    }
}
