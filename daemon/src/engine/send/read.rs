//! Reads files that look changed: chunks, hashes, and hands what the vault lacks to the uploader.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rustix::fs::OFlags;
use rustix::io::Errno;
use simsync_sync::adapter::{Opened, Place};
use simsync_sync::dir::{Stat, open_beneath};
use simsync_sync::node::RelPath;
use simsync_vault::chunker::Chunker;
use simsync_vault::ids::{CollectionId, ObjectId};
use simsync_vault::tree::chunk_id;

use super::uploader::Uploader;
use crate::engine::EngineError;
use crate::engine::cancel::{Cancel, KeyCell};
use crate::engine::content::Content;
use crate::engine::disk::local::{Candidate, if_settled};
use crate::engine::progress::Progress;
use crate::engine::random::fresh_rng;
use crate::engine::stack::leaving_nothing;
use crate::outstanding::{Report, Unsynced};
use crate::store::{CollectionPk, Store, Uploaded};

/// A file that was read.
pub struct ReadFile {
    /// Its path below the root of the collection.
    pub path: RelPath,
    /// Its chunks, with size and time.
    pub content: Content,
    /// How it looked before and after reading.
    pub stat: Stat,
}

/// Why a file was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// It is not there any more, or is something else: the next scan tells.
    Gone,
    /// It was written meanwhile.
    Changing,
    /// The system refused.
    Refused(Errno),
}

impl Unread {
    fn of(e: &std::io::Error) -> Self {
        Self::from(Errno::from_io_error(e).unwrap_or(Errno::IO))
    }

    /// What is to be said of it.
    pub fn report(self, path: &RelPath) -> Option<Report> {
        match self {
            Self::Gone => None,
            Self::Changing => Some(Report::path(Unsynced::Changing, path, "")),
            Self::Refused(e) => Some(Report::path(Unsynced::Unreadable, path, e.to_string())),
        }
    }
}

impl From<Errno> for Unread {
    fn from(e: Errno) -> Self {
        match e {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => Self::Gone,
            e => Self::Refused(e),
        }
    }
}

/// Opens a file beneath a root, and looks at it.
pub fn open_for_reading(
    root: BorrowedFd<'_>,
    path: &RelPath,
) -> Result<(Stat, std::fs::File), Unread> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let fd = open_beneath(root, path.as_bytes(), flags)?;
    let stat = Stat::of_fd(fd.as_fd())?;
    Ok((stat, std::fs::File::from(fd)))
}

/// Opens a file of a collection, and looks at it.
pub fn open_in(place: &dyn Place, path: &RelPath) -> Result<(Stat, Box<dyn Opened>), Unread> {
    let file = place.open_file(path)?;
    let stat = file.stat()?;
    Ok((stat, file))
}

/// Whether an open file is as it was: a write since would show.
pub fn is_still(file: &dyn Opened, then: &Stat) -> bool {
    let now = file.stat();
    now.is_ok_and(|now| then.same_content(&now) && then.ctime == now.ctime)
}

/// What came of reading.
#[derive(Default)]
pub struct Reading {
    /// Files that were read.
    pub files: Vec<ReadFile>,
    /// Those that could not be, and stay as they were: the next scan finds them again.
    pub left: Vec<Report>,
}

/// Files are written down as read in batches of this many.
const JOURNAL_BATCH: usize = 256;

struct Shared<'a> {
    room: &'a Files,
    uploader: Option<&'a Uploader>,
    chunker: &'a Chunker,
    collection: CollectionId,
    pk: CollectionPk,
    place: &'a dyn Place,
    candidates: &'a [Candidate],
    journal: HashMap<RelPath, Uploaded>,
    next: AtomicUsize,
    sealed: Mutex<HashSet<ObjectId>>,
}

/// Reads files of this disk.
#[derive(Clone)]
pub struct Files {
    store: Arc<Store>,
    keys: KeyCell,
    cancel: Cancel,
    progress: Arc<Progress>,
}

impl Files {
    /// Their chunks are named with these keys, and what was sent is noted in this database.
    pub fn new(store: Arc<Store>, keys: KeyCell, cancel: Cancel, progress: Arc<Progress>) -> Self {
        Self {
            store,
            keys,
            cancel,
            progress,
        }
    }

