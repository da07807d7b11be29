//! What comes: files, in batches. New folders first, each as a whole; then other files, the smallest first, as far as there is
//! room.

use std::collections::HashMap;

use simsync_sync::dir::{Applier, ApplyError, NewFolder, Staged, Stat};
use simsync_sync::node::{Changes, RelPath};
use simsync_vault::ids::ObjectId;

use super::fresh::{BATCH_BYTES, BATCH_FILES, Fresh};
use super::staging::{Outcome, Staging, Target, ToStage, Written};
use super::{Wanted, Work, files_of, has_content};
use crate::engine::EngineError;
use crate::engine::content::Content;
use crate::outstanding::Unsynced;

/// What a file takes on disk is counted in blocks of this many bytes.
const BLOCK: u64 = 4096;

/// A file, and the new folder that it comes with.
type Lot<'a> = (Option<usize>, Wanted<'a>);

/// A new folder that was built in a batch.
struct Built {
    unit: usize,
    aside: NewFolder,
    files: Vec<(RelPath, Stat)>,
}

impl Work<'_, '_> {
    pub(super) fn files(
        &mut self,
        apply: &Changes<Content>,
        fresh: &Fresh<'_>,
    ) -> Result<(), EngineError> {
        let mut files: Vec<Lot<'_>> = files_of(apply)
            .filter(|w| {
                !self.out.failed.contains_key(w.path) && !self.out.stats.contains_key(w.path)
            })
            .map(|w| (fresh.of_file(w.path), w))
            .collect();
        // Where not everything has room, most of it may.
        files.sort_by_key(|(unit, w)| (unit.is_none(), *unit, unit.map_or(w.content.size, |_| 0)));
        let mut rest = files.as_slice();
        while !rest.is_empty() {
            let n = batch_of(rest);
            self.batch(&rest[..n], fresh)?;
            rest = &rest[n..];
        }
        Ok(())
    }

    /// Whether all of it fits on its disks.
    pub(super) fn has_room(&mut self, apply: &Changes<Content>) -> bool {
        let mut room = HashMap::new();
        for wanted in files_of(apply) {
            let is_there = has_content(self.here(wanted.path), wanted.content);
            if !is_there && !matches!(self.take_room(&wanted, &mut room), Ok(true)) {
                return false;
            }
        }
        true
    }

