//! The items of a tail that is made here: sealed one after the other, into packs that rest in a folder.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand_core::Rng;
use sha2::{Digest, Sha256};
use simsync_card::ids::Hash;
use simsync_sync::adapter::Opened;
use simsync_sync::dir::Stat;
use simsync_sync::node::{Node, RelPath};
use simsync_vault::commit::{PackRef, SessionRef};
use simsync_vault::ids::{CollectionId, PackId};
use simsync_vault::item::{
    Change, Content as ItemContent, ITEM_VERSION, Item, ItemContext, PART, item_hash,
};
use simsync_vault::keyobject::KeyObject;
use simsync_vault::tree::Entry;

use crate::engine::EngineError;
use crate::engine::clock::now_ms;
use crate::engine::content::Content;
use crate::engine::disk::local::{Candidate, LocalState, SETTLING, is_settled};
use crate::engine::leaves::{entry_of, item_entry};
use crate::engine::plan::written::{being_written, has_stat, is_written, made_room};
use crate::engine::random::fresh_rng;
use crate::engine::send::read::{Unread, is_still, open_in};
use crate::engine::send::uploader::uncommitted_packs;
use crate::outstanding::{Producer, Report, Unsynced};
use crate::store::{Collection, Sealed, SealedContent, Store, TailItem, Uploaded};

/// No item is begun after this time; what is not in the tail by then waits for the next session.
const DEADLINE: Duration = Duration::from_secs(10);

/// What became of a removal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TailReport {
    /// Items sealed.
    pub items: usize,
    /// Of these, contents that were uploaded already and only had to be named.
    pub referenced: usize,
    /// Changes that wait for the next session on this terminal: time or room of the tail was over, or the file was being
    /// written.
    pub left: usize,
    /// Sealed bytes.
    pub bytes: u64,
}

/// A tail in the making.
pub struct Builder<'a> {
    store: &'a Store,
    /// Size at which a pack is closed, in bytes.
    pack_target: usize,
    /// Most items of a tail.
    items_max: usize,
    outbox: &'a Path,
    object: &'a KeyObject,
    session: SessionRef,
    deadline: Instant,
    rng: StdRng,
    pack: Vec<u8>,
    packs: Vec<PackRef>,
    referenced: Vec<PackRef>,
    hashes: Vec<Hash>,
    kept: Vec<TailItem>,
    report: TailReport,
    /// Of the collection at hand: what waits for the next session.
    left: Vec<Report>,
}

/// What a tail holds, once all of it is sealed.
pub struct Built {
    /// Packs with its items, and those of uploaded content that items name.
    pub packs: Vec<PackRef>,
    /// Hashes of its items, in order.
    pub hashes: Vec<Hash>,
    /// What was sealed, for whoever goes on from here.
    pub kept: Vec<TailItem>,
    /// How much was sealed, and how much waits for the next session.
    pub report: TailReport,
}

/// Where a sealed pack rests until it is delivered.
pub fn pack_file(outbox: &Path, id: &PackId) -> PathBuf {
    outbox.join(id.to_string())
}

impl<'a> Builder<'a> {
    /// With nothing in it. Its packs go into the folder `outbox`.
    pub fn new(
        store: &'a Store,
        outbox: &'a Path,
        object: &'a KeyObject,
        session: SessionRef,
        pack_target: usize,
        items_max: usize,
    ) -> Self {
        Self {
            store,
            pack_target,
            items_max,
            outbox,
            object,
            session,
            deadline: Instant::now() + DEADLINE,
            rng: fresh_rng(),
            pack: Vec::new(),
            packs: Vec::new(),
            referenced: Vec::new(),
            hashes: Vec::new(),
            kept: Vec::new(),
            report: TailReport::default(),
            left: Vec::new(),
        }
    }

    /// Closes the last pack, and hands everything over.
    pub fn finish(mut self) -> Result<Built, EngineError> {
        self.flush()?;
        let mut packs = self.packs;
        packs.extend(self.referenced);
        Ok(Built {
            packs,
            hashes: self.hashes,
            kept: self.kept,
            report: self.report,
        })
    }

