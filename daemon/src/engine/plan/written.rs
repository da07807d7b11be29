//! What we were about to write when we were interrupted: the root of the vault that it comes from is noted before. What is
//! then on disk as that root says was written by us and not by a person, so it is no edit, and conflicts with nothing.

use std::collections::BTreeSet;

use simsync_sync::dir::Stat;
use simsync_sync::node::{Changes, Node, RelPath};
use simsync_vault::ids::ObjectId;
use simsync_vault::tree::Directory;
use simsync_vault::treeops::{self, DirSource};

use crate::engine::EngineError;
use crate::engine::content::Content;
use crate::engine::disk::local::{Local, LocalState};
use crate::engine::disk::places::Places;
use crate::engine::leaves::{node_of, path_of};
use crate::engine::seen::{read, seen};
use crate::engine::vault::objects::Objects;
use crate::store::{Collection, FileRow, RowChange, Store};

/// What was being written, as far as that can be known without the vault's keys.
pub fn being_written(
    store: &Store,
    collection: &Collection,
) -> Result<Changes<Content>, EngineError> {
    let mut out = Changes::new();
    let Some(target) = &collection.applying else {
        return Ok(out);
    };
    let mut listings = Listings(store);
    for (path, leaf) in treeops::diff(&collection.base_root, target, &mut listings)? {
        out.insert(path_of(&path)?, leaf.as_ref().map(node_of));
    }
    Ok(out)
}

/// What was to be written when writing this root of the vault was interrupted.
pub fn written_since(
    collection: &Collection,
    target: &ObjectId,
    objects: &mut Objects<'_>,
) -> Result<Changes<Content>, EngineError> {
    let mut written = Changes::new();
    for (path, leaf) in treeops::diff(&collection.base_root, target, objects)? {
        written.insert(path_of(&path)?, leaf.as_ref().map(node_of));
    }
    // What could not be had then was not written either.
    drop(objects.take_aside());
    Ok(written)
}

/// What is on disk as it was being written was written by us and not by a person.
pub fn take_for_written(
    store: &Store,
    places: &Places,
    collection: &Collection,
    written: &Changes<Content>,
    state: &mut LocalState,
    local: &mut Local,
) -> Result<(), EngineError> {
    let mut rows: Vec<RowChange> = Vec::new();
    for (path, here) in &local.changes {
        let Some(there) = written.get(path) else {
            continue;
        };
        let Some(here) = here.clone().map(read).map_or(Some(None), |n| n.map(Some)) else {
            continue;
        };
        let was = state.rows.get(path).map(|r| &r.node);
        if here.is_none() && made_room(was, there.as_ref()) {
            rows.push((path.clone(), None));
        } else if let Some(row) = written_row(here.as_ref(), there.as_ref(), local.stats.get(path))
        {
            rows.push((path.clone(), row));
        }
    }
    let mut pending: BTreeSet<RelPath> = store.pending(collection.pk)?.into_iter().collect();
    for (path, row) in &rows {
        pending.insert(path.clone());
        match row {
            Some(row) => {
                let node = Some(seen(row.node.clone()));
                if local.changes.get(path) == Some(&node) {
                    local.changes.remove(path);
                }
                state.rows.insert(path.clone(), row.clone());
            }
            None => {
                local.changes.remove(path);
                state.rows.remove(path);
            }
        }
    }
    let pending: Vec<RelPath> = pending.into_iter().collect();
    places.write_rows(collection, &collection.base_root, &rows, &pending)?;
    store.set_applying(collection.pk, None)?;
    tracing::info!(
        collection = collection.name,
        paths = rows.len(),
        "taken for written, since that was interrupted"
    );
    Ok(())
}

/// Listings that this terminal keeps in the clear.
struct Listings<'a>(&'a Store);

impl DirSource for Listings<'_> {
    type Error = EngineError;

    fn directory(&mut self, id: &ObjectId) -> Result<Directory, EngineError> {
        let missing = || EngineError::MissingObject("a directory".to_owned());
        let bytes = self.0.dir(id)?.ok_or_else(missing)?;
        Ok(Directory::from_bytes(&bytes)?)
    }

    fn set_aside(&mut self, _: &[u8], error: EngineError) -> Result<(), EngineError> {
        if error.concerns_one_path() {
            Ok(())
        } else {
            Err(error)
        }
    }
}

/// Whether something is gone because we took it away: for nothing, or for a folder in the place of a file or the other way round.
pub fn made_room(was: Option<&Node<Content>>, there: Option<&Node<Content>>) -> bool {
    let is_dir = |node: &Node<Content>| matches!(node, Node::Dir { .. });
    match (was, there) {
        (_, None) => true,
        (Some(was), Some(there)) => is_dir(was) != is_dir(there),
        (None, Some(_)) => false,
    }
}

/// Whether a directory or link is as it was being written.
pub fn is_written(there: &Node<Content>, here: &Node<Content>) -> bool {
    match (there, here) {
        (Node::Dir { mode: t }, Node::Dir { mode: h }) => t == h || t | 0o700 == *h,
        (t, h) => t == h,
    }
}

/// Whether a file looks as it was being written: the time that it got then is not one that it has by chance.
pub fn has_stat(there: &Node<Content>, stat: &Stat) -> bool {
    matches!(there, Node::File { mode, content }
        if *mode == stat.mode && (content.size, content.mtime) == (stat.size, stat.mtime))
}

/// The row of something that is on disk as we were about to write it: the row (or none) if so.
#[allow(
    clippy::option_option,
    reason = "whether it is ours, and what its row is then"
)]
fn written_row(
    here: Option<&Node<Content>>,
    there: Option<&Node<Content>>,
    stat: Option<&Stat>,
) -> Option<Option<FileRow>> {
    let row = |node: &Node<Content>| {
        let mode = super::planned::mode_of(node);
        Some(FileRow {
            node: node.clone(),
            stat: Stat {
                mode,
                ..stat.copied().unwrap_or_default()
            },
        })
    };
    match (here, there) {
        (None, None) => Some(None),
        (Some(Node::File { content: h, .. }), Some(t @ Node::File { content, .. }))
            if h == content =>
        {
            Some(row(t))
        }
        (Some(h @ Node::Symlink { .. }), Some(t)) if h == t => Some(row(t)),
        (Some(Node::Dir { mode: h }), Some(t @ Node::Dir { mode })) if h == mode => Some(row(t)),
        // Writable until everything is in it: that is no wish of anybody's. The vault is asked for what it is to be.
        (Some(h @ Node::Dir { mode: m }), Some(Node::Dir { mode })) if *m == mode | 0o700 => {
            Some(row(h))
        }
        _ => None,
    }
}