    fn batch(&mut self, files: &[Lot<'_>], fresh: &Fresh<'_>) -> Result<(), EngineError> {
        let mut room: HashMap<usize, u64> = HashMap::new();
        let mut asides: Vec<Option<NewFolder>> = Vec::new();
        let mut units: Vec<usize> = Vec::new();
        let mut to_stage = Vec::with_capacity(files.len());
        for (unit, wanted) in files {
            self.room.cancel.check()?;
            if let Some(unit) = unit
                && units.last() != Some(unit)
            {
                units.push(*unit);
                asides.push(self.build(fresh, *unit));
            }
            let path = wanted.path;
            if has_content(self.here(path), wanted.content) {
                let _step = simsync_failpoint::step("daemon.apply.mode");
                match self.attempt(path, |applier| applier.chmod(path, wanted.mode)) {
                    Ok(stat) => {
                        self.out.stats.insert(path.clone(), stat);
                    }
                    Err(error) => self.note(path, &error),
                }
                continue;
            }
            let target = match (unit, asides.last()) {
                (Some(_), Some(Some(_))) => {
                    Ok(Target::NewFolder(asides.len() - 1, folder_of(path)))
                }
                _ => self.applier.file_system(path).map(Target::Work),
            };
            match target.and_then(|t| Ok((t, self.take_room(wanted, &mut room)?))) {
                Ok((target, true)) => to_stage.push(ToStage { wanted, target }),
                Ok((_, false)) => self.fail(path, Unsynced::DiskFull, String::new()),
                Err(error) => self.note(path, &error),
            }
        }
        let staged = self.stage(&to_stage, &asides)?;
        let built = units.into_iter().zip(asides).map(|(unit, aside)| {
            let files = Vec::new();
            aside.map(|aside| Built { unit, aside, files })
        });
        let built = built.collect();
        // The content must be on disk before any name points to it.
        let _step = simsync_failpoint::step("daemon.apply.batch");
        self.applier.sync_all()?;
        self.place_all(staged, built, fresh);
        Ok(())
    }

    /// What was written and is on disk comes to its place: folders that were built (by their numbers in the batch), and files.
    fn place_all(
        &mut self,
        written: Vec<(ToStage<'_, '_>, Written)>,
        mut built: Vec<Option<Built>>,
        fresh: &Fresh<'_>,
    ) {
        let mut loose: Vec<(&RelPath, Staged)> = Vec::new();
        for (file, written) in written {
            let path = file.wanted.path;
            match (written, file.target) {
                (Written::Staged(staged), _) => loose.push((path, staged)),
                (Written::Built(stat), Target::NewFolder(number, _)) => {
                    if let Some(Some(built)) = built.get_mut(number) {
                        built.files.push((path.clone(), stat));
                    }
                }
                (Written::Built(_), Target::Work(_)) => {}
            }
        }
        for built in built.into_iter().flatten() {
            self.place_built(&built, fresh);
        }
        // What is in one folder is put there in one go.
        loose.sort_unstable_by_key(|(path, _)| *path);
        for (path, stage) in loose {
            let expected = self.expected(path).copied();
            let placed = self.place_one(path, |applier| {
                applier.place(&stage, path, expected.as_ref())
            });
            if !placed {
                self.applier.discard(&stage);
            }
        }
    }

    /// Begins to build a new folder aside. None: that cannot be done, and its folders were made in their places.
    fn build(&mut self, fresh: &Fresh<'_>, unit: usize) -> Option<NewFolder> {
        let folders = &fresh.units.get(unit)?.folders;
        let (top, others) = folders.split_first()?;
        let built = {
            let _step = simsync_failpoint::step("daemon.apply.aside");
            self.build_all(top, others)
        };
        match built {
            Ok(aside) => Some(aside),
            Err(error) => {
                tracing::debug!(%error, "a new folder is not built aside");
                self.make_folders(folders);
                None
            }
        }
    }

    fn build_all(
        &mut self,
        (top, mode): &(&RelPath, u16),
        others: &[(&RelPath, u16)],
    ) -> Result<NewFolder, ApplyError> {
        let applier = &mut self.applier;
        // Writable until everything is in them, as folders that are made in their places.
        let aside = applier.build(top, mode | 0o700)?;
        for (path, mode) in others {
            if let Err(error) = applier.build_folder(&aside, path, mode | 0o700) {
                applier.discard_built(&aside);
                return Err(error);
            }
        }
        Ok(aside)
    }

    /// Writes files. What is not at hand on this disk is had on this thread, in all the ways that there are.
    fn stage<'b, 'p>(
        &mut self,
        files: &[ToStage<'b, 'p>],
        asides: &[Option<NewFolder>],
    ) -> Result<Vec<(ToStage<'b, 'p>, Written)>, EngineError> {
        let chunks = files.iter().flat_map(|f| f.wanted.content.chunks.iter());
        let to_fetch: Vec<&ObjectId> = chunks.filter(|c| !self.sources.has(c)).collect();
        self.objects.prepare(to_fetch.into_iter())?;
        let is_ready = |f: &ToStage<'_, '_>| {
            let chunks = &f.wanted.content.chunks;
            chunks.iter().all(|c| !self.sources.has(c))
        };
        let (ready, others): (Vec<_>, Vec<_>) = files.iter().copied().partition(is_ready);
        let staging = Staging {
            room: self.room,
            applier: &self.applier,
            asides,
        };
        let batch = staging.all(&ready, self.objects.prepared())?;
        self.objects.note_all_opened(batch.opened)?;
        let mut outcomes = batch.outcomes;
        outcomes.extend(others.into_iter().map(|f| (f, Outcome::NotReady)));
        let mut out = Vec::with_capacity(files.len());
        let mut failed = Vec::new();
        for (file, mut outcome) in outcomes {
            if matches!(outcome, Outcome::NotReady) {
                let (root, objects) = (self.applier.root(), &mut *self.objects);
                let sources = &mut self.sources;
                outcome = staging.by_itself(&file, &mut |id| {
                    let own = sources.chunk(root, id, objects)?;
                    own.map_or_else(|| objects.chunk(id), Ok).map(Some)
                })?;
            }
            match outcome {
                Outcome::Written(written) => {
                    self.out.bytes += file.wanted.content.size;
                    out.push((file, written));
                }
                Outcome::Failed(error) => failed.push((file.wanted.path, error)),
                Outcome::NotReady => {}
            }
        }
        for (path, error) in failed {
            self.fail_of(path, error)?;
        }
        Ok(out)
    }

    /// It concerns one path, or everything.
    fn fail_of(&mut self, path: &RelPath, error: EngineError) -> Result<(), EngineError> {
        match error {
            EngineError::Apply(error) => self.note(path, &error),
            error => match error.of_one_path() {
                Some(code) => self.fail(path, code, error.to_string()),
                None => return Err(error),
            },
        }
        Ok(())
    }

    /// A folder that was built comes to its place. If that cannot be, what is in it does, one after the other.
    fn place_built(&mut self, built: &Built, fresh: &Fresh<'_>) {
        let aside = &built.aside;
        let folders = fresh.units.get(built.unit).map(|u| &u.folders[..]);
        let folders = folders.unwrap_or_default();
        let top = aside.place();
        let placed = {
            let _step = simsync_failpoint::step("daemon.apply.folder-placed");
            self.attempt(top, |applier| applier.place_built(aside))
        };
        if let Err(error) = placed {
            tracing::debug!(path = %top, %error, "a new folder is not put there as a whole");
            self.make_folders(folders);
            for (path, _) in &built.files {
                self.place_one(path, |applier| applier.place_out_of(aside, path));
            }
            self.applier.discard_built(aside);
            return;
        }
        for (path, _) in folders {
            match self.applier.stat(path) {
                Ok(stat) => {
                    self.out.stats.insert((*path).clone(), stat);
                }
                Err(error) => self.note(path, &error),
            }
        }
        for (path, stat) in &built.files {
            self.placed(path, *stat);
        }
    }

    /// A file comes to its place. Whether it is there.
    fn place_one(
        &mut self,
        path: &RelPath,
        place: impl FnMut(&mut Applier) -> Result<Stat, ApplyError>,
    ) -> bool {
        let placed = {
            let _step = simsync_failpoint::step("daemon.apply.placed");
            self.attempt(path, place)
        };
        match placed {
            Ok(stat) => {
                self.placed(path, stat);
                true
            }
            Err(error) => {
                self.note(path, &error);
                self.room.progress.file();
                false
            }
        }
    }

    fn placed(&mut self, path: &RelPath, stat: Stat) {
        self.out.stats.insert(path.clone(), stat);
        self.out.count += 1;
        self.room.progress.file();
    }

    /// Whether a file still fits on its disk; takes that from what is left.
    pub(super) fn take_room(
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
}

/// How many of the first files are one batch: what is in one new folder is never in two.
fn batch_of(files: &[Lot<'_>]) -> usize {
    let (mut bytes, mut whole) = (0u64, 0);
    for (n, (unit, wanted)) in files.iter().enumerate() {
        let is_other = n == 0 || unit.is_none() || files[n - 1].0 != *unit;
        if is_other {
            whole = n;
        }
        bytes = bytes.saturating_add(wanted.content.size.max(1));
        if (n >= BATCH_FILES || bytes > BATCH_BYTES) && whole > 0 {
            return whole;
        }
    }
    files.len()
}

/// The folder that a path is in.
fn folder_of(path: &RelPath) -> &[u8] {
    let above = path.as_bytes().len() - path.name().len();
    &path.as_bytes()[..above]
}