    /// Whether so many more items may be begun: whoever opens a tail takes no more than a limit.
    fn has_room(&self, items: usize) -> bool {
        Instant::now() <= self.deadline && self.hashes.len().saturating_add(items) <= self.items_max
    }

    /// Seals what differs in one collection.
    pub fn collection(
        &mut self,
        c: &Collection,
        local: &LocalState,
        earlier: &[TailItem],
    ) -> Result<(), EngineError> {
        let alarm = local.alarm();
        let journal = self.store.uploaded(c.pk)?;
        // Where writing what the vault has was interrupted, that is no change of a person's.
        let written = being_written(self.store, c)?;
        if let Some(alarm) = alarm {
            self.report.left += local.gone.len();
            let question = EngineError::guard(c, alarm);
            let code = question
                .of_one_collection()
                .unwrap_or(Unsynced::CollectionFailed);
            let report = Report::whole(code, question.to_string());
            self.store
                .report(Producer::Collection, c.pk, &[report], now_ms())?;
        } else {
            for path in &local.gone {
                let was = local.rows.get(path).map(|r| &r.node);
                if written
                    .get(path)
                    .is_some_and(|w| made_room(was, w.as_ref()))
                {
                    continue;
                }
                self.item_if_room(c, local, path, None, Change::Delete)?;
            }
        }
        // What an earlier tail made and is gone again: whoever merged that one has it still.
        let made = earlier
            .iter()
            .filter(|i| i.collection == c.pk && i.sealed.is_some())
            .map(|i| &i.path);
        let made: BTreeSet<&RelPath> = local.absent(made).into_iter().collect();
        for path in made {
            self.item_if_room(c, local, path, None, Change::Delete)?;
        }
        for (path, node, stat) in &local.nodes {
            let (change, sealed) = match node {
                Node::Dir { mode } => (Change::Directory(*mode), Node::Dir { mode: *mode }),
                Node::Symlink { target } => {
                    let target = target.clone();
                    (Change::Symlink(target.clone()), Node::Symlink { target })
                }
                Node::File { .. } => continue,
            };
            let ours = matches!(written.get(path), Some(Some(w)) if is_written(w, node));
            if !ours && local.rows.get(path).map(|r| &r.node) != Some(node) {
                self.item_if_room(c, local, path, Some((*stat, sealed)), change)?;
            }
        }
        for candidate in &local.candidates {
            if matches!(written.get(&candidate.path), Some(Some(w)) if has_stat(w, &candidate.stat))
            {
                continue;
            }
            if !self.file(c, local, candidate, &journal)? {
                self.leave(&candidate.path);
            }
        }
        local.rows.check()?;
        let left = std::mem::take(&mut self.left);
        self.store.report(Producer::Tail, c.pk, &left, now_ms())?;
        Ok(())
    }

    /// It waits for the next session on this terminal.
    fn leave(&mut self, path: &RelPath) {
        self.report.left += 1;
        self.left.push(Report::path(Unsynced::NotSealed, path, ""));
    }

