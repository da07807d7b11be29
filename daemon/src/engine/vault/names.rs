//! What is believed of a commit's metadata. Whoever may write a commit may write anything into it: names and attributes of a
//! collection are believed from terminals that sync it, chunk sizes from the vault's first commit.

use std::sync::Arc;

use simsync_vault::commit::Commit;
use simsync_vault::ids::CollectionId;
use simsync_vault::metadata::{CollectionMeta, Metadata};

use crate::engine::EngineError;
use crate::engine::cancel::KeyCell;
use crate::store::{Collection, Store};

/// Reads the metadata of commits.
#[derive(Clone)]
pub struct Names {
    store: Arc<Store>,
    keys: KeyCell,
}

impl Names {
    /// Of the chain in this database, opened with these keys.
    pub fn new(store: Arc<Store>, keys: KeyCell) -> Self {
        Self { store, keys }
    }

    /// What is believed of the newest commit's metadata; of a vault without one, what its first will say.
    pub fn believed(&self, head: Option<&Commit>) -> Result<Metadata, EngineError> {
        match head {
            Some(head) => self.believed_metadata(head),
            None => Ok(Metadata::new()),
        }
    }

    /// A commit's metadata as its author wrote it.
    pub fn open(&self, commit: &Commit) -> Result<Metadata, EngineError> {
        Ok(self
            .keys
            .with(|k| Metadata::open(k, &commit.body.metadata))??)
    }

    /// The metadata of a commit, with what is not its author's to say as it was before; writes names down.
    fn believed_metadata(&self, head: &Commit) -> Result<Metadata, EngineError> {
        let mut metadata = self.open(head)?;
        if let Some(first) = self.store.oldest_commit()? {
            metadata.chunker = self.open(&first)?.chunker;
        }
        let mut believed = Vec::with_capacity(metadata.collections.len());
        for c in std::mem::take(&mut metadata.collections) {
            believed.extend(self.believed_collection(head, c)?);
        }
        // One that a commit leaves out is there all the same.
        for known in self.store.collections()? {
            let is_there = believed.iter().any(|c: &CollectionMeta| c.id == known.id);
            if !is_there && head.root(&known.id).is_some() {
                believed.push(CollectionMeta {
                    id: known.id,
                    attribute: known.attribute,
                    name: known.name,
                });
            }
        }
        believed.sort_by_key(|c| c.id);
        for c in &believed {
            self.store.put_collection(&c.id, &c.attribute, &c.name)?;
        }
        metadata.collections = believed;
        Ok(metadata)
    }

    /// A collection by the word of the newest commit whose author syncs it.
    fn believed_collection(
        &self,
        head: &Commit,
        said: CollectionMeta,
    ) -> Result<Option<CollectionMeta>, EngineError> {
        if self.may_name(head, &said.id)? {
            return Ok(Some(said));
        }
        let known = self.store.collections()?;
        let same = |c: &Collection| {
            (c.id, &c.attribute, &c.name) == (said.id, &said.attribute, &said.name)
        };
        if known.iter().any(same) {
            return Ok(Some(said));
        }
        for commit in self.store.newest_commits(u32::MAX)? {
            if self.may_name(&commit, &said.id)? {
                let metadata = self.open(&commit)?;
                let found = metadata.collections.into_iter().find(|c| c.id == said.id);
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    /// Whether a commit's author syncs a collection, by the key object that the commit names.
    fn may_name(&self, commit: &Commit, id: &CollectionId) -> Result<bool, EngineError> {
        let objects = self.store.key_objects()?;
        let list = objects
            .iter()
            .find(|o| o.body.list_number == commit.body.list_number);
        let author = list.and_then(|o| o.body.terminal(&commit.body.terminal));
        Ok(author.is_some_and(|t| t.collections.contains(id)))
    }
}
