//! The items of a tail on their way into the trees: opened in order, their contents put into packs as they come, so that
//! a tail of any size needs little memory.

use std::collections::{BTreeMap, HashSet};

use rand::rngs::StdRng;
use simsync_sync::node::{Changes, Node, RelPath};
use simsync_vault::chunker::Chunker;
use simsync_vault::commit::PackRef;
use simsync_vault::ids::{CollectionId, ObjectId};
use simsync_vault::item::{
    Change, Content as ItemContent, Item, ItemContext, item_hash, split_items,
};
use simsync_vault::tail::Tail;
use simsync_vault::tree::{FileEntry, chunk_id};
use simsync_vault::treeops::Leaf;

use simsync_protocol::client::split_fetch;

use super::content::Content;
use super::leaves::{node_of, path_of};
use super::upload::{Uploader, fresh_rng};
use super::{Engine, EngineError, Session};

/// What a tail changed in each collection, and the base of each change.
pub(super) type ItemsByCollection =
    BTreeMap<CollectionId, (Changes<Content>, BTreeMap<RelPath, Option<Node<Content>>>)>;

/// Takes the items of one tail, one after the other.
pub(super) struct Receiver<'a> {
    engine: &'a Engine,
    chunker: &'a Chunker,
    uploader: &'a Uploader<'a>,
    registered: &'a [CollectionId],
    rng: StdRng,
    sealed: HashSet<(CollectionId, ObjectId)>,
    out: ItemsByCollection,
    unfinished: Option<Unfinished>,
}

/// A file whose bytes come in items of their own.
struct Unfinished {
    collection: CollectionId,
    path: RelPath,
    entry: FileEntry,
    parts: u32,
    content: Cutter,
}

/// Content that is cut into chunks as it comes, at the same places as if it had come at once.
#[derive(Default)]
struct Cutter {
    buffer: Vec<u8>,
    size: u64,
    chunks: Vec<ObjectId>,
}

fn damaged() -> EngineError {
    EngineError::Rule("the items of a tail are not the ones that its terminal signed".to_owned())
}

impl Engine {
    /// Opens a tail's items. `None` if it holds collections that this terminal does not sync.
    pub(super) fn receive_tail(
        &self,
        session: &Session,
        tail: &Tail,
        mut receiver: Receiver<'_>,
    ) -> Result<Option<ItemsByCollection>, EngineError> {
        let outbox = tail
            .body
            .packs
            .iter()
            .filter(|p| p.collection == CollectionId::OUTBOX)
            .copied()
            .collect::<Vec<PackRef>>();
        let mut hashes = tail.body.items.iter();
        let mut index = 0u32;
        for ids in split_fetch(outbox) {
            for pack in self.net(session.conn.fetch_packs(ids))? {
                self.progress.bytes(pack.bytes.len() as u64);
                for sealed in split_items(&pack.bytes)? {
                    self.cancel.check()?;
                    if hashes.next() != Some(&item_hash(sealed)) {
                        return Err(damaged());
                    }
                    let context = ItemContext {
                        vault: tail.body.vault,
                        epoch: tail.body.epoch,
                        card: tail.body.session.card,
                        n: tail.body.session.n,
                        index,
                    };
                    let opened = self.keys.with(|k| {
                        k.outbox(tail.body.epoch)
                            .map(|key| Item::open(key, &context, sealed))
                    })?;
                    let item = opened.ok_or_else(damaged)??;
                    if !receiver.registered.contains(&item.collection) {
                        return Ok(None);
                    }
                    receiver.item(item)?;
                    index += 1;
                }
            }
        }
        if hashes.next().is_some() || receiver.unfinished.is_some() {
            return Err(damaged());
        }
        Ok(Some(receiver.out))
    }
}