    /// Whether it can travel now.
    fn file(
        &mut self,
        c: &Collection,
        local: &LocalState,
        candidate: &Candidate,
        journal: &HashMap<RelPath, Uploaded>,
    ) -> Result<bool, EngineError> {
        let (path, stat) = (&candidate.path, candidate.stat);
        if !self.has_room(1) {
            return Ok(false);
        }
        if let Some(u) = journal.get(path)
            && u.stat.same_content(&stat)
            && u.stat.ctime == stat.ctime
            && self.reference(&c.id, &u.content)?
        {
            self.report.referenced += 1;
            let entry = item_entry(&u.content, stat.mode);
            let chunks = u.content.chunks.clone();
            let sealed = file_of(stat, SealedContent::Chunks(chunks.to_vec()));
            let content = ItemContent::Chunks(chunks.to_vec());
            self.item(c, local, path, sealed, Change::File { entry, content })?;
            return Ok(true);
        }
        let Ok((stat, mut file)) = self.open_at_rest(local, path) else {
            return Ok(false);
        };
        if stat.size > PART as u64 {
            return self.large(c, local, (path, stat), file);
        }
        // All at once: what a growing vector leaves behind is not overwritten.
        let mut data = Vec::with_capacity(usize::try_from(stat.size).unwrap_or(0) + 1);
        let limit = PART as u64 + 1;
        if file.by_ref().take(limit).read_to_end(&mut data).is_err()
            || data.len() as u64 != stat.size
            || !is_still(&*file, &stat)
        {
            // What is sealed is one state of the file: its size, its time and its content belong together.
            return Ok(false);
        }
        let content = Content {
            chunks: Arc::default(),
            size: data.len() as u64,
            mtime: stat.mtime,
        };
        let entry = item_entry(&content, stat.mode);
        let sealed = file_of(stat, SealedContent::Digest(Hash::of(&data)));
        let content = ItemContent::Inline(data);
        self.item(c, local, path, sealed, Change::File { entry, content })?;
        Ok(true)
    }

    /// Opens a file and looks at it. Where it was written this very moment, it is looked at once more a moment later: a write
    /// within the same tick of the file system's clock would not show.
    fn open_at_rest(
        &self,
        local: &LocalState,
        path: &RelPath,
    ) -> Result<(Stat, Box<dyn Opened>), Unread> {
        let (stat, file) = open_in(&*local.place, path)?;
        if is_settled(&stat) {
            return Ok((stat, file));
        }
        std::thread::sleep(simsync_failpoint::settling(SETTLING));
        let stat = file.stat()?;
        if is_settled(&stat) {
            Ok((stat, file))
        } else {
            Err(Unread::Changing)
        }
    }

    /// A file too large for one item: its bytes travel in items of their own. All of them or none.
    fn large(
        &mut self,
        c: &Collection,
        local: &LocalState,
        (path, stat): (&RelPath, Stat),
        mut file: Box<dyn Opened>,
    ) -> Result<bool, EngineError> {
        let parts = u32::try_from(stat.size.div_ceil(PART as u64)).unwrap_or(u32::MAX);
        if !self.has_room(1 + parts as usize) {
            return Ok(false);
        }
        self.flush()?;
        let before = (self.hashes.len(), self.packs.len(), self.kept.len());
        let report = self.report.clone();
        let content = Content {
            chunks: Arc::default(),
            size: stat.size,
            mtime: stat.mtime,
        };
        let entry = item_entry(&content, stat.mode);
        let content = ItemContent::Parts(parts);
        self.item(c, local, path, None, Change::File { entry, content })?;
        let mut digest = Sha256::new();
        let mut left = stat.size;
        while left > 0 && Instant::now() <= self.deadline {
            let want = left.min(PART as u64);
            let mut data = Vec::with_capacity(PART.min(usize::try_from(want).unwrap_or(PART)) + 1);
            let read = file.by_ref().take(want).read_to_end(&mut data);
            if read.is_err() || data.len() as u64 != want {
                break;
            }
            left -= want;
            digest.update(&data);
            self.seal(c, path, None, Change::Part(data))?;
        }
        if left == 0 && is_still(&*file, &stat) {
            let digest = SealedContent::Digest(Hash(digest.finalize().into()));
            if let Some(item) = self.kept.last_mut() {
                item.sealed = sealed_of(file_of(stat, digest));
            }
            return Ok(true);
        }
        self.pack.clear();
        self.hashes.truncate(before.0);
        for p in self.packs.drain(before.1..) {
            // Sealed bytes that no tail names: one that stays takes room and tells nothing.
            let _ = std::fs::remove_file(pack_file(self.outbox, &p.id));
        }
        self.kept.truncate(before.2);
        self.report = report;
        Ok(false)
    }

