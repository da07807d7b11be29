//! What changed on disk since the last sync, found by looking at every entry and reading only what looks different.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use simsync_sync::dir::{
    self, FoundKind, FsId, Hides, Mount, ScanError, SkipReason, Skipped, Stat,
};
use simsync_sync::guard::{self, Alarm};
use simsync_sync::node::{Node, RelPath};

use super::content::Content;
use super::unseen::{Hidden, unseen_parts};
use super::{Engine, EngineError};
use crate::outstanding::{Report, Unsynced};
use crate::store::{Collection, FileRow, Folder};

/// A file whose content has to be looked at.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Where.
    pub path: RelPath,
    /// How it looked when it was found.
    pub stat: Stat,
}

/// What a scan found.
pub struct LocalState {
    /// The collection's root, open.
    pub root: OwnedFd,
    /// Rows of the last sync.
    pub rows: HashMap<RelPath, FileRow>,
    /// Paths that are gone.
    pub gone: Vec<RelPath>,
    /// Directories and links that are new or different.
    pub nodes: Vec<(RelPath, Node<Content>, Stat)>,
    /// Files to read.
    pub candidates: Vec<Candidate>,
    /// Paths of which nothing is known now.
    pub hidden: Hidden,
    /// What is to be said of this scan.
    pub reports: Vec<Report>,
    /// Entries on disk.
    pub entries: usize,
    /// Mount points below the root.
    pub mounts: Vec<Mount>,
    /// The root is provably the folder that it was.
    pub same_folder: bool,
    /// Paths of rows that were not met, and are not gone either.
    pub not_met: HashSet<RelPath>,
}

impl LocalState {
    /// A deletion that looks like a mishap.
    pub fn alarm(&self) -> Option<Alarm> {
        let one = self.rows.len() == 1 && self.same_folder;
        let alarm = guard::check(self.rows.len(), self.entries, self.lost());
        alarm.filter(|a| !(one && matches!(a, Alarm::RootEmpty { .. })))
    }

    /// Whether an entry of a row was met.
    pub fn was_met(&self, path: &RelPath) -> bool {
        self.rows.contains_key(path) && !self.not_met.contains(path)
    }

    /// How many of the paths that are gone were not only renamed.
    pub(super) fn lost(&self) -> usize {
        let rows = self.gone.iter().filter_map(|path| self.rows.get(path));
        let new = |path: &RelPath| !self.rows.contains_key(path);
        let files = self.candidates.iter().filter(|c| new(&c.path));
        let nodes = self.nodes.iter().filter(|(path, ..)| new(path));
        guard::lost(
            rows.map(|row| Moved::of(&row.node, &row.stat)),
            files
                .map(|c| Moved::file(&c.stat))
                .chain(nodes.map(|(_, node, stat)| Moved::of(node, stat))),
        )
    }

    /// Of paths that no row stands for: those that are not on disk either, as far as that can be known.
    pub fn absent<'p>(&self, paths: impl Iterator<Item = &'p RelPath>) -> Vec<&'p RelPath> {
        let nodes = self.nodes.iter().map(|(path, ..)| path);
        let new: HashSet<&RelPath> = self
            .candidates
            .iter()
            .map(|c| &c.path)
            .chain(nodes)
            .collect();
        paths
            .filter(|p| !self.rows.contains_key(*p) && !new.contains(*p) && !self.hidden.covers(p))
            .collect()
    }
}

/// What an entry keeps when it is renamed. Content is not looked at, but rows and disk agreed on it by the same marks.
#[derive(PartialEq, Eq, Hash)]
enum Moved {
    /// Directories hold nothing of their own.
    Dir,
    File {
        ino: u64,
        size: u64,
        mtime: i64,
    },
    Symlink {
        ino: u64,
    },
}

impl Moved {
    fn of(node: &Node<Content>, stat: &Stat) -> Self {
        match node {
            Node::Dir { .. } => Self::Dir,
            Node::File { .. } => Self::file(stat),
            Node::Symlink { .. } => Self::Symlink { ino: stat.ino },
        }
    }

    fn file(stat: &Stat) -> Self {
        Self::File {
            ino: stat.ino,
            size: stat.size,
            mtime: stat.mtime,
        }
    }
}

/// Files written less than this before they were looked at may change again without looking different: clocks of file
/// systems tick every few milliseconds.
pub(super) const SETTLING: Duration = Duration::from_millis(50);

/// Whether a write from now on would show.
pub(super) fn is_settled(stat: &Stat) -> bool {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
    let settling =
        i64::try_from(simsync_failpoint::settling(SETTLING).as_nanos()).unwrap_or(i64::MAX);
    now.saturating_sub(stat.mtime.max(stat.ctime)) >= settling
}

/// Unless it is settled, a state that will never match: the file is read again at the next scan.
pub fn if_settled(stat: Stat) -> Stat {
    if is_settled(&stat) {
        stat
    } else {
        Stat { ctime: 0, ..stat }
    }
}

