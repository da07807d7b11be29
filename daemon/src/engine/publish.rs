//! The commit: everything that one sync gives, signed by the terminal, moved by compare-and-set.

use std::sync::Arc;

use simsync_card::ids::{Hash, TerminalId};
use simsync_card::sign::SecretKey;
use simsync_protocol::api::{B64, NewKeyObject};
use simsync_vault::commit::{CollectionRoot, Commit, CommitBody, PackRef, SessionRef};
use simsync_vault::ids::{CollectionId, ObjectId, PackId};
use simsync_vault::keyobject::{KeyObject, Wrap};
use simsync_vault::metadata::{AgreedDeletions, CollectionMeta, Metadata};
use simsync_vault::restore::Restore;

use super::EngineError;
use super::cancel::KeyCell;
use super::clock::now_ms;
use super::progress::Progress;
use super::random::fresh_rng;
use super::session::Session;
use super::wire::Wire;
use crate::engine::plan::options::SyncOptions;
use crate::engine::send::uploader::uncommitted_packs;
use crate::engine::tails::merge::MergedTails;
use crate::store::{Collection, SentCollection, Store};

/// A commit in the making.
pub struct Draft {
    head: Option<Commit>,
    metadata: Metadata,
    roots: Vec<CollectionRoot>,
    merged: MergedTails,
    packs: Vec<PackRef>,
    closing: bool,
    restore: Option<(Restore, Hash)>,
    needed: bool,
    /// What is true of collections once the commit is taken.
    collections: Vec<SentCollection>,
    /// Paths that the commit changes.
    pub published: usize,
}

impl Draft {
    /// On top of `head`.
    pub fn new(
        head: Option<&Commit>,
        mut metadata: Metadata,
        merged: MergedTails,
        options: &SyncOptions,
    ) -> Self {
        // What was agreed to belongs to the commit that it was said for.
        metadata.agreed.clear();
        let mut draft = Self {
            head: head.cloned(),
            metadata,
            roots: head.map(|h| h.body.roots.clone()).unwrap_or_default(),
            needed: options.closing || options.key_object.is_some() || !merged.named.is_empty(),
            merged,
            packs: Vec::new(),
            closing: options.closing,
            restore: options.restore.clone(),
            collections: Vec::new(),
            published: 0,
        };
        for (id, root) in draft.merged.roots.clone() {
            draft.set_root(id, root);
        }
        draft
    }

    /// Root of a collection in the commit that this draft stands on.
    pub fn head_root(&self, id: &CollectionId) -> Option<ObjectId> {
        self.head.as_ref().and_then(|h| h.root(id))
    }

    fn set_root(&mut self, collection: CollectionId, root: ObjectId) {
        match self
            .roots
            .binary_search_by_key(&collection, |r| r.collection)
        {
            Ok(i) => self.roots[i].root = root,
            Err(i) => self.roots.insert(i, CollectionRoot { collection, root }),
        }
    }

    /// Sets what a collection becomes.
    pub fn set(&mut self, c: &Collection, root: ObjectId, what: SentCollection) {
        if self.head_root(&c.id).unwrap_or(ObjectId::ZERO) != root {
            self.needed = true;
        }
        if !self.metadata.collections.iter().any(|m| m.id == c.id) {
            self.needed = true;
            self.metadata.collections.push(CollectionMeta {
                id: c.id,
                attribute: c.attribute.clone(),
                name: c.name.clone(),
            });
            self.metadata.collections.sort_by_key(|m| m.id);
        }
        self.set_root(c.id, root);
        self.collections.push(what);
    }

    /// The owner said yes to so many deletions in a collection.
    pub fn agree(&mut self, collection: &CollectionId, count: u64) {
        let agreed = &mut self.metadata.agreed;
        agreed.retain(|a| a.collection != *collection);
        agreed.push(AgreedDeletions {
            collection: *collection,
            count,
        });
        agreed.sort_by_key(|a| a.collection);
        self.needed = true;
    }

    /// There is something to commit besides what collections become.
    pub fn need(&mut self) {
        self.needed = true;
    }