    /// Whether all chunks are at the server; notes the packs that hold them and no commit names.
    fn reference(
        &mut self,
        collection: &CollectionId,
        content: &Content,
    ) -> Result<bool, EngineError> {
        let mut packs = Vec::new();
        let uncommitted = uncommitted_packs(self.store)?;
        for id in content.chunks.iter() {
            match self.store.object(collection, id)? {
                Some(at) => packs.push(at.pack.reference),
                None => return Ok(false),
            }
        }
        for p in packs {
            if uncommitted.contains(&p) && !self.referenced.contains(&p) {
                self.referenced.push(p);
            }
        }
        Ok(true)
    }

    /// A deletion, a directory or a link: left for the next session where there is no room.
    fn item_if_room(
        &mut self,
        c: &Collection,
        local: &LocalState,
        path: &RelPath,
        sealed: Option<(Stat, Node<SealedContent>)>,
        change: Change,
    ) -> Result<(), EngineError> {
        if self.has_room(1) {
            return self.item(c, local, path, sealed, change);
        }
        self.leave(path);
        Ok(())
    }

    fn item(
        &mut self,
        c: &Collection,
        local: &LocalState,
        path: &RelPath,
        sealed: Option<(Stat, Node<SealedContent>)>,
        change: Change,
    ) -> Result<(), EngineError> {
        let base = local.rows.get(path).map(|r| entry_of(&r.node));
        self.seal(c, path, base, change)?;
        self.kept.push(TailItem {
            collection: c.pk,
            path: path.clone(),
            sealed: sealed_of(sealed),
        });
        self.report.items += 1;
        Ok(())
    }

    /// Puts one item into the pack.
    fn seal(
        &mut self,
        c: &Collection,
        path: &RelPath,
        base: Option<Entry>,
        change: Change,
    ) -> Result<(), EngineError> {
        let item = Item {
            version: ITEM_VERSION,
            collection: c.id,
            path: path.as_bytes().to_vec(),
            base,
            change,
        };
        let context = ItemContext {
            vault: self.object.body.vault,
            epoch: self.object.body.epoch,
            card: self.session.card,
            n: self.session.n,
            index: u32::try_from(self.hashes.len()).unwrap_or(u32::MAX),
        };
        let sealed = item.seal(&self.object.body.outbox_key, &context, &mut self.rng)?;
        let length = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        self.hashes.push(item_hash(&sealed));
        self.pack.extend_from_slice(&length.to_be_bytes());
        self.pack.extend_from_slice(&sealed);
        self.report.bytes += sealed.len() as u64;
        if self.pack.len() >= self.pack_target {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), EngineError> {
        if self.pack.is_empty() {
            return Ok(());
        }
        let mut id = [0; 16];
        self.rng.fill_bytes(&mut id);
        let id = PackId(id);
        let path = pack_file(self.outbox, &id);
        let data = std::mem::take(&mut self.pack);
        let write = || -> std::io::Result<()> {
            use std::io::Write;
            use std::os::unix::fs::DirBuilderExt;
            if !self.outbox.is_dir() {
                let mut dirs = std::fs::DirBuilder::new();
                dirs.recursive(true).mode(0o700).create(self.outbox)?;
            }
            let mut f = std::fs::File::create(&path)?;
            f.write_all(&data)?;
            f.sync_all()?;
            // Its name, too, must outlast a power cut: the tail that names it does.
            std::fs::File::open(self.outbox)?.sync_all()
        };
        let _step = simsync_failpoint::step("daemon.outbox.pack");
        write().map_err(EngineError::io(&path))?;
        self.packs.push(PackRef {
            id,
            collection: CollectionId::OUTBOX,
            size: data.len() as u64,
        });
        Ok(())
    }
}

fn file_of(stat: Stat, content: SealedContent) -> Option<(Stat, Node<SealedContent>)> {
    let mode = stat.mode;
    Some((stat, Node::File { mode, content }))
}

fn sealed_of(what: Option<(Stat, Node<SealedContent>)>) -> Option<Sealed> {
    let (stat, node) = what?;
    let node = Some(node);
    Some(Sealed { stat, node })
}
