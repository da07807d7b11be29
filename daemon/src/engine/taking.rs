//! A plan is carried out: what others wrote is applied, what was written here goes into the draft of the commit.

use std::collections::HashSet;
use std::os::fd::AsFd;

use simsync_sync::dir::{Applier, ApplyError, dir_bits, lock_dir, unlock_dir};
use simsync_sync::node::RelPath;
use simsync_vault::ids::ObjectId;

use super::apply::Applied;
use super::objects::Objects;
use super::on_disk::OnDisk;
use super::options::SyncReport;
use super::planned::{Planned, published_rows, remote_rows};
use super::planning::Round;
use super::publish::{Draft, DraftCollection};
use super::{Engine, EngineError, now_ms};
use crate::outstanding::{Producer, Report};

impl Engine {
    /// Applies what others wrote, writes down what is synced, and puts what was written here into the draft.
    pub(super) fn take_and_give(
        &self,
        round: &Round<'_>,
        p: &mut Planned,
        draft: &mut Draft,
        report: &mut SyncReport,
    ) -> Result<(), EngineError> {
        let pk = p.collection.pk;
        let mut objects = Objects::new(self, round.session, p.collection.id);
        let disk = OnDisk {
            rows: &p.local.rows,
            changes: &p.changes,
            stats: &p.stats,
        };
        let mut applied = if p.plan.moves.is_empty() && p.plan.apply.is_empty() {
            Applied::default()
        } else {
            let applier = self.applier(p)?;
            // Whatever of it is found on disk after a crash was written by us.
            self.store.set_applying(pk, Some(&p.remote_root))?;
            self.apply(pk, applier, &mut p.plan, &disk, &mut objects)?
        };
        self.note_conflicts(pk, &p.plan.conflicts)?;
        let new = |(path, node): (_, &Option<_>)| {
            (node.is_some() && disk.node(path).is_none()).then_some(path)
        };
        let came = p.remote.iter().filter_map(new);
        let is_there = |path: &RelPath| disk.node(path).is_some() || p.remote.contains_key(path);
        self.note_conflict_from_afar(pk, came, &is_there)?;
        report.conflicts += p.plan.conflicts.len();
        report.applied += applied.count;
        report.bytes_applied += applied.bytes;
        objects.write_opened()?;
        let failed = applied.failed.values().chain(&p.not_taken);
        let mut failed: Vec<Report> = failed.cloned().collect();
        self.name_authors(&p.collection, &mut failed)?;
        self.store.report(Producer::Apply, pk, &failed, now_ms())?;

        let (new_root, left_out) = {
            let root = self.update_tree(
                (p.collection.id, round.uploader),
                &p.remote_root,
                &p.plan.publish,
                &mut objects,
            )?;
            (root, objects.take_aside())
        };
        let is_out = |path: &RelPath, out: &[Report]| {
            out.iter().any(|r| {
                r.path.is_empty()
                    || r.path == path.as_bytes()
                    || (path.as_bytes().starts_with(&r.path)
                        && path.as_bytes().get(r.path.len()) == Some(&b'/'))
            })
        };
        p.plan.publish.retain(|path, _| !is_out(path, &left_out));
        // Of two reports of one path the first is kept: that of the vault says whose it is.
        let left_out: Vec<Report> = p.unknown.iter().cloned().chain(left_out).collect();
        self.store
            .report(Producer::Publish, pk, &left_out, now_ms())?;

        let mut pending: HashSet<RelPath> = applied.failed.keys().cloned().collect();
        pending.extend(p.postponed.iter().cloned());
        // Nobody knows what the vault has there now: what was to be asked for is asked for again.
        let asked = self.store.pending(pk)?.into_iter();
        pending.extend(asked.filter(|path| is_out(path, &p.unknown)));
        for path in &pending {
            let why = || Report::path(crate::outstanding::Unsynced::ChangedMeanwhile, path, "");
            applied.failed.entry(path.clone()).or_insert_with(why);
        }
        let pending: Vec<RelPath> = pending.into_iter().collect();

        let disk = OnDisk {
            rows: &p.local.rows,
            changes: &p.changes,
            stats: &p.stats,
        };
        let mut rows = std::mem::take(&mut p.touched);
        rows.extend(remote_rows(p, &disk, &applied));
        // A root that no commit holds yet must not become the base: the commit may never come. Nor may one of which a part
        // is unknown: the difference to it would never be seen again.
        let committed = draft.head_root(&p.collection.id).unwrap_or(ObjectId::ZERO);
        let old_base = p.collection.base_root;
        let is_committed = committed == p.remote_root;
        let whole = p.unknown.is_empty();
        let base_now = if is_committed && whole && p.remote_root != ObjectId::ZERO {
            p.remote_root
        } else {
            old_base
        };
        let rows_now = if is_committed {
            std::mem::take(&mut rows)
        } else {
            Vec::new()
        };
        if base_now != old_base || !rows_now.is_empty() || !pending.is_empty() {
            self.store.synced(pk, &base_now, &rows_now, &pending)?;
        }
        if is_committed {
            self.store.set_applying(pk, None)?;
        }
        rows.extend(published_rows(p, &disk, &applied));
        if let Some(count) = p.agreed {
            draft.agree(&p.collection.id, count);
        }
        draft.set(
            &p.collection,
            new_root,
            DraftCollection {
                pk,
                base: if whole { new_root } else { old_base },
                rows,
                pending,
                published: p.plan.publish.len(),
            },
        );
        Ok(())
    }

    /// Opens the root for writing; where it lacks the permission, for the moment.
    fn applier(&self, p: &Planned) -> Result<Applier, EngineError> {
        let clone = || {
            p.local.root.try_clone().map_err(|source| EngineError::Io {
                path: p.collection.name.clone(),
                source,
            })
        };
        let mounts = || p.local.mounts.iter().map(|m| m.path.clone()).collect();
        let root = p.local.root.as_fd();
        match Applier::new(clone()?, mounts()) {
            Err(error) if error.is_denied() => {
                let bits = dir_bits(root, None)?;
                let Some(mode) = bits.filter(|mode| mode & 0o700 != 0o700) else {
                    return Err(error.into());
                };
                self.store.add_opened_dir(p.collection.pk, None, mode)?;
                unlock_dir(root, None)?;
                let applier = Applier::new(clone()?, mounts());
                let closed: Result<(), ApplyError> = lock_dir(root, None, mode);
                self.store.clear_opened_dirs(p.collection.pk)?;
                closed?;
                Ok(applier?)
            }
            other => Ok(other?),
        }
    }
}
