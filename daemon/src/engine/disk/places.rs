//! Where collections are on this terminal: looked at, and their rows written, in step with what watchers vouch for.

use std::collections::{BTreeSet, HashSet};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use simsync_sync::adapter::{Adapter, Place};
use simsync_sync::dir::{Scan, ScanError, lock_dir, open_root};
use simsync_sync::guard::Alarm;
use simsync_sync::node::RelPath;
use simsync_vault::ids::ObjectId;

use super::local::LocalState;
use super::rows::Rows;
use super::scan::{Comparison, compare, path_of_skipped, report_of, with_unheard};
use super::unseen::{Hidden, remembered, unseen_parts};
use crate::engine::EngineError;
use crate::engine::adapters::Adapters;
use crate::engine::cancel::Cancel;
use crate::outstanding::Report;
use crate::store::{Collection, CollectionPk, Folder, RowChange, Store};
use crate::vouch::Vouches;

/// The places of all collections that are synced here.
#[derive(Clone)]
pub struct Places {
    store: Arc<Store>,
    adapters: Adapters,
    vouches: Vouches,
    cancel: Cancel,
}

impl Places {
    /// As the store, the adapters and the watchers know them; a look at them ends when this stops it.
    pub fn new(store: Arc<Store>, adapters: Adapters, vouches: Vouches, cancel: Cancel) -> Self {
        Self {
            store,
            adapters,
            vouches,
            cancel,
        }
    }

    /// How collections of an attribute are kept.
    pub fn adapter(&self, attribute: &str) -> &dyn Adapter {
        self.adapters.of(attribute)
    }

    /// Before a collection's entries are written: what is at these paths is to be looked at again.
    pub fn change<'p>(&self, collection: &Collection, paths: impl Iterator<Item = &'p RelPath>) {
        if let Some(root) = &collection.root {
            self.vouches.changed(root, paths);
        }
    }

    /// Looks at a collection: at all of it, or, where a watcher vouches for the rest, at what changed. Reads no file. With
    /// `trust`, what is missing is gone, whatever was mounted or which folder the root was: the owner said so.
    pub fn scan(
        &self,
        collection: &Collection,
        root: &Path,
        trust: bool,
    ) -> Result<LocalState, EngineError> {
        let adapter = self.adapters.of(&collection.attribute);
        let place = match adapter.open(root) {
            Ok(place) => place,
            Err(ScanError::RootMissing(_)) => {
                return Err(EngineError::guard(collection, Alarm::RootMissing));
            }
            Err(ScanError::NotFolder(_)) => {
                return Err(EngineError::guard(collection, Alarm::NotFolder));
            }
            Err(e) => return Err(e.into()),
        };
        let identity = place.identity().map_err(std::io::Error::from);
        let (fs, ino) = identity.map_err(EngineError::io(root))?;
        let folder = Folder { fs, ino };
        let known = self.store.mounts(collection.pk)?;
        let mut scope = self.vouches.begin_scan(root, (fs, ino));
        let is_other = collection.folder != Some(folder);
        if trust || is_other || !known.is_empty() || place.few().is_none() {
            scope.widen();
        }
        let mut few = scope.paths().map(|paths| with_unheard(paths, root));
        let mut found = self.compare(collection, &*place, few.as_ref())?;
        if few.is_some() && found.0.linked.iter().any(|p| scope.is_new_link(p)) {
            scope.widen();
            few = None;
            found = self.compare(collection, &*place, None)?;
        }
        let Comparison {
            rows,
            mut seen,
            mut nodes,
            mut candidates,
            mut failed,
            linked,
            ..
        } = found.0;
        let mut scan = found.1;
        scan.skipped.append(&mut failed);

        let was = collection.folder.filter(|_| !trust);
        let known = if trust { Vec::new() } else { known };
        let parts = unseen_parts(
            was.filter(|f| *f != folder).is_some(),
            &known,
            &scan.mounts,
            &|path| seen.contains_key(path),
            &mut rows.keys(),
        );
        let mut hidden = Hidden::of(&scan.skipped);
        let mut reports: Vec<Report> = scan.skipped.iter().map(report_of).collect();
        for part in &parts {
            hidden.add(part);
            reports.push(part.report());
        }
        // What lies in a folder while its disk is not mounted there is not the disk's.
        nodes.retain(|(path, ..)| !hidden.takes_nothing(path));
        candidates.retain(|c| !hidden.takes_nothing(&c.path));
        // What is left of the rows was not met: gone, unless it could not be looked at.
        let (mut gone, mut not_met) = (Vec::new(), HashSet::new());
        for (path, row) in rows {
            if hidden.covers(&path) {
                not_met.insert(path.clone());
            } else {
                gone.push(path.clone());
            }
            seen.insert(path, row);
        }
        if !parts.iter().any(|p| p.is_root()) && is_other {
            self.store.set_folder(collection.pk, Some(folder))?;
        }
        let remembered = remembered(&known, &scan.mounts, &parts);
        if remembered != known || trust {
            self.store.set_mounts(collection.pk, &remembered)?;
        }
        let (rows, entries) = if few.is_some() {
            let at_hand = seen.len();
            let rows = Rows::of_store(seen, self.store.clone(), collection.pk)?;
            let others = rows.len().saturating_sub(at_hand);
            (rows, others + scan.entries)
        } else {
            (Rows::from(seen), scan.entries)
        };
        // Each of these is looked at again the next time, whether or not somebody tells of it.
        let skipped: Option<Vec<RelPath>> = scan.skipped.iter().map(path_of_skipped).collect();
        let proves = place.few().is_some() && scan.mounts.is_empty() && parts.is_empty();
        let different = gone.iter().chain(&not_met);
        let different = different.chain(nodes.iter().map(|(path, ..)| path));
        let different = different.chain(candidates.iter().map(|c| &c.path));
        let again = different.chain(skipped.iter().flatten()).cloned();
        scope.end(again, linked, proves && skipped.is_some());
        Ok(LocalState {
            place,
            rows,
            gone,
            nodes,
            candidates,
            hidden,
            reports,
            entries,
            mounts: scan.mounts,
            same_folder: !is_other,
            not_met,
            is_whole: few.is_none(),
        })
    }

    fn compare<'p>(
        &self,
        collection: &Collection,
        place: &'p dyn Place,
        few: Option<&BTreeSet<RelPath>>,
    ) -> Result<(Comparison<'p>, Scan), EngineError> {
        compare((&self.store, collection.pk), place, few, &self.cancel)
    }

    /// Directories that were made writable for the moment, and stayed so.
    pub fn put_modes_back(&self, collection: &Collection, root: &Path) {
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

    /// Writes rows, the root that they stand for, and the paths that could not be applied yet.
    pub fn write_rows(
        &self,
        collection: &Collection,
        base_root: &ObjectId,
        rows: &[RowChange],
        pending: &[RelPath],
    ) -> Result<(), EngineError> {
        self.change(collection, rows.iter().map(|(path, _)| path));
        Ok(self.store.synced(collection.pk, base_root, rows, pending)?)
    }

    /// Before rows are written: what is on disk there may not be as they say.
    pub fn rows_change(&self, paths: &[(CollectionPk, RelPath)]) -> Result<(), EngineError> {
        if paths.is_empty() {
            return Ok(());
        }
        for c in self.store.collections()? {
            let of = paths.iter().filter(|(pk, _)| *pk == c.pk);
            self.change(&c, of.map(|(_, path)| path));
        }
        Ok(())
    }
}
