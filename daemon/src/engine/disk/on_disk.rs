//! The disk as a scan saw it.

use std::collections::HashMap;

use simsync_sync::dir::Stat;
use simsync_sync::node::{Changes, Node, RelPath};

use super::rows::Rows;
use crate::engine::content::Content;

/// What is on disk now, as the scan saw it.
pub struct OnDisk<'a> {
    /// Rows of the last sync.
    pub rows: &'a Rows,
    /// What differs from them.
    pub changes: &'a Changes<Content>,
    /// States of what differs.
    pub stats: &'a HashMap<RelPath, Stat>,
}

impl<'a> OnDisk<'a> {
    /// The node that is there.
    pub fn node(&self, path: &RelPath) -> Option<&'a Node<Content>> {
        match self.changes.get(path) {
            Some(n) => n.as_ref(),
            None => self.rows.get(path).map(|r| &r.node),
        }
    }

    /// What `stat` said of a path; none where nothing is.
    pub fn stat(&self, path: &RelPath) -> Option<&'a Stat> {
        self.node(path)?;
        self.stats
            .get(path)
            .or_else(|| self.rows.get(path).map(|r| &r.stat))
    }
}
