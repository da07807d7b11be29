//! The items of a tail on their way into the trees: opened in order, their contents put into packs as they come, so that
//! a tail of any size needs little memory.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use rand::rngs::StdRng;
use simsync_sync::dir::WORK_FOLDER;
use simsync_sync::node::{Changes, Node, RelPath};
use simsync_vault::chunker::Chunker;
use simsync_vault::commit::PackRef;
use simsync_vault::ids::{CollectionId, ObjectId};
use simsync_vault::item::{
    Change, Content as ItemContent, Item, ItemContext, item_hash, split_items,
};
use simsync_vault::tail::Tail;
use simsync_vault::tree::{FileEntry, TARGET_MAX, chunk_id};
use simsync_vault::treeops::Leaf;

use simsync_protocol::client::split_fetch;

use crate::engine::EngineError;
use crate::engine::cancel::{Cancel, KeyCell};
use crate::engine::content::Content;
use crate::engine::leaves::{node_of, path_of};
use crate::engine::progress::Progress;
use crate::engine::random::fresh_rng;
use crate::engine::send::uploader::Uploader;
use crate::engine::session::Session;
use crate::engine::wire::Wire;
use crate::outstanding::{Report, Unsynced};
use crate::store::Store;

/// Items that are named as set aside, of one tail.
const ASIDE_MAX: usize = 1_000;

/// What a tail changed in each collection, and the base of each change.
pub type ItemsByCollection =
    BTreeMap<CollectionId, (Changes<Content>, BTreeMap<RelPath, Option<Node<Content>>>)>;

/// Opens what tails hold.
#[derive(Clone)]
pub struct Items {
    store: Arc<Store>,
    keys: KeyCell,
    wire: Wire,
    cancel: Cancel,
    progress: Arc<Progress>,
}

impl Items {
    /// With these keys, as they come over the wire.
    pub fn new(
        store: Arc<Store>,
        keys: KeyCell,
        wire: Wire,
        cancel: Cancel,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            store,
            keys,
            wire,
            cancel,
            progress,
        }
    }

    /// For one tail: of collections that are `registered` here, with contents going to this uploader.
    pub fn receiver<'a>(
        &'a self,
        chunker: &'a Chunker,
        uploader: &'a Uploader,
        registered: &'a [CollectionId],
    ) -> Receiver<'a> {
        Receiver {
            room: self,
            chunker,
            uploader,
            registered,
            rng: fresh_rng(),
            sealed: HashSet::new(),
            out: ItemsByCollection::new(),
            unfinished: None,
            aside: Vec::new(),
        }
    }
}

/// Takes the items of one tail, one after the other.
pub struct Receiver<'a> {
    room: &'a Items,
    chunker: &'a Chunker,
    uploader: &'a Uploader,
    registered: &'a [CollectionId],
    rng: StdRng,
    sealed: HashSet<(CollectionId, ObjectId)>,
    out: ItemsByCollection,
    unfinished: Option<Unfinished>,
    aside: Vec<(CollectionId, Report)>,
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

/// What a tail held.
pub struct Received {
    /// What can be merged.
    pub items: ItemsByCollection,
    /// What cannot, and why.
    pub aside: Vec<(CollectionId, Report)>,
}

