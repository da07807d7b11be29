//! What looks different on disk, found by looking at every entry and comparing it with its row. No file is read.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use simsync_sync::adapter::Place;
use simsync_sync::dir::{
    Found, FoundKind, Hides, Scan, ScanError, SkipReason, Skipped, Stat, WORK_FOLDER, tops,
};
use simsync_sync::node::{Node, RelPath};

use super::local::Candidate;
use super::mapped::written_by_mapping;
use crate::engine::EngineError;
use crate::engine::cancel::Cancel;
use crate::engine::content::Content;
use crate::outstanding::{Report, Unsynced};
use crate::store::{CollectionPk, FileRow, Store};

/// Looks at these paths, or at everything.
pub fn compare<'p>(
    (store, pk): (&Store, CollectionPk),
    place: &'p dyn Place,
    few: Option<&BTreeSet<RelPath>>,
    cancel: &Cancel,
) -> Result<(Comparison<'p>, Scan), EngineError> {
    let few = few.and_then(|paths| Some((place.few()?, paths)));
    let rows = match &few {
        Some((_, paths)) => store.files_at(pk, &mut tops(paths))?,
        None => store.files(pk)?,
    };
    let mut comparison = Comparison {
        place,
        rows,
        seen: HashMap::new(),
        nodes: Vec::new(),
        candidates: Vec::new(),
        failed: Vec::new(),
        linked: Vec::new(),
    };
    let mut entry = |found| comparison.entry(found);
    let stop = || cancel.is_cancelled();
    let scanned = match few {
        Some((few, paths)) => few.scan_paths(paths, &mut entry, &stop),
        None => place.scan(&mut entry, &stop),
    };
    let scan = scanned.map_err(|e| match e {
        ScanError::Stopped => EngineError::Cancelled,
        e => e.into(),
    })?;
    Ok((comparison, scan))
}

/// The place of something that was skipped; none if it is too long to be looked at by itself.
pub fn path_of_skipped(skipped: &Skipped) -> Option<RelPath> {
    RelPath::new(skipped.path.clone()).ok()
}

/// With what changes without anybody hearing of it.
pub fn with_unheard(mut paths: BTreeSet<RelPath>, root: &Path) -> BTreeSet<RelPath> {
    // What somebody put into it is not told.
    paths.extend(RelPath::new(WORK_FOLDER));
    paths.extend(written_by_mapping(root));
    paths
}

/// Compares entries with rows as they are met.
pub struct Comparison<'a> {
    place: &'a dyn Place,
    /// Rows that were not met yet.
    pub rows: HashMap<RelPath, FileRow>,
    pub seen: HashMap<RelPath, FileRow>,
    pub nodes: Vec<(RelPath, Node<Content>, Stat)>,
    pub candidates: Vec<Candidate>,
    pub failed: Vec<Skipped>,
    /// Files that may change by another name.
    pub linked: Vec<RelPath>,
}

impl Comparison<'_> {
    fn entry(&mut self, found: Found) {
        let row = self.rows.remove_entry(&found.path);
        let same = row
            .as_ref()
            .is_some_and(|(_, r)| looks_unchanged(r, &found));
        if !same {
            self.different(&found);
        }
        if found.linked {
            self.linked.push(found.path);
        }
        if let Some((path, row)) = row {
            self.seen.insert(path, row);
        }
    }

    fn different(&mut self, found: &Found) {
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
            FoundKind::Symlink => match self.place.read_link(&path) {
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

pub fn report_of(skipped: &Skipped) -> Report {
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

fn looks_unchanged(row: &FileRow, found: &Found) -> bool {
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
