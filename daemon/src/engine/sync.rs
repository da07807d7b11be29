//! One sync: take what others wrote, give what was written here, in one commit.

use std::collections::HashMap;

use simsync_protocol::problem::Code;
use simsync_sync::dir::Applier;
use simsync_sync::guard;
use simsync_sync::node::{Changes, Node, RelPath};
use simsync_sync::plan::{Inputs, Side, plan};
use simsync_vault::chunker::Chunker;
use simsync_vault::commit::Commit;
use simsync_vault::ids::ObjectId;
use simsync_vault::metadata::Metadata;
use simsync_vault::tail::Tail;
use simsync_vault::treeops;

use super::apply::{Applied, OnDisk};
use super::content::{Content, Held};
use super::leaves::{node_of, path_of};
use super::merge::aside_name;
use super::objects::Objects;
use super::planned::{Planned, ReviewEntry, published_rows, remote_rows, review_entries};
use super::publish::Draft;
use super::upload::Uploader;
use super::{Engine, EngineError, Session, now_ms};
use crate::store::{Collection, FileRow};

/// What a sync may do.
#[derive(Debug, Clone, Default)]
pub struct SyncOptions {
    /// This is the session's last commit.
    pub closing: bool,
    /// The owner agreed to mass deletions.
    pub allow_deletions: bool,
    /// Give only, take nothing.
    pub upload_only: bool,
    /// Tails that came with the session's answer; else they are asked for.
    pub tails: Option<Vec<Tail>>,
    /// Key object that this commit is the first to name.
    pub key_object: Option<(
        simsync_vault::keyobject::KeyObject,
        Vec<simsync_vault::keyobject::Wrap>,
    )>,
    /// Show what would be taken, and ask.
    pub review: bool,
}

/// Asks the owner what to take (M3). Answers whether to go on.
pub type Review<'a> = &'a dyn Fn(&[ReviewEntry]) -> bool;

/// What a sync did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Paths changed on this terminal.
    pub applied: usize,
    /// Bytes written on this terminal.
    pub bytes_applied: u64,
    /// Paths changed in the vault.
    pub published: usize,
    /// Versions kept aside.
    pub conflicts: usize,
    /// Tails merged.
    pub tails: usize,
    /// Sequence number of the commit that was made, if any.
    pub commit: Option<u64>,
    /// What could not be looked at or applied, for people.
    pub problems: Vec<String>,
}

/// Tries to commit before giving up to those who are faster.
const ATTEMPTS: usize = 8;

impl Engine {
    /// Syncs all registered collections.
    pub fn sync(
        &self,
        session: &Session,
        mut options: SyncOptions,
        review: Option<Review<'_>>,
    ) -> Result<SyncReport, EngineError> {
        let mut report = SyncReport::default();
        for _ in 0..ATTEMPTS {
            let tails = match options.tails.take() {
                Some(tails) => tails,
                None => self.pull_commits(session)?,
            };
            self.fetch_wanted(session)?;
            self.rebase_on_merged_tails(session)?;
            let head = self.store.newest_commit()?;
            let metadata = self.read_metadata(head.as_ref())?;
            let chunker = self
                .keys
                .with(|k| Chunker::new(k.chunker_key(), metadata.chunker))?;
            let uploader = Uploader::new(self, session);
            let merged = self.merge_tails(session, &tails, head.as_ref(), &chunker, &uploader)?;

            let mut planned = Vec::new();
            for c in self.store.collections()? {
                if c.root.is_some() {
                    let root = merged.roots.get(&c.id).copied();
                    let root = root.or_else(|| head.as_ref().and_then(|h| h.root(&c.id)));
                    planned.push(self.plan_collection(
                        session,
                        c,
                        root.unwrap_or(ObjectId::ZERO),
                        &chunker,
                        &uploader,
                        &options,
                    )?);
                }
            }
            if let Some(review) = review {
                let entries = review_entries(&planned);
                if !entries.is_empty() && !review(&entries) {
                    return Err(EngineError::Declined);
                }
            }
            let mut draft = Draft::new(head.as_ref(), metadata, merged, &options);
            for p in &mut planned {
                if options.upload_only {
                    p.postpone_taking();
                }
                self.take_and_give(session, p, &uploader, &mut draft, &mut report)?;
            }
            if !draft.is_needed() {
                uploader.finish()?;
                self.clear_pack_files();
                return Ok(report);
            }
            uploader.finish()?;
            match self.commit(session, &mut draft, options.key_object.as_ref()) {
                Ok(commit) => {
                    self.committed(&commit, &draft, &mut report)?;
                    self.clear_pack_files();
                    return Ok(report);
                }
                Err(e) => self.prepare_retry(e, &draft)?,
            }
        }
        Err(EngineError::Busy)
    }

