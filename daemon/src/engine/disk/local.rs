//! What this terminal has that no row stands for.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use simsync_sync::adapter::Place;
use simsync_sync::dir::{Mount, Stat};
use simsync_sync::guard::{self, Alarm};
use simsync_sync::node::{Changes, Node, RelPath};

use super::rows::Rows;
use super::unseen::Hidden;
use crate::engine::content::Content;
use crate::engine::seen::{Seen, seen};
use crate::outstanding::Report;
use crate::store::{FileRow, RowChange};

/// A file whose content has to be looked at.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its path below the root of the collection.
    pub path: RelPath,
    /// How it looked when it was found.
    pub stat: Stat,
}

/// What a scan found.
pub struct LocalState {
    /// Where the collection is, open.
    pub place: Box<dyn Place>,
    /// Rows of the last sync.
    pub rows: Rows,
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
    /// Everything was looked at; else what nobody vouched for.
    pub is_whole: bool,
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

    /// Whether anything is not as its row says.
    pub fn differs(&self) -> bool {
        let nodes = self.nodes.iter().map(|(path, node, _)| (path, Some(node)));
        let other = |path, node| self.rows.get(path).map(|r| &r.node) != node;
        // A file that was read while it was new is looked at once more at the next sync; it is the same all the same.
        let written = self.candidates.iter().any(|c| {
            let row = self.rows.get(&c.path);
            row.is_none_or(|r| !r.stat.same_content(&c.stat) || r.stat.mode != c.stat.mode)
        });
        !self.gone.is_empty() || written || nodes.into_iter().any(|(p, n)| other(p, n))
    }

    /// How many of the paths that are gone were not only renamed.
    pub fn lost(&self) -> usize {
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
            .filter(|p| !self.rows.contains_key(p) && !new.contains(*p) && !self.hidden.covers(p))
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
pub const SETTLING: Duration = Duration::from_millis(50);

/// Whether a write from now on would show.
pub fn is_settled(stat: &Stat) -> bool {
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

/// What this terminal has that its rows do not stand for.
#[derive(Default)]
pub struct Local {
    pub changes: Changes<Seen>,
    pub stats: HashMap<RelPath, Stat>,
    /// Rows whose content is as it was, but which look different.
    pub touched: Vec<RowChange>,
    /// Files that could not be read.
    pub left: Vec<Report>,
    /// Number of each candidate of the scan, by its path.
    pub numbers: HashMap<RelPath, usize>,
}

impl Local {
    /// As the scan found it: no file was read.
    pub fn unread(state: &LocalState) -> Self {
        let mut local = Self::default();
        for path in &state.gone {
            local.changes.insert(path.clone(), None);
        }
        for (path, node, stat) in &state.nodes {
            local.put(&state.rows, path.clone(), node.clone(), *stat);
        }
        for (number, c) in state.candidates.iter().enumerate() {
            let content = Seen::Unread(number);
            let mode = c.stat.mode;
            let node = Some(Node::File { mode, content });
            local.changes.insert(c.path.clone(), node);
            local.stats.insert(c.path.clone(), c.stat);
            local.numbers.insert(c.path.clone(), number);
        }
        local
    }

    pub fn put(&mut self, rows: &Rows, path: RelPath, node: Node<Content>, stat: Stat) {
        self.stats.insert(path.clone(), stat);
        if rows.get(&path).map(|r| &r.node) == Some(&node) {
            self.changes.remove(&path);
            self.touched.push((path, Some(FileRow { node, stat })));
        } else {
            self.changes.insert(path, Some(seen(node)));
        }
    }
}
