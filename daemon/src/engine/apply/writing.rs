//! What comes: files, in batches, the smallest first, as far as there is room.

use std::collections::HashMap;
use std::io::Write;

use simsync_sync::dir::{Applier, ApplyError, Staged};
use simsync_sync::node::{Changes, RelPath};
use simsync_vault::ids::ObjectId;

use super::super::EngineError;
use super::super::content::Content;
use super::{Wanted, Work, files_of, has_content};
use crate::outstanding::Unsynced;

/// Files are staged in batches of at most this many, or this many bytes.
const BATCH_FILES: usize = 4096;
const BATCH_BYTES: u64 = 256 << 20;
/// What a file takes on disk is counted in blocks of this many bytes.
const BLOCK: u64 = 4096;

impl Work<'_, '_> {
    pub(super) fn files(&mut self, apply: &Changes<Content>) -> Result<(), EngineError> {
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

    pub(super) fn batch(&mut self, files: &[Wanted<'_>]) -> Result<(), EngineError> {
        let mut room: HashMap<usize, u64> = HashMap::new();
        let mut to_stage = Vec::with_capacity(files.len());
        for wanted in files {
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
            match self.take_room(wanted, &mut room) {
                Ok(true) => to_stage.push(wanted),
                Ok(false) => self.fail(path, Unsynced::DiskFull, String::new()),
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
        let _step = simsync_failpoint::step("daemon.apply.batch");
        self.applier.sync_all()?;
        // What is in one folder is put there in one go.
        staged.sort_unstable_by_key(|(wanted, _)| wanted.path);
        for (wanted, stage) in staged {
            let path = wanted.path;
            let expected = self.expected(path).copied();
            let place = |applier: &mut Applier| applier.place(&stage, path, expected.as_ref());
            let _step = simsync_failpoint::step("daemon.apply.placed");
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

    /// A temporary file with the content, or none if that could not be had or written, which is noted then.
    pub(super) fn stage(&mut self, wanted: &Wanted<'_>) -> Result<Option<Staged>, EngineError> {
        let path = wanted.path;
        let (stage, mut file) = match self.applier.stage(path) {
            Ok(made) => made,
            Err(error) => {
                self.note(path, &error);
                return Ok(None);
            }
        };
        let _step = simsync_failpoint::step("daemon.apply.staged");
        let (mode, mtime) = (wanted.mode, wanted.content.mtime);
        let written = self.write(wanted, &mut file).and_then(|()| {
            let finished = self.applier.finish(&file, path, mode, mtime);
            finished.map_err(EngineError::from)
        });
        match written {
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

    pub(super) fn write(
        &mut self,
        wanted: &Wanted<'_>,
        file: &mut std::fs::File,
    ) -> Result<(), EngineError> {
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
