//! After others merged this terminal's own tail: what it held is the new base here.

use std::collections::{BTreeMap, BTreeSet};

use simsync_sync::dir::Stat;
use simsync_sync::node::{Node, RelPath};
use simsync_vault::chunker::Chunker;
use simsync_vault::commit::SessionRef;
use simsync_vault::treeops::{self, Leaf};

use super::content::Content;
use super::leaves::node_of;
use super::objects::Objects;
use super::planned::mode_of;
use super::{Engine, EngineError, Session};
use crate::store::{FileRow, RowChange};

impl Engine {
    /// Notes that others merged tails of our own, and forgets their sessions.
    pub fn rebase_on_merged_tails(&self, session: &Session) -> Result<(), EngineError> {
        for own in self.store.own_sessions()? {
            let reference = own.session();
            if own.tail.is_some() && self.store.is_merged(&reference)? {
                self.rebase_on_tail(session, &reference)?;
                self.store.close_sessions(&reference.card, reference.n)?;
            }
        }
        Ok(())
    }

    /// The base of what our own merged tail held: where the file is as it was sealed, its present content; where it was
    /// edited or removed since, what the vault has of it.
    fn rebase_on_tail(&self, session: &Session, reference: &SessionRef) -> Result<(), EngineError> {
        let head = self.store.newest_commit()?;
        let metadata = self.read_metadata(head.as_ref())?;
        let chunker = self
            .keys
            .with(|k| Chunker::new(k.chunker_key(), metadata.chunker))?;
        let items = self.store.tail_items(reference)?;
        for c in self.store.collections()? {
            let Some(root) = &c.root else { continue };
            let Ok(local) = self.scan(&c, root, false) else {
                continue;
            };
            let sealed: BTreeMap<&RelPath, Option<&Stat>> = items
                .iter()
                .filter(|i| i.collection == c.pk)
                .map(|i| (&i.path, i.stat.as_ref()))
                .collect();
            let as_sealed = |path: &RelPath, now: &Stat| {
                let then = sealed.get(path).copied().flatten();
                then.is_some_and(|t| (t.size, t.mtime, t.ino) == (now.size, now.mtime, now.ino))
            };
            let mut rows: Vec<RowChange> = Vec::new();
            for path in &local.gone {
                if sealed.get(path).is_some_and(Option::is_none) {
                    rows.push((path.clone(), None));
                }
            }
            let mut objects = Objects::new(self, session, c.id);
            let found = match head.as_ref().and_then(|h| h.root(&c.id)) {
                Some(root) => {
                    let sealed = sealed.iter().filter(|(_, stat)| stat.is_some());
                    let paths = sealed.map(|(path, _)| path.as_bytes());
                    treeops::lookup(&root, paths, &mut objects)?
                }
                None => BTreeMap::new(),
            };
            let in_vault = |path: &RelPath| found.get(path.as_bytes()).and_then(Option::as_ref);
            // A folder's times move with what is put into it, and its inode may have been a file's when that was sealed.
            let is_same = |path: &RelPath, node: &Node<Content>, now: &Stat| match node {
                Node::Dir { .. } => {
                    let then = sealed.get(path).copied().flatten();
                    // Gone from the vault, others deleted it since: it was sealed all the same.
                    let was_other = in_vault(path).is_some_and(|l| !matches!(l, Leaf::Dir(_)));
                    !was_other && then.is_some_and(|t| t.ino == now.ino)
                }
                _ => as_sealed(path, now),
            };
            for (path, node, stat) in &local.nodes {
                if is_same(path, node, stat) {
                    rows.push((
                        path.clone(),
                        Some(FileRow {
                            node: node.clone(),
                            stat: *stat,
                        }),
                    ));
                }
            }
            let unchanged: Vec<_> = local
                .candidates
                .iter()
                .filter(|f| as_sealed(&f.path, &f.stat))
                .cloned()
                .collect();
            let root_fd = std::os::fd::AsFd::as_fd(&local.root);
            let read = self.read_files((c.pk, c.id), root_fd, &unchanged, &chunker, None)?;
            for f in read.files {
                let node = Node::File {
                    mode: f.stat.mode,
                    content: f.content,
                };
                rows.push((f.path, Some(FileRow { node, stat: f.stat })));
            }
            let known: BTreeSet<RelPath> = rows.iter().map(|(path, _)| path.clone()).collect();
            for (path, stat) in &sealed {
                let (Some(stat), false) = (stat, known.contains(*path)) else {
                    continue;
                };
                let node = in_vault(path).map(node_of);
                if let Some(node) = node.filter(|n| is_as_sealed(n, stat)) {
                    let mode = mode_of(&node);
                    let stat = Stat { mode, ..**stat };
                    rows.push(((*path).clone(), Some(FileRow { node, stat })));
                }
            }
            // These rows are newer than the base's root: a difference between roots would not tell what became of these
            // paths since, so the vault is asked for each.
            let mut pending: BTreeSet<RelPath> = self.store.pending(c.pk)?.into_iter().collect();
            pending.extend(rows.iter().map(|(path, _)| path.clone()));
            let pending: Vec<RelPath> = pending.into_iter().collect();
            self.store.synced(c.pk, &c.base_root, &rows, &pending)?;
        }
        Ok(())
    }
}

/// Whether what the vault has at a path can only be what this terminal sealed there.
fn is_as_sealed(node: &Node<Content>, sealed: &Stat) -> bool {
    match node {
        Node::File { content, .. } => (content.size, content.mtime) == (sealed.size, sealed.mtime),
        Node::Dir { .. } => true,
        Node::Symlink { .. } => false,
    }
}