impl<'a> Receiver<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        chunker: &'a Chunker,
        uploader: &'a Uploader<'a>,
        registered: &'a [CollectionId],
    ) -> Self {
        Self {
            engine,
            chunker,
            uploader,
            registered,
            rng: fresh_rng(),
            sealed: HashSet::new(),
            out: ItemsByCollection::new(),
            unfinished: None,
        }
    }

    /// Where contents go.
    pub(super) fn uploader(&self) -> &'a Uploader<'a> {
        self.uploader
    }

    fn item(&mut self, item: Item) -> Result<(), EngineError> {
        let path = path_of(&item.path)?;
        if let Change::Part(bytes) = &item.change {
            return self.part(item.collection, &path, bytes);
        }
        if self.unfinished.is_some() {
            return Err(damaged());
        }
        let base = item.base.as_ref().map(|e| node_of(&Leaf::of(e)));
        let bases = &mut self.out.entry(item.collection).or_default().1;
        bases.insert(path.clone(), base);
        let node = match item.change {
            Change::Delete => None,
            Change::Directory(mode) => Some(Node::Dir { mode: mode & 0o777 }),
            Change::Symlink(target) => Some(Node::Symlink { target }),
            Change::File { entry, content } => match content {
                ItemContent::Chunks(chunks) => {
                    self.check_known(item.collection, &path, &chunks)?;
                    Some(file(entry, chunks))
                }
                ItemContent::Inline(bytes) => {
                    let mut content = Cutter::default();
                    self.cut(item.collection, &mut content, &bytes, true)?;
                    Some(file(entry, content.chunks))
                }
                ItemContent::Parts(parts) => {
                    self.unfinished = Some(Unfinished {
                        collection: item.collection,
                        path,
                        entry,
                        parts,
                        content: Cutter::default(),
                    });
                    return Ok(());
                }
            },
            Change::Part(_) => return Err(damaged()),
        };
        self.set(item.collection, path, node);
        Ok(())
    }

    /// A file of which nobody has a part must not get into the vault.
    fn check_known(
        &self,
        collection: CollectionId,
        path: &RelPath,
        chunks: &[ObjectId],
    ) -> Result<(), EngineError> {
        for id in chunks {
            if !self.engine.store.has_object(&collection, id)? {
                return Err(EngineError::MissingObject(path.to_string()));
            }
        }
        Ok(())
    }

    fn part(
        &mut self,
        collection: CollectionId,
        path: &RelPath,
        bytes: &[u8],
    ) -> Result<(), EngineError> {
        let mut f = self.unfinished.take().ok_or_else(damaged)?;
        if f.collection != collection || f.path != *path {
            return Err(damaged());
        }
        f.parts = f.parts.checked_sub(1).ok_or_else(damaged)?;
        self.cut(collection, &mut f.content, bytes, f.parts == 0)?;
        if f.parts > 0 {
            self.unfinished = Some(f);
            return Ok(());
        }
        if f.content.size != f.entry.size {
            return Err(damaged());
        }
        self.set(collection, f.path, Some(file(f.entry, f.content.chunks)));
        Ok(())
    }

    fn set(&mut self, collection: CollectionId, path: RelPath, node: Option<Node<Content>>) {
        let changes = &mut self.out.entry(collection).or_default().0;
        changes.insert(path, node);
    }

    /// Cuts off whole chunks and puts what the vault lacks into packs.
    fn cut(
        &mut self,
        collection: CollectionId,
        content: &mut Cutter,
        bytes: &[u8],
        last: bool,
    ) -> Result<(), EngineError> {
        content.buffer.extend_from_slice(bytes);
        content.size += bytes.len() as u64;
        let params = self.chunker.params();
        // A cut is certain only where the largest chunk has room.
        let enough = params.max as usize;
        let whole = last && content.size <= u64::from(params.whole_file_max);
        let mut rest = &content.buffer[..];
        while rest.len() >= enough || (last && !rest.is_empty()) {
            let n = if whole {
                rest.len()
            } else {
                self.chunker.cut(rest)
            };
            let (chunk, after) = rest.split_at(n);
            let id = self.engine.keys.with(|k| chunk_id(k, chunk))?;
            if self.sealed.insert((collection, id)) {
                let rng = &mut self.rng;
                self.engine
                    .upload_chunk(collection, id, chunk, self.uploader, rng)?;
            }
            content.chunks.push(id);
            rest = after;
        }
        let left = rest.len();
        content.buffer.drain(..content.buffer.len() - left);
        Ok(())
    }
}

fn file(entry: FileEntry, chunks: Vec<ObjectId>) -> Node<Content> {
    node_of(&Leaf::File(FileEntry {
        mode: entry.mode & 0o777,
        chunks,
        ..entry
    }))
}