    /// Reads all candidates on all cores. With an uploader, chunks that the vault lacks are sealed and sent; without, they
    /// are hashed only.
    pub fn read(
        &self,
        collection: (CollectionPk, CollectionId),
        place: &dyn Place,
        candidates: &[Candidate],
        chunker: &Chunker,
        uploader: Option<&Uploader>,
    ) -> Result<Reading, EngineError> {
        if candidates.is_empty() {
            return Ok(Reading::default());
        }
        self.progress.step("reading", candidates.len());
        let shared = Shared {
            room: self,
            uploader,
            chunker,
            collection: collection.1,
            pk: collection.0,
            place,
            candidates,
            journal: self.store.uploaded(collection.0)?,
            next: AtomicUsize::new(0),
            sealed: Mutex::new(HashSet::new()),
        };
        let workers = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(8);
        let workers = if candidates.len() < 64 { 1 } else { workers };
        let results: Vec<Result<Reading, EngineError>> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..workers)
                .map(|_| scope.spawn(|| leaving_nothing(|| shared.work())))
                .collect();
            handles
                .into_iter()
                .map(|h| h.join().unwrap_or(Err(EngineError::Cancelled)))
                .collect()
        });
        let mut out = Reading::default();
        for r in results {
            let mut r = r?;
            out.files.append(&mut r.files);
            out.left.append(&mut r.left);
        }
        Ok(out)
    }
}

impl Shared<'_> {
    fn work(&self) -> Result<Reading, EngineError> {
        let (mut out, mut unwritten) = (Reading::default(), Vec::new());
        let result = self.work_through(&mut out, &mut unwritten);
        // After a yank, too: what was sent need not travel in the tail a second time.
        let written = self.write_journal(&mut unwritten);
        result.and(written).map(|()| out)
    }

    fn work_through(
        &self,
        out: &mut Reading,
        unwritten: &mut Vec<(RelPath, Uploaded)>,
    ) -> Result<(), EngineError> {
        let mut rng = fresh_rng();
        while let Some(candidate) = self
            .candidates
            .get(self.next.fetch_add(1, Ordering::Relaxed))
        {
            self.room.cancel.check()?;
            match self.read_one(candidate, &mut rng)? {
                Ok(file) => {
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
                    out.files.push(file);
                }
                Err(why) => out.left.extend(why.report(&candidate.path)),
            }
            self.room.progress.file();
        }
        Ok(())
    }

    fn write_journal(&self, entries: &mut Vec<(RelPath, Uploaded)>) -> Result<(), EngineError> {
        if !entries.is_empty() {
            self.room.store.add_uploaded(self.pk, entries)?;
            entries.clear();
        }
        Ok(())
    }

    /// The file, or why it stays as it was.
    fn read_one(
        &self,
        c: &Candidate,
        rng: &mut StdRng,
    ) -> Result<Result<ReadFile, Unread>, EngineError> {
        if let Some(known) = self.journalled(c)? {
            return Ok(Ok(known));
        }
        let (found, mut file) = match open_in(self.place, &c.path) {
            Ok(opened) => opened,
            Err(why) => return Ok(Err(why)),
        };
        let before = if_settled(found);
        let mut chunks = Vec::new();
        let whole = u64::from(self.chunker.params().whole_file_max);
        let size = if before.size <= whole {
            let mut data = Vec::with_capacity(usize::try_from(before.size).unwrap_or(0) + 1);
            let limit = whole + 1;
            if let Err(e) = file.by_ref().take(limit).read_to_end(&mut data) {
                return Ok(Err(Unread::of(&e)));
            }
            if !data.is_empty() {
                chunks.push(self.take_chunk(&data, rng)?);
            }
            data.len() as u64
        } else {
            match self.read_large(&mut *file, &mut chunks, rng)? {
                Ok(size) => size,
                Err(why) => return Ok(Err(why)),
            }
        };
        if size != found.size || !is_still(&*file, &found) {
            return Ok(Err(Unread::Changing));
        }
        Ok(Ok(ReadFile {
            path: c.path.clone(),
            content: Content {
                chunks: chunks.into(),
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
        for chunk in u.content.chunks.iter() {
            if !self.room.store.has_proven(&self.collection, chunk)? {
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
        file: &mut dyn Opened,
        chunks: &mut Vec<ObjectId>,
        rng: &mut StdRng,
    ) -> Result<Result<u64, Unread>, EngineError> {
        let max = self.chunker.params().max as usize;
        let mut buffer: Vec<u8> = Vec::with_capacity(2 * max);
        let (mut size, mut eof) = (0u64, false);
        loop {
            self.room.cancel.check()?;
            while !eof && buffer.len() < max {
                let want = (2 * max - buffer.len()) as u64;
                match Read::take(&mut *file, want).read_to_end(&mut buffer) {
                    Ok(0) => eof = true,
                    Ok(_) => {}
                    Err(e) => return Ok(Err(Unread::of(&e))),
                }
            }
            if buffer.is_empty() {
                return Ok(Ok(size));
            }
            let n = self.chunker.cut(&buffer);
            chunks.push(self.take_chunk(&buffer[..n], rng)?);
            size += n as u64;
            buffer.drain(..n);
        }
    }

    fn take_chunk(&self, data: &[u8], rng: &mut StdRng) -> Result<ObjectId, EngineError> {
        let id = self.room.keys.with(|k| chunk_id(k, data))?;
        let Some(uploader) = self.uploader else {
            return Ok(id);
        };
        let first = self.sealed.lock().insert(id);
        if first {
            uploader.chunk(self.collection, id, data, rng)?;
        }
        Ok(id)
    }
}
