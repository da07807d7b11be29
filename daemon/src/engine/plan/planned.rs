//! One collection on its way through a sync, and the rows that come of it.

use crate::engine::apply::Applied;
use crate::engine::content::Content;
use crate::engine::disk::local::LocalState;
use crate::engine::disk::on_disk::OnDisk;
use crate::engine::send::uploads::{MergedFile, Upload};
use crate::outstanding::{Report, Unsynced};
use crate::store::{Collection, FileRow, RowChange};
use simsync_sync::dir::Stat;
use simsync_sync::node::{Changes, Node, RelPath};
use simsync_sync::plan::Plan;
use simsync_vault::ids::ObjectId;
use std::collections::{BTreeMap, HashMap};

/// One line of a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewEntry {
    /// Name of the collection.
    pub collection: String,
    /// Its path below the root of the collection.
    pub path: RelPath,
    /// `write` or `delete`.
    pub what: &'static str,
    /// Size in bytes.
    pub size: u64,
}

/// One collection on its way through a sync.
pub struct Planned {
    pub collection: Collection,
    pub local: LocalState,
    pub changes: Changes<Content>,
    pub stats: HashMap<RelPath, Stat>,
    /// Rows whose content is as it was, but which look different.
    pub touched: Vec<RowChange>,
    pub remote_root: ObjectId,
    pub remote: Changes<Content>,
    pub plan: Plan<Content>,
    /// Files of this terminal that the vault is to have, by the path that they get there. Once they are uploaded they are in the
    /// plan.
    pub uploads: BTreeMap<RelPath, Upload>,
    /// Contents that were made of two, by path.
    pub merged: BTreeMap<RelPath, MergedFile>,
    /// Files that could not be read.
    pub left: Vec<Report>,
    /// Paths that are not taken this time.
    pub postponed: Vec<RelPath>,
    /// Those of them that wait for the owner to look at them.
    pub not_taken: Vec<Report>,
    /// Parts of the vault's tree that cannot be had now.
    pub unknown: Vec<Report>,
    /// Deletions here that the owner said yes to; zero of them where all were synced before they were asked about.
    pub agreed: Option<u64>,
}

impl Planned {
    /// Gives only: what the vault has is taken at a later sync, and what depends on it is given then.
    pub fn postpone_taking(&mut self) {
        let mut away = Vec::new();
        for (from, to) in std::mem::take(&mut self.plan.moves) {
            away.extend(self.leave(&to));
            away.push(from);
        }
        for path in std::mem::take(&mut self.plan.apply).into_keys() {
            away.extend(self.leave(&path));
            away.push(path);
        }
        let named = away.iter().map(|p| Report::path(Unsynced::NotTaken, p, ""));
        self.not_taken.extend(named);
        self.postponed.append(&mut away);
        self.plan.conflicts.clear();
    }

    /// As [`Plan::leave`], for files that are to be uploaded as well.
    fn leave(&mut self, path: &RelPath) -> Vec<RelPath> {
        self.uploads.remove(path);
        let stay = self.plan.leave(path);
        let is_at = |p: &RelPath| stay.iter().any(|s| p == s || s.is_above(p));
        self.uploads.retain(|p, _| !is_at(p));
        stay
    }

    /// Nothing is written where nobody knows what is there: below a disk's empty place, for example.
    pub fn postpone_unseen(&mut self) {
        let hidden = &self.local.hidden;
        let away = |path: &RelPath| hidden.takes_nothing(path) || self.is_unknown(path);
        let given = self.plan.publish.keys().chain(self.uploads.keys());
        let paths = self.plan.apply.keys().chain(given);
        let away: Vec<RelPath> = paths.filter(|p| away(p)).cloned().collect();
        for path in away {
            let stay = self.leave(&path);
            self.postponed.extend(stay);
            if self.plan.apply.remove(&path).is_some() {
                self.postponed.push(path);
            }
        }
    }

    /// Whether a row stands for a path that could not be looked at.
    fn is_unknown(&self, path: &RelPath) -> bool {
        self.local.hidden.covers(path)
            && self.local.rows.contains_key(path)
            && !self.local.was_met(path)
    }
}

/// Rows for what came from the vault.
pub fn remote_rows(p: &Planned, disk: &OnDisk<'_>, applied: &Applied) -> Vec<RowChange> {
    let mut out = Vec::new();
    for (path, node) in &p.remote {
        if applied.failed.contains_key(path) {
            continue;
        }
        let Some(node) = node else {
            out.push((path.clone(), None));
            continue;
        };
        let on_disk = match p.plan.apply.get(path) {
            Some(n) => n.as_ref(),
            None => disk.node(path),
        };
        let stat = if on_disk == Some(node) {
            applied.stats.get(path).or_else(|| disk.stat(path)).copied()
        } else {
            // What is on disk is newer and goes up; a state that matches nothing keeps it in sight.
            None
        };
        out.push((
            path.clone(),
            Some(FileRow {
                node: node.clone(),
                stat: stat.unwrap_or_else(|| Stat {
                    mode: mode_of(node),
                    ..Stat::default()
                }),
            }),
        ));
    }
    out
}

/// Rows for what goes to the vault, once it is committed.
pub fn published_rows(p: &Planned, disk: &OnDisk<'_>, applied: &Applied) -> Vec<RowChange> {
    p.plan
        .publish
        .iter()
        .map(|(path, node)| {
            let row = node.as_ref().map(|node| {
                let stat = applied.stats.get(path).or_else(|| disk.stat(path)).copied();
                let stat = stat.unwrap_or_else(|| Stat {
                    mode: mode_of(node),
                    ..Stat::default()
                });
                FileRow {
                    node: node.clone(),
                    stat,
                }
            });
            (path.clone(), row)
        })
        .collect()
}

pub fn mode_of(node: &Node<Content>) -> u16 {
    match node {
        Node::Dir { mode } | Node::File { mode, .. } => *mode,
        Node::Symlink { .. } => 0o777,
    }
}

pub fn review_entries(planned: &[Planned]) -> Vec<ReviewEntry> {
    planned
        .iter()
        .flat_map(|p| {
            p.plan.apply.iter().map(|(path, node)| ReviewEntry {
                collection: p.collection.name.clone(),
                path: path.clone(),
                what: if node.is_some() { "write" } else { "delete" },
                size: match node {
                    Some(Node::File { content, .. }) => content.size,
                    _ => 0,
                },
            })
        })
        .collect()
}
