//! Reads files that look changed: chunks, hashes, and hands what the vault lacks to the uploader.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rand::rngs::StdRng;
use rustix::fs::OFlags;
use simsync_sync::dir::{Stat, open_beneath};
use simsync_sync::node::RelPath;
use simsync_vault::chunker::Chunker;
use simsync_vault::ids::{CollectionId, ObjectId};
use simsync_vault::tree::chunk_id;

use super::content::Content;
use super::scan::{Candidate, if_settled};
use super::upload::{Uploader, fresh_rng};
use super::{Engine, EngineError};
use crate::store::{CollectionPk, Uploaded};

/// A file that was read.
pub struct ReadFile {
    /// Where.
    pub path: RelPath,
    /// What it holds.
    pub content: Content,
    /// How it looked before and after reading.
    pub stat: Stat,
}

/// Files are written down as read in batches of this many.
const JOURNAL_BATCH: usize = 256;

struct Shared<'a> {
    engine: &'a Engine,
    uploader: Option<&'a Uploader<'a>>,
    chunker: &'a Chunker,
    collection: CollectionId,
    pk: CollectionPk,
    root: BorrowedFd<'a>,
    candidates: &'a [Candidate],
    journal: HashMap<RelPath, Uploaded>,
    next: AtomicUsize,
    sealed: Mutex<HashSet<ObjectId>>,
}

impl Engine {
    /// Reads all candidates on all cores. With an uploader, chunks that the vault lacks are sealed and sent; without, they
    /// are hashed only. Files that changed while they were read are left out: the next scan finds them again.
    pub fn read_files(
        &self,
        collection: (CollectionPk, CollectionId),
        root: BorrowedFd<'_>,
        candidates: &[Candidate],
        chunker: &Chunker,
        uploader: Option<&Uploader<'_>>,
    ) -> Result<Vec<ReadFile>, EngineError> {
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        self.progress.step("reading", candidates.len());
        let shared = Shared {
            engine: self,
            uploader,
            chunker,
            collection: collection.1,
            pk: collection.0,
            root,
            candidates,
            journal: self.store.uploaded(collection.0)?,
            next: AtomicUsize::new(0),
            sealed: Mutex::new(HashSet::new()),
        };
        let workers = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(8);
        let workers = if candidates.len() < 64 { 1 } else { workers };
        let results: Vec<Result<Vec<ReadFile>, EngineError>> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..workers)
                .map(|_| scope.spawn(|| shared.work()))
                .collect();
            handles
                .into_iter()
                .map(|h| h.join().unwrap_or(Err(EngineError::Cancelled)))
                .collect()
        });
        let mut out = Vec::with_capacity(candidates.len());
        for r in results {
            out.append(&mut r?);
        }
        Ok(out)
    }
}