impl Engine {
    /// Looks at a whole collection. Reads no file. With `trust`, what is missing is gone, whatever was mounted or which
    /// folder the root was: the owner said so.
    pub fn scan(
        &self,
        collection: &Collection,
        root: &Path,
        trust: bool,
    ) -> Result<LocalState, EngineError> {
        let rows = self.store.files(collection.pk)?;
        let fd = match dir::open_root(root) {
            Ok(fd) => fd,
            Err(ScanError::RootMissing(_)) => {
                return Err(EngineError::guard(collection, Alarm::RootMissing));
            }
            Err(ScanError::NotFolder(_)) => {
                return Err(EngineError::guard(collection, Alarm::NotFolder));
            }
            Err(e) => return Err(e.into()),
        };
        let folder = folder_of(&fd).map_err(EngineError::io(root))?;
        let known = self.store.mounts(collection.pk)?;
        let mut look = Look {
            root: &fd,
            rows,
            seen: HashMap::new(),
            nodes: Vec::new(),
            candidates: Vec::new(),
            failed: Vec::new(),
        };
        let result = dir::scan(fd.as_fd(), &mut |found| look.entry(found), &|| {
            self.cancel.is_cancelled()
        });
        let mut scan = result.map_err(|e| match e {
            ScanError::Stopped => EngineError::Cancelled,
            e => e.into(),
        })?;
        let Look {
            rows,
            mut seen,
            mut nodes,
            mut candidates,
            mut failed,
            ..
        } = look;
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
        if !parts.iter().any(|p| p.is_root()) && collection.folder != Some(folder) {
            self.store.set_folder(collection.pk, Some(folder))?;
        }
        let remembered = super::unseen::remembered(&known, &scan.mounts, &parts);
        if remembered != known || trust {
            self.store.set_mounts(collection.pk, &remembered)?;
        }
        Ok(LocalState {
            root: fd,
            rows: seen,
            gone,
            nodes,
            candidates,
            hidden,
            reports,
            entries: scan.entries,
            mounts: scan.mounts,
            same_folder: collection.folder == Some(folder),
            not_met,
        })
    }
}

fn folder_of(root: &OwnedFd) -> std::io::Result<Folder> {
    Ok(Folder {
        fs: FsId::of(root)?,
        ino: Stat::of_fd(root)?.ino,
    })
}

/// Compares entries with rows as they are met.
struct Look<'a> {
    root: &'a OwnedFd,
    /// Rows that were not met yet.
    rows: HashMap<RelPath, FileRow>,
    seen: HashMap<RelPath, FileRow>,
    nodes: Vec<(RelPath, Node<Content>, Stat)>,
    candidates: Vec<Candidate>,
    failed: Vec<Skipped>,
}

impl Look<'_> {
    fn entry(&mut self, found: dir::Found) {
        let row = self.rows.remove_entry(&found.path);
        let same = row
            .as_ref()
            .is_some_and(|(_, r)| looks_unchanged(r, &found));
        if !same {
            self.different(&found);
        }
        if let Some((path, row)) = row {
            self.seen.insert(path, row);
        }
    }

    fn different(&mut self, found: &dir::Found) {
        let path = found.path.clone();
        match found.kind {
            FoundKind::File => self.candidates.push(Candidate {
                path,
                stat: found.stat,
            }),
            FoundKind::Dir => {
                let mode = found.stat.mode;
                self.nodes.push((path, Node::Dir { mode }, found.stat));
            }
            FoundKind::Symlink => match dir::read_link(self.root.as_fd(), &path) {
                Ok(target) => self
                    .nodes
                    .push((path, Node::Symlink { target }, found.stat)),
                Err(e) => self.failed.push(Skipped {
                    path: path.as_bytes().to_vec(),
                    reason: SkipReason::Unreadable(e),
                    hides: Hides::Path,
                }),
            },
        }
    }
}

fn report_of(skipped: &Skipped) -> Report {
    let (code, detail) = match skipped.reason {
        SkipReason::Unreadable(rustix::io::Errno::NOKEY) => (
            Unsynced::Unseen,
            "an encrypted folder that is locked".to_owned(),
        ),
        SkipReason::Unreadable(e) => (Unsynced::Unreadable, e.to_string()),
        SkipReason::Special(what) => (Unsynced::Special, what.to_owned()),
        SkipReason::PathTooLong => (Unsynced::PathTooLong, String::new()),
        SkipReason::TooDeep => (Unsynced::TooDeep, String::new()),
    };
    Report {
        code,
        path: skipped.path.clone(),
        detail,
    }
}

fn looks_unchanged(row: &FileRow, found: &dir::Found) -> bool {
    match (&row.node, found.kind) {
        (Node::Dir { mode }, FoundKind::Dir) => *mode == found.stat.mode,
        (Node::File { mode, .. }, FoundKind::File) => {
            let (r, f) = (&row.stat, &found.stat);
            *mode == f.mode
                && (r.size, r.mtime, r.ctime, r.ino) == (f.size, f.mtime, f.ctime, f.ino)
        }
        // Links are cheap to read and may be swapped within a clock tick: ctime and inode must match.
        (Node::Symlink { .. }, FoundKind::Symlink) => {
            let (r, f) = (&row.stat, &found.stat);
            (r.ctime, r.ino) == (f.ctime, f.ino)
        }
        _ => false,
    }
}