impl<'a> Receiver<'a> {
    /// Opens the items of one tail; `label` is that of its terminal. `None` if it holds collections that this terminal does
    /// not sync.
    pub fn receive(
        mut self,
        session: &Session,
        tail: &Tail,
        label: &str,
    ) -> Result<Option<Received>, EngineError> {
        let damaged = || EngineError::TailDamaged(label.to_owned());
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
            let conn = &session.conn;
            let packs = self.room.wire.net_if_there(conn, conn.fetch_packs(ids))?;
            for pack in packs.ok_or_else(damaged)? {
                self.room.progress.bytes(pack.bytes.len() as u64);
                for sealed in split_items(&pack.bytes).map_err(|_| damaged())? {
                    self.room.cancel.check()?;
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
                    let opened = self.room.keys.with(|k| {
                        k.outbox(tail.body.epoch)
                            .map(|key| Item::open(key, &context, sealed))
                    })?;
                    // Anybody may seal to the outbox key; what was signed and does not open was never meant to.
                    let item = opened.ok_or_else(damaged)?.map_err(|_| damaged())?;
                    if !self.registered.contains(&item.collection) {
                        return Ok(None);
                    }
                    self.take(item)?;
                    index += 1;
                }
            }
        }
        if hashes.next().is_some() {
            return Err(damaged());
        }
        self.end_unfinished();
        Ok(Some(Received {
            items: self.out,
            aside: self.aside,
        }))
    }

    /// Takes an item, or sets it aside: one that cannot be used stops no other.
    fn take(&mut self, item: Item) -> Result<(), EngineError> {
        let (collection, path) = (item.collection, item.path.clone());
        match self.item(item) {
            Err(error) => {
                let code = match error.of_one_path() {
                    Some(code) => code,
                    None => return Err(error),
                };
                let detail = error.to_string();
                self.set_aside(collection, Report { code, path, detail });
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn set_aside(&mut self, collection: CollectionId, report: Report) {
        if self.aside.len() < ASIDE_MAX {
            self.aside.push((collection, report));
        }
    }

    /// A file whose parts did not all come is not taken.
    fn end_unfinished(&mut self) {
        if let Some(f) = self.unfinished.take() {
            let error = EngineError::BadItem(f.path.to_string());
            let report = Report::path(Unsynced::VaultDamaged, &f.path, error.to_string());
            self.set_aside(f.collection, report);
        }
    }

    /// Where contents go.
    pub fn uploader(&self) -> &'a Uploader {
        self.uploader
    }

    fn item(&mut self, item: Item) -> Result<(), EngineError> {
        let path = path_of(&item.path)?;
        if path.names().any(|n| n == WORK_FOLDER.as_bytes()) {
            return Err(EngineError::Reserved(path.to_string()));
        }
        if let Change::Part(bytes) = &item.change {
            return self.part(item.collection, &path, bytes);
        }
        self.end_unfinished();
        let bad = || EngineError::BadItem(path.to_string());
        let base = item.base.as_ref().map(|e| node_of(&Leaf::of(e)));
        let bases = &mut self.out.entry(item.collection).or_default().1;
        bases.insert(path.clone(), base);
        let node = match item.change {
            Change::Delete => None,
            Change::Directory(mode) => Some(Node::Dir { mode: mode & 0o777 }),
            Change::Symlink(target) if !is_target(&target) => return Err(bad()),
            Change::Symlink(target) => Some(Node::Symlink { target }),
            Change::File { entry, content } => match content {
                ItemContent::Chunks(chunks) => {
                    self.check_known(item.collection, &path, &chunks)?;
                    Some(file(entry, chunks))
                }
                ItemContent::Inline(bytes) => {
                    if bytes.len() as u64 != entry.size {
                        return Err(bad());
                    }
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
            Change::Part(_) => return Err(bad()),
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
            if !self.room.store.has_object(&collection, id)? {
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
        let bad = || EngineError::BadItem(path.to_string());
        let mut f = self.unfinished.take().ok_or_else(bad)?;
        if f.collection != collection || f.path != *path {
            return Err(bad());
        }
        f.parts = f.parts.checked_sub(1).ok_or_else(bad)?;
        // Room is never taken for more than was announced.
        let size = f.content.size.saturating_add(bytes.len() as u64);
        if size > f.entry.size {
            return Err(bad());
        }
        self.cut(collection, &mut f.content, bytes, f.parts == 0)?;
        if f.parts > 0 {
            self.unfinished = Some(f);
            return Ok(());
        }
        if f.content.size != f.entry.size {
            return Err(bad());
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
            let id = self.room.keys.with(|k| chunk_id(k, chunk))?;
            if self.sealed.insert((collection, id)) {
                let rng = &mut self.rng;
                self.uploader.chunk(collection, id, chunk, rng)?;
            }
            content.chunks.push(id);
            rest = after;
        }
        let left = rest.len();
        content.buffer.drain(..content.buffer.len() - left);
        Ok(())
    }
}

fn is_target(target: &[u8]) -> bool {
    !target.is_empty() && target.len() <= TARGET_MAX && !target.contains(&0)
}

fn file(entry: FileEntry, chunks: Vec<ObjectId>) -> Node<Content> {
    node_of(&Leaf::File(FileEntry {
        mode: entry.mode & 0o777,
        chunks,
        ..entry
    }))
}
