//! What changed on disk since the last sync, found by looking at every entry and reading only what looks different.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use simsync_sync::dir::{self, FoundKind, ScanError, Skipped, Stat, open_root};
use simsync_sync::guard::{self, Alarm};
use simsync_sync::node::{Node, RelPath};

use super::content::Content;
use super::{Engine, EngineError};
use crate::store::{Collection, FileRow};

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
    /// What could not be looked at.
    pub skipped: Vec<Skipped>,
    /// Entries on disk.
    pub entries: usize,
}

impl LocalState {
    /// A deletion that looks like a mishap.
    pub fn alarm(&self) -> Option<Alarm> {
        guard::check(self.rows.len(), self.entries, self.lost())
    }

    /// How many of the paths that are gone were not only renamed.
    fn lost(&self) -> usize {
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
            .filter(|p| {
                !self.rows.contains_key(*p) && !new.contains(*p) && !is_hidden(&self.skipped, p)
            })
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
const RACY_NANOS: i64 = 50_000_000;

/// A state that will never match: the file is read again at the next scan.
pub fn if_settled(stat: Stat) -> Stat {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
    if now.saturating_sub(stat.mtime.max(stat.ctime)) < RACY_NANOS {
        Stat { ctime: 0, ..stat }
    } else {
        stat
    }
}

impl Engine {
    /// Looks at a whole collection. Reads no file.
    pub fn scan(&self, collection: &Collection, root: &Path) -> Result<LocalState, EngineError> {
        let mut rows = self.store.files(collection.pk)?;
        let fd = match open_root(root) {
            Ok(fd) => fd,
            Err(ScanError::RootMissing(_)) => {
                return Err(EngineError::Guard {
                    collection: collection.name.clone(),
                    alarm: Alarm::RootMissing,
                    remote: false,
                });
            }
            Err(e) => return Err(e.into()),
        };
        let mut seen: HashMap<RelPath, FileRow> = HashMap::with_capacity(rows.len());
        let (mut nodes, mut candidates, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        let mut visit = |found: dir::Found| {
            let row = rows.remove_entry(&found.path);
            let same = row
                .as_ref()
                .is_some_and(|(_, r)| looks_unchanged(r, &found));
            if !same {
                match found.kind {
                    FoundKind::File => candidates.push(Candidate {
                        path: found.path.clone(),
                        stat: found.stat,
                    }),
                    FoundKind::Dir => nodes.push((
                        found.path.clone(),
                        Node::Dir {
                            mode: found.stat.mode,
                        },
                        found.stat,
                    )),
                    FoundKind::Symlink => match dir::read_link(fd.as_fd(), &found.path) {
                        Ok(target) => {
                            nodes.push((found.path.clone(), Node::Symlink { target }, found.stat));
                        }
                        Err(e) => failed.push(Skipped {
                            path: Some(found.path.clone()),
                            why: e.to_string(),
                            subtree: false,
                        }),
                    },
                }
            }
            if let Some((path, row)) = row {
                seen.insert(path, row);
            }
        };
        let result = dir::scan(fd.as_fd(), &mut visit, &|| self.cancel.is_cancelled());
        let mut scan = result.map_err(|e| match e {
            ScanError::Stopped => EngineError::Cancelled,
            e => e.into(),
        })?;
        scan.skipped.append(&mut failed);
        // What is left of the rows was not met: gone, unless it could not be looked at.
        let mut gone = Vec::new();
        for (path, row) in rows {
            if !is_hidden(&scan.skipped, &path) {
                gone.push(path.clone());
            }
            seen.insert(path, row);
        }
        Ok(LocalState {
            root: fd,
            rows: seen,
            gone,
            nodes,
            candidates,
            skipped: scan.skipped,
            entries: scan.entries,
        })
    }
}

/// Whether nothing is known of a path, since it or something above it could not be looked at.
fn is_hidden(skipped: &[Skipped], path: &RelPath) -> bool {
    skipped.iter().any(|s| match &s.path {
        None => s.subtree,
        Some(at) => at == path || (s.subtree && at.is_above(path)),
    })
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
