//! Content that this terminal has already: a chunk is read from a file of one's own before it is fetched.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

use simsync_sync::dir::Stat;
use simsync_sync::node::{Node, RelPath};
use simsync_vault::ids::ObjectId;
use simsync_vault::tree::chunk_id;
use zeroize::Zeroizing;

use crate::engine::EngineError;
use crate::engine::cancel::KeyCell;
use crate::engine::content::Content;
use crate::engine::disk::on_disk::OnDisk;
use crate::engine::send::read::open_for_reading;
use crate::engine::vault::objects::Objects;

/// The first bytes of a chunk's ID: enough to find it, and what is found is checked.
pub type Prefix = [u8; 8];

pub fn prefix(id: &ObjectId) -> Prefix {
    let mut out = [0; 8];
    out.copy_from_slice(&id.0[..8]);
    out
}

/// Bytes that are fetched from the server rather than looked for among all files of a collection.
const LITTLE: u64 = 4 << 20;

struct Source<'a> {
    path: RelPath,
    content: &'a Content,
    stat: Stat,
    /// Where each chunk begins, in bytes, and where the last one ends; empty if that is not known.
    offsets: Option<Vec<u64>>,
}

/// Files on disk that hold what is needed.
pub struct Sources<'a> {
    keys: KeyCell,
    files: Vec<Source<'a>>,
    /// Where a chunk is: file, and number of the chunk in it.
    chunks: HashMap<Prefix, (usize, usize)>,
    open: Option<(usize, File)>,
    /// Files that moved since they were looked at, and how they look now.
    moved: HashMap<RelPath, (RelPath, Stat)>,
}

impl<'a> Sources<'a> {
    /// Looks for these chunks in what is on disk.
    ///
    /// Where less than [`LITTLE`] is needed, `bytes`, only those files are looked into whose rows are at hand: that is quicker
    /// than to look through all rows of a collection.
    pub fn new(
        keys: KeyCell,
        disk: &OnDisk<'a>,
        needed: &HashSet<Prefix>,
        bytes: u64,
    ) -> Result<Self, EngineError> {
        let mut out = Self {
            keys,
            files: Vec::new(),
            chunks: HashMap::new(),
            open: None,
            moved: HashMap::new(),
        };
        if needed.is_empty() {
            return Ok(out);
        }
        let (at_hand, is_all) = disk.rows.at_hand();
        let others = if is_all || bytes < LITTLE {
            Vec::new()
        } else {
            let is_wanted = |id: &ObjectId| needed.contains(&prefix(id));
            disk.rows.others_with(&|row| match &row.node {
                Node::File { content, .. } => content.chunks.iter().any(is_wanted),
                Node::Dir { .. } | Node::Symlink { .. } => false,
            })?
        };
        for (path, row) in at_hand {
            if !disk.changes.contains_key(path) {
                out.add(path, &row.node, &row.stat, needed);
            }
        }
        for path in &others {
            if let (false, Some(row)) = (disk.changes.contains_key(path), disk.rows.get(path)) {
                out.add(path, &row.node, &row.stat, needed);
            }
        }
        for (path, node) in disk.changes {
            if let (Some(node), Some(stat)) = (node, disk.stat(path)) {
                out.add(path, node, stat, needed);
            }
        }
        Ok(out)
    }

    fn add(
        &mut self,
        path: &RelPath,
        node: &'a Node<Content>,
        stat: &Stat,
        needed: &HashSet<Prefix>,
    ) {
        let Node::File { content, .. } = node else {
            return;
        };
        let file = self.files.len();
        let mut useful = false;
        for (i, id) in content.chunks.iter().enumerate() {
            let key = prefix(id);
            if needed.contains(&key) {
                self.chunks.entry(key).or_insert((file, i));
                useful = true;
            }
        }
        if useful {
            self.files.push(Source {
                path: path.clone(),
                content,
                stat: *stat,
                offsets: None,
            });
        }
    }

    /// A file was moved by us: it is read where it is now.
    pub fn moved(&mut self, from: &RelPath, to: &RelPath, stat: Stat) {
        self.moved.insert(from.clone(), (to.clone(), stat));
        self.open = None;
    }

    /// Whether a chunk may be here.
    pub fn has(&self, id: &ObjectId) -> bool {
        self.chunks.contains_key(&prefix(id))
    }

    /// The chunk, if it is really here still.
    pub fn chunk(
        &mut self,
        root: BorrowedFd<'_>,
        id: &ObjectId,
        objects: &Objects<'_>,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, EngineError> {
        let Some((file, index)) = self.chunks.get(&prefix(id)).copied() else {
            return Ok(None);
        };
        let found = self.read(root, file, index, objects);
        let same = match &found {
            Some(data) => self.keys.with(|k| chunk_id(k, data))? == *id,
            None => false,
        };
        if !same {
            self.chunks.remove(&prefix(id));
        }
        Ok(found.filter(|_| same))
    }

    fn read(
        &mut self,
        root: BorrowedFd<'_>,
        file: usize,
        index: usize,
        objects: &Objects<'_>,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let source = self.files.get_mut(file)?;
        let offsets = source.offsets.get_or_insert_with(|| {
            offsets(source.content, &|id| objects.chunk_len(id)).unwrap_or_default()
        });
        let (start, end) = (*offsets.get(index)?, *offsets.get(index + 1)?);
        if self.open.as_ref().is_none_or(|(i, _)| *i != file) {
            let (path, expected) = match self.moved.get(&source.path) {
                Some((to, stat)) => (to, stat),
                None => (&source.path, &source.stat),
            };
            let (stat, opened) = open_for_reading(root, path).ok()?;
            if !stat.same_content(expected) || stat.size != source.content.size {
                return None;
            }
            self.open = Some((file, opened));
        }
        let (_, opened) = self.open.as_ref()?;
        let mut data = Zeroizing::new(vec![0; usize::try_from(end.checked_sub(start)?).ok()?]);
        opened.read_exact_at(&mut data, start).ok()?;
        Some(data)
    }
}

/// Where each chunk of a file begins, and where the last one ends.
fn offsets(content: &Content, len: &dyn Fn(&ObjectId) -> Option<u64>) -> Option<Vec<u64>> {
    if content.chunks.len() == 1 {
        return Some(vec![0, content.size]);
    }
    let mut out = Vec::with_capacity(content.chunks.len() + 1);
    let mut at = 0u64;
    out.push(at);
    for id in content.chunks.iter() {
        at = at.checked_add(len(id)?)?;
        out.push(at);
    }
    (at == content.size).then_some(out)
}