impl Shared<'_> {
    fn work(&self) -> Result<Vec<ReadFile>, EngineError> {
        let (mut out, mut unwritten) = (Vec::new(), Vec::new());
        let result = self.work_through(&mut out, &mut unwritten);
        // After a yank, too: what was sent need not travel in the tail a second time.
        let written = self.write_journal(&mut unwritten);
        result.and(written).map(|()| out)
    }

    fn work_through(
        &self,
        out: &mut Vec<ReadFile>,
        unwritten: &mut Vec<(RelPath, Uploaded)>,
    ) -> Result<(), EngineError> {
        let mut rng = fresh_rng();
        while let Some(candidate) = self
            .candidates
            .get(self.next.fetch_add(1, Ordering::Relaxed))
        {
            self.engine.cancel.check()?;
            if let Some(file) = self.read_one(candidate, &mut rng)? {
                if self.uploader.is_some() {
                    let uploaded = Uploaded {
                        stat: file.stat,
                        content: file.content.clone(),
                    };
                    unwritten.push((file.path.clone(), uploaded));
                    if unwritten.len() >= JOURNAL_BATCH {
                        self.write_journal(unwritten)?;
                    }
                }
                out.push(file);
            }
            self.engine.progress.file();
        }
        Ok(())
    }

    fn write_journal(&self, entries: &mut Vec<(RelPath, Uploaded)>) -> Result<(), EngineError> {
        if !entries.is_empty() {
            self.engine.store.add_uploaded(self.pk, entries)?;
            entries.clear();
        }
        Ok(())
    }

    /// None: it is gone, changed while it was read, or cannot be read; then it stays as it was.
    fn read_one(&self, c: &Candidate, rng: &mut StdRng) -> Result<Option<ReadFile>, EngineError> {
        if let Some(known) = self.journalled(c)? {
            return Ok(Some(known));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let Ok(fd) = open_beneath(self.root, c.path.as_bytes(), flags) else {
            return Ok(None);
        };
        let Ok(before) = Stat::of_fd(fd.as_fd()) else {
            return Ok(None);
        };
        let before = if_settled(before);
        let mut file = std::fs::File::from(fd);
        let mut chunks = Vec::new();
        let whole = u64::from(self.chunker.params().whole_file_max);
        let size = if before.size <= whole {
            let mut data = Vec::with_capacity(usize::try_from(before.size).unwrap_or(0) + 1);
            let limit = whole + 1;
            if file.by_ref().take(limit).read_to_end(&mut data).is_err() {
                return Ok(None);
            }
            if !data.is_empty() {
                chunks.push(self.take_chunk(&data, rng)?);
            }
            data.len() as u64
        } else {
            match self.read_large(&mut file, &mut chunks, rng)? {
                Some(size) => size,
                None => return Ok(None),
            }
        };
        let same = Stat::of_fd(file.as_fd()).is_ok_and(|after| {
            (after.size, after.mtime, after.ino) == (before.size, before.mtime, before.ino)
        });
        if !same || size != before.size {
            return Ok(None);
        }
        Ok(Some(ReadFile {
            path: c.path.clone(),
            content: Content {
                chunks,
                size,
                mtime: before.mtime,
            },
            stat: before,
        }))
    }

    /// Read and sent before (in a session that ended without a commit), and unchanged since.
    fn journalled(&self, c: &Candidate) -> Result<Option<ReadFile>, EngineError> {
        let Some(u) = self.journal.get(&c.path) else {
            return Ok(None);
        };
        let (a, b) = (&u.stat, &c.stat);
        if (a.size, a.mtime, a.ctime, a.ino) != (b.size, b.mtime, b.ctime, b.ino) {
            return Ok(None);
        }
        for chunk in &u.content.chunks {
            if !self.engine.store.has_object(chunk)? {
                return Ok(None);
            }
        }
        Ok(Some(ReadFile {
            path: c.path.clone(),
            content: u.content.clone(),
            stat: c.stat,
        }))
    }

    fn read_large(
        &self,
        file: &mut std::fs::File,
        chunks: &mut Vec<ObjectId>,
        rng: &mut StdRng,
    ) -> Result<Option<u64>, EngineError> {
        let max = self.chunker.params().max as usize;
        let mut buffer: Vec<u8> = Vec::with_capacity(2 * max);
        let (mut size, mut eof) = (0u64, false);
        loop {
            self.engine.cancel.check()?;
            while !eof && buffer.len() < max {
                let want = (2 * max - buffer.len()) as u64;
                match file.by_ref().take(want).read_to_end(&mut buffer) {
                    Ok(0) => eof = true,
                    Ok(_) => {}
                    Err(_) => return Ok(None),
                }
            }
            if buffer.is_empty() {
                return Ok(Some(size));
            }
            let n = self.chunker.cut(&buffer);
            chunks.push(self.take_chunk(&buffer[..n], rng)?);
            size += n as u64;
            buffer.drain(..n);
        }
    }

    fn take_chunk(&self, data: &[u8], rng: &mut StdRng) -> Result<ObjectId, EngineError> {
        let id = self.engine.keys.with(|k| chunk_id(k, data))?;
        let Some(uploader) = self.uploader else {
            return Ok(id);
        };
        let first = self
            .sealed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id);
        if first {
            self.engine
                .upload_chunk(self.collection, id, data, uploader, rng)?;
        }
        Ok(id)
    }
}