    /// Whether there is anything to commit.
    pub fn is_needed(&self) -> bool {
        self.needed
    }

    /// Names of the packs that the commit adds.
    pub fn pack_ids(&self) -> Vec<PackId> {
        self.packs.iter().map(|p| p.id).collect()
    }
}

/// Signs commits, and sends them.
#[derive(Clone)]
pub(super) struct Publisher {
    store: Arc<Store>,
    keys: KeyCell,
    /// The terminal's key, unsealed.
    key: Arc<SecretKey>,
    wire: Wire,
    progress: Arc<Progress>,
}

impl Publisher {
    /// Signed by this terminal's key; what is sent is noted in this database before.
    pub(super) fn new(
        store: Arc<Store>,
        keys: KeyCell,
        key: Arc<SecretKey>,
        wire: Wire,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            store,
            keys,
            key,
            wire,
            progress,
        }
    }

    /// Signs the draft and sends it. A commit that the server took although its answer was lost is found by sending the
    /// very same commit again.
    pub fn commit(
        &self,
        session: &Session,
        draft: &mut Draft,
        key_object: Option<&(KeyObject, Vec<Wrap>)>,
    ) -> Result<Commit, EngineError> {
        draft.packs = uncommitted_packs(&self.store)?;
        draft.packs.retain(|p| p.collection != CollectionId::OUTBOX);
        for p in &draft.merged.packs {
            if !draft.packs.iter().any(|q| q.id == p.id) {
                draft.packs.push(*p);
            }
        }
        draft.metadata.time_ms = now_ms();
        let (sealed, epoch, vault) = self.keys.with(|k| {
            (
                draft.metadata.seal(k, &mut fresh_rng()),
                k.epoch(),
                *k.vault(),
            )
        })?;
        let sealed = sealed?;
        let (list_number, list_hash) = match key_object {
            Some((object, _)) => (object.body.list_number, object.hash()),
            None => {
                let w = self.store.witness()?;
                (w.list_number, w.list_hash)
            }
        };
        let mut tails: Vec<SessionRef> = draft.merged.named.clone();
        tails.sort_unstable();
        tails.dedup();
        let previous = draft.head.as_ref().map_or(Hash::ZERO, Commit::hash);
        let restore = draft.restore.clone();
        if restore
            .as_ref()
            .is_some_and(|(_, after)| *after != previous)
        {
            // The card signed for the head of before. The owner gives the order once more.
            return Err(EngineError::Busy);
        }
        let restore = restore.map(|(restore, _)| restore);
        let head = draft.head.as_ref().map_or(0, |h| h.body.sequence);
        let body = CommitBody {
            version: CommitBody::version_with(restore.as_ref()),
            vault,
            epoch,
            sequence: restore.as_ref().map_or(head, |r| r.sequence) + 1,
            previous,
            roots: draft.roots.clone(),
            packs_added: draft.packs.clone(),
            packs_dropped: Vec::new(),
            list_number,
            list_hash,
            terminal: TerminalId::of(&self.key.point()),
            session: session.statement.clone(),
            closing: draft.closing,
            tails_merged: tails,
            metadata: sealed,
            restore,
        };
        let commit = Commit::sign(body, &self.key);
        let new_list = || {
            key_object.map(|(object, wraps)| NewKeyObject {
                signed: B64(object.to_bytes()),
                wraps: wraps.clone(),
            })
        };
        self.progress.step("committing", 0);
        let collections = std::mem::take(&mut draft.collections);
        self.store.note_sent(&commit.hash(), &collections)?;
        drop(collections);
        let _step = simsync_failpoint::step("daemon.commit.sent");
        let answer = match self
            .wire
            .net(session.conn.commit(commit.to_bytes(), new_list()))
        {
            Err(EngineError::Server(e)) if e.is_transient() && e.code().is_none() => self
                .wire
                .net(session.conn.commit(commit.to_bytes(), new_list()))?,
            other => other?,
        };
        tracing::debug!(sequence = answer.head.sequence, "committed");
        if let Some((object, wraps)) = key_object {
            self.store.add_key_object(object, wraps)?;
        }
        Ok(commit)
    }
}
