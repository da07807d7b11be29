//! Content is stored once in each collection. Terminals before that took content of another collection for stored: then
//! whoever syncs only one of the two lacks it. A terminal that has both gives it to the collection that lacks it.

use std::collections::{HashMap, HashSet};

use simsync_vault::ids::ObjectId;
use simsync_vault::seal::Kind;
use simsync_vault::tree::Entry;
use simsync_vault::treeops::DirSource;

use super::objects::Objects;
use super::planning::Round;
use super::upload::fresh_rng;
use super::{Engine, EngineError};
use crate::store::Collection;

impl Engine {
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
        let mut objects = Objects::new(self, round.session, collection.id);
        let mut lacking: HashMap<ObjectId, Kind> = HashMap::new();
        let mut seen: HashSet<ObjectId> = HashSet::from([*root]);
        let mut stack = vec![*root];
        while let Some(id) = stack.pop() {
            self.cancel.check()?;
            if !self.store.has_object(&collection.id, &id)? {
                lacking.insert(id, Kind::Directory);
            }
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
                    Entry::File(f) => {
                        for chunk in &f.chunks {
                            if !self.store.has_object(&collection.id, chunk)? {
                                lacking.insert(*chunk, Kind::Chunk);
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
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

/// What came of looking through a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whole {
    /// Objects that were put into its packs.
    pub(super) given: usize,
    /// Nothing is missing any more.
    pub(super) complete: bool,
}
