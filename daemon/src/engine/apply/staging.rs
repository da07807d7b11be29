//! New files are written: into folders that are built aside, or as temporary files; on all cores where there are many.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use simsync_sync::dir::{Applier, ApplyError, NewFolder, OpenNewFolder, Staged, Stat};
use simsync_sync::node::RelPath;
use simsync_vault::ids::ObjectId;
use zeroize::Zeroizing;

use super::ready::Reader;
use super::{PlanApplier, Wanted};
use crate::engine::stack::leaving_nothing;
use crate::engine::vault::objects::Prepared;
use crate::engine::{Cancel, EngineError};
use crate::store::Found;

/// Fewer files than these are not worth a thread.
const WORTH_THREADS: usize = 64;
/// Files that a thread takes at once.
const TAKEN_AT_ONCE: usize = 64;
const THREADS_MAX: usize = 8;

/// Where files of one batch are written.
#[derive(Clone, Copy)]
pub(super) enum Target<'b> {
    /// A folder that is built aside: number of it in the batch, and the path that the file's folder will have.
    NewFolder(usize, &'b [u8]),
    /// The work folder on this file system.
    Work(usize),
}

/// A file that was written.
pub(super) enum Written {
    /// To a temporary file.
    Staged(Staged),
    /// Where it is to stay, with this state, once its folder is at its place.
    Built(Stat),
}

/// What came of a file.
pub(super) enum Outcome {
    Written(Written),
    /// Its content is not at hand.
    NotReady,
    Failed(EngineError),
}

/// A file of a batch, and where it is written.
#[derive(Clone, Copy)]
pub(super) struct ToStage<'b, 'p> {
    pub(super) wanted: &'b Wanted<'p>,
    pub(super) target: Target<'b>,
}

/// What all threads use.
pub(super) struct Staging<'a> {
    pub(super) room: &'a PlanApplier,
    pub(super) applier: &'a Applier,
    pub(super) asides: &'a [Option<NewFolder>],
}

/// What came of many files.
#[derive(Default)]
pub(super) struct Batch<'b, 'p> {
    pub(super) outcomes: Vec<(ToStage<'b, 'p>, Outcome)>,
    /// What was opened, by pack, and what it was.
    pub(super) opened: Vec<(i64, ObjectId, Found)>,
}

