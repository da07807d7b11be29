//! Content is stored once in each collection. Terminals before that took content of another collection for stored: then
//! whoever syncs only one of the two lacks it. A terminal that has both gives it to the collection that lacks it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use simsync_vault::ids::ObjectId;
use simsync_vault::seal::Kind;
use simsync_vault::tree::Entry;
use simsync_vault::treeops::DirSource;

use super::EngineError;
use super::cancel::{Cancel, KeyCell};
use super::random::fresh_rng;
use crate::engine::plan::round::Round;
use crate::engine::vault::objects::Vault;
use crate::store::{Collection, Store};

/// Objects that are looked up at once.
const NAMED_MAX: usize = 65_536;

/// Gives collections what only others hold.
#[derive(Clone)]
pub(super) struct Healer {
    store: Arc<Store>,
    keys: KeyCell,
    vault: Vault,
    cancel: Cancel,
}

impl Healer {
    /// From the vault's objects, sealed anew with these keys, until this stops it.
    pub(super) fn new(store: Arc<Store>, keys: KeyCell, vault: Vault, cancel: Cancel) -> Self {
        Self {
            store,
            keys,
            vault,
            cancel,
        }
    }

    /// Looks once through everything that a collection's tree names, and puts into its packs what only other collections'
    /// packs hold. Answers whether everything is in its own packs now.
    pub(super) fn make_whole(
        &self,
        round: &Round<'_>,
        collection: &Collection,
        root: &ObjectId,
    ) -> Result<Whole, EngineError> {
        let mut out = Whole {
            given: 0,
            complete: true,
        };
        if *root == ObjectId::ZERO {
            return Ok(out);
        }
        let mut objects = self.vault.objects(round.session, collection.id);
        let mut named = Named::default();
        let mut seen: HashSet<ObjectId> = HashSet::from([*root]);
        let mut stack = vec![*root];
        while let Some(id) = stack.pop() {
            self.cancel.check()?;
            named.of_kind(Kind::Directory, [&id]);
            let listing = match objects.directory(&id) {
                Ok(listing) => listing,
                Err(error) if error.concerns_one_path() => {
                    out.complete = false;
                    continue;
                }
                Err(error) => return Err(error),
            };
            for entry in listing.entries.values() {
                match entry {
                    Entry::Directory { id, .. } if *id != ObjectId::ZERO && seen.insert(*id) => {
                        stack.push(*id);
                    }
                    Entry::File(f) => named.of_kind(Kind::Chunk, &f.chunks),
                    _ => {}
                }
            }
            named.look_up(&self.store, collection, NAMED_MAX)?;
        }
        named.look_up(&self.store, collection, 0)?;
        let lacking = named.lacking;
        let mut rng = fresh_rng();
        let chunks = lacking.iter().filter(|(_, kind)| **kind == Kind::Chunk);
        objects.prepare(chunks.map(|(id, _)| id))?;
        for (id, kind) in lacking {
            let plain = match kind {
                Kind::Directory => objects.directory(&id).map(|d| {
                    self.keys
                        .with(|k| zeroize::Zeroizing::new(d.to_object(k).1))
                }),
                _ => objects.chunk(&id).map(Ok),
            };
            let plain = match plain {
                Ok(plain) => plain?,
                Err(error) if error.concerns_one_path() => {
                    out.complete = false;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let sealed = self
                .keys
                .with(|k| k.seal(kind, &id.0, &plain, &mut rng))??;
            round
                .uploader
                .push(collection.id, kind, id, plain.len(), &sealed)?;
            out.given += 1;
        }
        if out.given > 0 {
            tracing::info!(
                collection = collection.name,
                objects = out.given,
                "given to the collection from others"
            );
        }
        Ok(out)
    }
}

/// Objects that a tree names, looked up in the packs of its collection in batches.
#[derive(Default)]
struct Named {
    unknown: Vec<(ObjectId, Kind)>,
    lacking: HashMap<ObjectId, Kind>,
}

impl Named {
    fn of_kind<'i>(&mut self, kind: Kind, ids: impl IntoIterator<Item = &'i ObjectId>) {
        self.unknown.extend(ids.into_iter().map(|id| (*id, kind)));
    }

    /// Looks up what was named, once it is more than this.
    fn look_up(
        &mut self,
        store: &Store,
        collection: &Collection,
        max: usize,
    ) -> Result<(), EngineError> {
        if self.unknown.len() <= max {
            return Ok(());
        }
        let kinds: BTreeMap<ObjectId, Kind> =
            std::mem::take(&mut self.unknown).into_iter().collect();
        // In the order of the index.
        let ids: Vec<ObjectId> = kinds.keys().copied().collect();
        let lacking = store.lacking(&collection.id, &ids)?;
        let with_kind = lacking
            .into_iter()
            .filter_map(|id| Some((id, *kinds.get(&id)?)));
        self.lacking.extend(with_kind);
        Ok(())
    }
}

/// What came of looking through a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whole {
    /// Objects that were put into its packs.
    pub(super) given: usize,
    /// Nothing is missing any more.
    pub(super) complete: bool,
}