    /// Decides whether another try can help, and clears what was wrong.
    fn prepare_retry(&self, error: EngineError, draft: &Draft) -> Result<(), EngineError> {
        match error.code() {
            Some(Code::HeadMoved | Code::TailMerged) => Ok(()),
            // The packs are gone from the server: what they held is read and sent again.
            Some(Code::PackDropped | Code::PackMissing) => {
                self.store.forget_packs(&draft.pack_ids())?;
                self.store.clear_uploaded()?;
                Ok(())
            }
            _ => Err(error),
        }
    }

    pub(super) fn read_metadata(&self, head: Option<&Commit>) -> Result<Metadata, EngineError> {
        let Some(head) = head else {
            return Ok(Metadata::new());
        };
        let metadata = self
            .keys
            .with(|k| Metadata::open(k, &head.body.metadata))??;
        for c in &metadata.collections {
            self.store.put_collection(&c.id, &c.attribute, &c.name)?;
        }
        Ok(metadata)
    }

    fn plan_collection(
        &self,
        session: &Session,
        collection: Collection,
        remote_root: ObjectId,
        chunker: &Chunker,
        uploader: &Uploader<'_>,
        options: &SyncOptions,
    ) -> Result<Planned, EngineError> {
        let root = collection.root.clone().unwrap_or_default();
        self.progress.step("scanning", 0);
        let local = self.scan(&collection, &root)?;
        let allowed = options.allow_deletions;
        if let Some(alarm) = local.alarm().filter(|_| !allowed) {
            return Err(EngineError::Guard {
                collection: collection.name,
                alarm,
                remote: false,
            });
        }
        let key = (collection.pk, collection.id);
        let root_fd = std::os::fd::AsFd::as_fd(&local.root);
        let read = self.read_files(key, root_fd, &local.candidates, chunker, Some(uploader))?;

        let mut changes = Changes::new();
        let mut stats = HashMap::new();
        let mut touched = Vec::new();
        for path in &local.gone {
            changes.insert(path.clone(), None);
        }
        for (path, node, stat) in &local.nodes {
            stats.insert(path.clone(), *stat);
            if local.rows.get(path).map(|r| &r.node) == Some(node) {
                touched.push((
                    path.clone(),
                    Some(FileRow {
                        node: node.clone(),
                        stat: *stat,
                    }),
                ));
            } else {
                changes.insert(path.clone(), Some(node.clone()));
            }
        }
        for file in read {
            let node = Node::File {
                mode: file.stat.mode,
                content: file.content,
            };
            stats.insert(file.path.clone(), file.stat);
            if local.rows.get(&file.path).map(|r| &r.node) == Some(&node) {
                touched.push((
                    file.path,
                    Some(FileRow {
                        node,
                        stat: file.stat,
                    }),
                ));
            } else {
                changes.insert(file.path, Some(node));
            }
        }
        let mut objects = Objects::new(self, session);
        let mut remote = self.remote_changes(&collection, &remote_root, &mut objects)?;
        // Rows may be newer than the base's root (merged tails): what they say already is no change of others.
        remote.retain(|path, node| local.rows.get(path).map(|r| &r.node) != node.as_ref());
        let plan = plan(&Inputs {
            base: &|p| local.rows.get(p).map(|r| r.node.clone()),
            local: &changes,
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
        let gone = plan.apply.iter().filter(|(_, node)| node.is_none());
        let lost = guard::lost(
            gone.filter_map(|(path, _)| local.rows.get(path).map(|r| Held::from(&r.node))),
            plan.apply.values().flatten().map(Held::from),
        );
        let left = local.rows.len().saturating_sub(lost);
        if let Some(alarm) = guard::check(local.rows.len(), left, lost).filter(|_| !allowed) {
            return Err(EngineError::Guard {
                collection: collection.name,
                alarm,
                remote: true,
            });
        }
        Ok(Planned {
            collection,
            local,
            changes,
            stats,
            touched,
            remote_root,
            remote,
            plan,
            postponed: Vec::new(),
        })
    }

    /// What the vault has that the rows do not stand for.
    fn remote_changes(
        &self,
        collection: &Collection,
        remote_root: &ObjectId,
        objects: &mut Objects<'_>,
    ) -> Result<Changes<Content>, EngineError> {
        let mut out = Changes::new();
        for (path, leaf) in treeops::diff(&collection.base_root, remote_root, objects)? {
            out.insert(path_of(&path)?, leaf.as_ref().map(node_of));
        }
        for path in self.store.pending(collection.pk)? {
            let leaf = treeops::lookup(remote_root, path.as_bytes(), objects)?;
            out.insert(path, leaf.as_ref().map(node_of));
        }
        Ok(out)
    }

    /// Applies what others wrote, writes down what is synced, and puts what was written here into the draft.
    fn take_and_give(
        &self,
        session: &Session,
        p: &mut Planned,
        uploader: &Uploader<'_>,
        draft: &mut Draft,
        report: &mut SyncReport,
    ) -> Result<(), EngineError> {
        let mut objects = Objects::new(self, session);
        let disk = OnDisk {
            rows: &p.local.rows,
            changes: &p.changes,
            stats: &p.stats,
        };
        let root = p.local.root.try_clone().map_err(|source| EngineError::Io {
            path: p.collection.name.clone(),
            source,
        })?;
        let mut applied = if p.plan.moves.is_empty() && p.plan.apply.is_empty() {
            Applied::default()
        } else {
            self.apply(Applier::new(root)?, &mut p.plan, &disk, &mut objects)?
        };
        for c in &p.plan.conflicts {
            let side = i64::from(c.side == Side::Remote);
            self.store
                .add_conflict(p.collection.pk, &c.path, &c.aside, side, now_ms())?;
        }
        report.conflicts += p.plan.conflicts.len();
        report.applied += applied.count;
        report.bytes_applied += applied.bytes;
        for s in &p.local.skipped {
            let path = s
                .path
                .as_ref()
                .map_or_else(|| ".".to_owned(), ToString::to_string);
            report
                .problems
                .push(format!("{}: {path}: {}", p.collection.name, s.why));
        }
        for path in &applied.failed {
            report.problems.push(format!(
                "{}: {path}: not written yet, tried again later",
                p.collection.name
            ));
        }

        applied.failed.extend(p.postponed.iter().cloned());
        let mut rows = std::mem::take(&mut p.touched);
        rows.extend(remote_rows(p, &disk, &applied));
        let pending: Vec<RelPath> = applied.failed.iter().cloned().collect();
        let base = if p.remote_root == ObjectId::ZERO {
            p.collection.base_root
        } else {
            p.remote_root
        };
        // A root that no commit holds yet must not become the base: the commit may never come.
        let committed = draft.head_root(&p.collection.id).unwrap_or(ObjectId::ZERO);
        let base_now = if committed == p.remote_root {
            base
        } else {
            p.collection.base_root
        };
        let rows_now = if committed == p.remote_root {
            std::mem::take(&mut rows)
        } else {
            Vec::new()
        };
        if base_now != p.collection.base_root || !rows_now.is_empty() || !pending.is_empty() {
            self.store
                .synced(p.collection.pk, &base_now, &rows_now, &pending)?;
        }
        let new_root = self.update_tree(
            (p.collection.id, uploader),
            &p.remote_root,
            &p.plan.publish,
            &mut objects,
        )?;
        rows.extend(published_rows(p, &disk, &applied));
        draft.set(&p.collection, new_root, rows, pending, p.plan.publish.len());
        Ok(())
    }

    /// After the server took the commit: this terminal's rows and packs say so.
    fn committed(
        &self,
        commit: &Commit,
        draft: &Draft,
        report: &mut SyncReport,
    ) -> Result<(), EngineError> {
        self.keep_commit(commit)?;
        self.store
            .set_pack_state(&draft.pack_ids(), crate::store::PackState::Indexed)?;
        for c in &draft.collections {
            self.store.synced(c.pk, &c.root, &c.rows, &c.pending)?;
            report.published += c.published;
        }
        self.store.clear_uploaded()?;
        let session = &commit.body.session;
        if commit.body.closing {
            self.store.close_sessions(&session.card, session.n)?;
        } else if session.n > 1 {
            // Everything of earlier sessions is in this commit; their tails are named in it.
            self.store.close_sessions(&session.card, session.n - 1)?;
        }
        report.tails += commit.body.tails_merged.len();
        report.commit = Some(commit.body.sequence);
        Ok(())
    }
}
