//! A plan is carried out: what others wrote is applied, what was written here goes into the draft of the commit.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use simsync_card::ids::TerminalId;
use simsync_sync::adapter::Writes;
use simsync_sync::dir::{Applier, ApplyError, dir_bits, lock_dir, unlock_dir};
use simsync_sync::node::RelPath;
use simsync_vault::ids::ObjectId;

use super::EngineError;
use super::apply::{Applied, PlanApplier};
use super::authors::name_authors;
use super::cancel::Cancel;
use super::clock::now_ms;
use super::publish::Draft;
use crate::engine::apply::whole_items;
use crate::engine::disk::local::LocalState;
use crate::engine::disk::on_disk::OnDisk;
use crate::engine::disk::places::Places;
use crate::engine::plan::conflicts::{note_conflict_from_afar, note_conflicts};
use crate::engine::plan::options::SyncReport;
use crate::engine::plan::planned::{Planned, published_rows, remote_rows};
use crate::engine::plan::round::Round;
use crate::engine::vault::objects::Vault;
use crate::outstanding::{Producer, Report};
use crate::store::{Collection, SentCollection, Store};

/// Takes what others wrote, and gives what was written here.
#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) store: Arc<Store>,
    pub(super) places: Places,
    pub(super) vault: Vault,
    pub(super) applying: PlanApplier,
    pub(super) cancel: Cancel,
    pub(super) own: TerminalId,
}

impl Exchange {
    /// Applies what others wrote, writes down what is synced, and puts what was written here into the draft.
    pub(super) fn exchange(
        &self,
        round: &Round<'_>,
        p: &mut Planned,
        draft: &mut Draft,
        report: &mut SyncReport,
    ) -> Result<(), EngineError> {
        let pk = p.collection.pk;
        let mut objects = self.vault.objects(round.session, p.collection.id);
        let disk = OnDisk {
            rows: &p.local.rows,
            changes: &p.changes,
            stats: &p.stats,
        };
        let mut applied = if p.plan.moves.is_empty() && p.plan.apply.is_empty() {
            Applied::default()
        } else {
            let writes = p.local.place.writes();
            let applier = match &writes {
                Writes::Folder(root) => Some(self.applier(&p.collection, &p.local, *root)?),
                Writes::Items(_) => None,
            };
            let moved = p.plan.moves.iter().flat_map(|(from, to)| [from, to]);
            let written = p.plan.apply.keys().chain(moved);
            self.places.change(&p.collection, written);
            // Whatever of it is found on disk after a crash was written by us.
            self.store.set_applying(pk, Some(&p.remote_root))?;
            let (plan, objects) = (&mut p.plan, &mut objects);
            match (writes, applier) {
                (Writes::Items(items), _) => {
                    whole_items::apply(items, plan, &disk, objects, &self.cancel)?
                }
                (Writes::Folder(_), Some(applier)) => {
                    self.applying.apply(pk, applier, plan, &disk, objects)?
                }
                (Writes::Folder(_), None) => Applied::default(),
            }
        };
        note_conflicts(&self.store, pk, &p.plan.conflicts)?;
        let new = |(path, node): (_, &Option<_>)| {
            (node.is_some() && disk.node(path).is_none()).then_some(path)
        };
        let came = p.remote.iter().filter_map(new);
        let is_there = |path: &RelPath| disk.node(path).is_some() || p.remote.contains_key(path);
        note_conflict_from_afar(&self.store, pk, came, &is_there)?;
        report.conflicts += p.plan.conflicts.len();
        report.applied += applied.count;
        report.bytes_applied += applied.bytes;
        objects.write_opened()?;
        let failed = applied.failed.values().chain(&p.not_taken);
        let mut failed: Vec<Report> = failed.cloned().collect();
        name_authors(&self.store, &self.own, &p.collection, &mut failed)?;
        self.store.report(Producer::Apply, pk, &failed, now_ms())?;

        let (new_root, left_out) = {
            let root = round.uploader.update_tree(
                p.collection.id,
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
        p.local.rows.check()?;
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
            self.places
                .write_rows(&p.collection, &base_now, &rows_now, &pending)?;
        }
        if is_committed {
            self.store.set_applying(pk, None)?;
        }
        rows.extend(published_rows(p, &disk, &applied));
        p.local.rows.check()?;
        if let Some(count) = p.agreed {
            draft.agree(&p.collection.id, count);
        }
        draft.published += p.plan.publish.len();
        draft.set(
            &p.collection,
            new_root,
            SentCollection {
                pk,
                base: if whole { new_root } else { old_base },
                rows,
                pending,
            },
        );
        Ok(())
    }

    /// Opens the root for writing; where it lacks the permission, for the moment.
    fn applier(
        &self,
        collection: &Collection,
        local: &LocalState,
        root: BorrowedFd<'_>,
    ) -> Result<Applier, EngineError> {
        let clone = || {
            root.try_clone_to_owned().map_err(|source| EngineError::Io {
                path: collection.name.clone(),
                source,
            })
        };
        let mounts = || local.mounts.iter().map(|m| m.path.clone()).collect();
        match Applier::new(clone()?, mounts()) {
            Err(error) if error.is_denied() => {
                let bits = dir_bits(root, None)?;
                let Some(mode) = bits.filter(|mode| mode & 0o700 != 0o700) else {
                    return Err(error.into());
                };
                self.store.add_opened_dir(collection.pk, None, mode)?;
                unlock_dir(root, None)?;
                let applier = Applier::new(clone()?, mounts());
                let closed: Result<(), ApplyError> = lock_dir(root, None, mode);
                self.store.clear_opened_dirs(collection.pk)?;
                closed?;
                Ok(applier?)
            }
            other => Ok(other?),
        }
    }
}