impl Staging<'_> {
    /// Writes these files, as far as their content is at hand.
    pub(super) fn all<'b, 'p>(
        &self,
        files: &[ToStage<'b, 'p>],
        prepared: &Prepared,
    ) -> Result<Batch<'b, 'p>, EngineError> {
        let lots: Vec<&[ToStage<'b, 'p>]> = files
            .chunk_by(|a, b| is_same_folder(&a.target, &b.target))
            .flat_map(|folder| folder.chunks(TAKEN_AT_ONCE))
            .collect();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut out = Batch::default();
            let mut reader = Reader::new(self.room, prepared);
            while let Some(lot) = lots.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.lot(lot, &mut reader, &mut out)?;
            }
            out.opened = reader.opened;
            Ok::<_, EngineError>(out)
        };
        if files.len() < WORTH_THREADS {
            return work();
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let parts: Vec<Result<Batch<'b, 'p>, EngineError>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads.min(THREADS_MAX))
                .map(|_| scope.spawn(|| leaving_nothing(work)))
                .collect();
            let joined = threads.into_iter().map(|t| t.join());
            joined
                .map(|result| result.unwrap_or(Err(EngineError::Cancelled)))
                .collect()
        });
        let mut out = Batch::default();
        for part in parts {
            let mut part = part?;
            out.outcomes.append(&mut part.outcomes);
            out.opened.append(&mut part.opened);
        }
        Ok(out)
    }

    /// Writes files that come into one folder.
    fn lot<'b, 'p>(
        &self,
        lot: &[ToStage<'b, 'p>],
        reader: &mut Reader<'_>,
        out: &mut Batch<'b, 'p>,
    ) -> Result<(), EngineError> {
        let Some(first) = lot.first() else {
            return Ok(());
        };
        let place = match self.place(&first.target, first.wanted.path) {
            Ok(place) => place,
            Err(error) => {
                let failed = |f: &ToStage<'b, 'p>| (*f, Outcome::Failed(error.clone().into()));
                out.outcomes.extend(lot.iter().map(failed));
                return Ok(());
            }
        };
        for file in lot {
            self.room.cancel.check()?;
            let outcome = self.one(&place, file.wanted, &mut |id| reader.chunk(id))?;
            out.outcomes.push((*file, outcome));
        }
        Ok(())
    }

    /// Writes one file whose content comes from anywhere.
    pub(super) fn by_itself(
        &self,
        file: &ToStage<'_, '_>,
        chunk: &mut Chunks<'_>,
    ) -> Result<Outcome, EngineError> {
        match self.place(&file.target, file.wanted.path) {
            Ok(place) => self.one(&place, file.wanted, chunk),
            Err(error) => Ok(Outcome::Failed(error.into())),
        }
    }

    fn place(&self, target: &Target<'_>, path: &RelPath) -> Result<Place, ApplyError> {
        match target {
            Target::Work(file_system) => Ok(Place::Work(*file_system)),
            Target::NewFolder(number, _) => {
                let aside = self.asides.get(*number).and_then(Option::as_ref);
                let (Some(aside), Some(folder)) = (aside, path.parent()) else {
                    return Err(ApplyError::ChangedMeanwhile(path.clone()));
                };
                self.applier
                    .open_built(aside, &folder)
                    .map(Place::NewFolder)
            }
        }
    }

    /// A new file with its content and attributes; if that could not be had or written, there is none.
    fn one(
        &self,
        place: &Place,
        wanted: &Wanted<'_>,
        chunk: &mut Chunks<'_>,
    ) -> Result<Outcome, EngineError> {
        let (path, mode) = (wanted.path, wanted.mode);
        let made = match place {
            Place::NewFolder(folder) => folder.create(path, mode).map(|file| (None, file)),
            Place::Work(file_system) => {
                let made = self.applier.stage(*file_system, path, mode);
                made.map(|(staged, file)| (Some(staged), file))
            }
        };
        let (staged, mut file) = match made {
            Ok(made) => made,
            Err(error) => return Ok(Outcome::Failed(error.into())),
        };
        let _step = simsync_failpoint::step("daemon.apply.staged");
        let written = match write(&self.room.cancel, wanted, &mut file, chunk) {
            Ok(true) => {
                let mtime = wanted.content.mtime;
                let finished = self.applier.finish(&file, path, mode, mtime);
                finished.map(Some).map_err(EngineError::from)
            }
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        let outcome = match (written, staged) {
            (Ok(Some(stat)), None) => return Ok(Outcome::Written(Written::Built(stat))),
            (Ok(Some(_)), Some(staged)) => {
                return Ok(Outcome::Written(Written::Staged(staged)));
            }
            (Ok(None), staged) => (Ok(Outcome::NotReady), staged),
            (Err(error), staged) if is_of_one_path(&error) => (Ok(Outcome::Failed(error)), staged),
            (Err(error), staged) => (Err(error), staged),
        };
        match (place, &outcome.1) {
            (Place::NewFolder(folder), _) => folder.discard(path)?,
            (Place::Work(_), Some(staged)) => self.applier.discard(staged),
            (Place::Work(_), None) => {}
        }
        outcome.0
    }
}

/// Where a file is made.
enum Place {
    NewFolder(OpenNewFolder),
    Work(usize),
}

/// Gives chunks; none: it is not at hand.
type Chunks<'c> = dyn FnMut(&ObjectId) -> Result<Option<Zeroizing<Vec<u8>>>, EngineError> + 'c;

fn is_same_folder(a: &Target<'_>, b: &Target<'_>) -> bool {
    match (a, b) {
        (Target::NewFolder(a, folder), Target::NewFolder(b, other)) => a == b && folder == other,
        (Target::Work(a), Target::Work(b)) => a == b,
        _ => false,
    }
}

/// Whether it stops one file only.
fn is_of_one_path(error: &EngineError) -> bool {
    matches!(error, EngineError::Apply(_)) || error.concerns_one_path()
}

/// Writes the content; whether all of it was at hand.
fn write(
    cancel: &Cancel,
    wanted: &Wanted<'_>,
    file: &mut std::fs::File,
    chunk: &mut Chunks<'_>,
) -> Result<bool, EngineError> {
    let mut size = 0u64;
    for id in wanted.content.chunks.iter() {
        cancel.check()?;
        let Some(data) = chunk(id)? else {
            return Ok(false);
        };
        size = size.saturating_add(data.len() as u64);
        // Room was taken for what it claims to be.
        if size > wanted.content.size {
            return Err(wrong_size(wanted.path));
        }
        file.write_all(&data)
            .map_err(|e| write_error(wanted.path, &e))?;
    }
    if size == wanted.content.size {
        Ok(true)
    } else {
        Err(wrong_size(wanted.path))
    }
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
