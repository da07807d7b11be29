//! Rows of the last sync, as a plan needs them: all of them after a look at everything, else those that somebody asks for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use elsa::FrozenMap;
use simsync_sync::node::RelPath;

use crate::store::{CollectionPk, FileRow, Store, StoreError};

/// Rows of one collection.
#[derive(Debug, Default)]
pub struct Rows {
    known: HashMap<RelPath, FileRow>,
    others: Option<Others>,
    len: usize,
}

/// The rows that nobody asked for yet.
struct Others {
    store: Arc<Store>,
    collection: CollectionPk,
    /// What the store said of a path.
    asked: FrozenMap<RelPath, Box<Option<FileRow>>>,
    /// Why it once could not be asked: from then on nothing that was said is to be relied on.
    failed: RefCell<Option<StoreError>>,
}

impl From<HashMap<RelPath, FileRow>> for Rows {
    fn from(all: HashMap<RelPath, FileRow>) -> Self {
        let len = all.len();
        Self {
            known: all,
            others: None,
            len,
        }
    }
}

impl Rows {
    /// These, and whatever else the collection has.
    pub fn of_store(
        known: HashMap<RelPath, FileRow>,
        store: Arc<Store>,
        collection: CollectionPk,
    ) -> Result<Self, StoreError> {
        let len = store.row_count(collection)?;
        let others = Others {
            store,
            collection,
            asked: FrozenMap::new(),
            failed: RefCell::new(None),
        };
        Ok(Self {
            known,
            others: Some(others),
            len,
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The row of a path.
    pub fn get(&self, path: &RelPath) -> Option<&FileRow> {
        let known = self.known.get(path);
        known.or_else(|| self.others.as_ref()?.get(path))
    }

    /// Whether a path has a row.
    pub fn contains_key(&self, path: &RelPath) -> bool {
        self.get(path).is_some()
    }

    /// Writes a row, here only.
    pub fn insert(&mut self, path: RelPath, row: FileRow) {
        let is_new = !self.contains_key(&path);
        self.known.insert(path, row);
        self.len += usize::from(is_new);
    }

    /// Takes a row away, here only.
    pub fn remove(&mut self, path: &RelPath) {
        let was_there = self.contains_key(path);
        self.known.remove(path);
        if let Some(others) = &mut self.others {
            let asked: &mut HashMap<_, _> = others.asked.as_mut();
            asked.insert(path.clone(), Box::new(None));
        }
        self.len -= usize::from(was_there);
    }

    /// All rows that are at hand, and whether that is all of them.
    pub fn at_hand(&self) -> (impl Iterator<Item = (&RelPath, &FileRow)>, bool) {
        (self.known.iter(), self.others.is_none())
    }

    /// Paths of those files, among the rows that are not at hand, in which a chunk is wanted.
    pub fn others_with(
        &self,
        wanted: &dyn Fn(&FileRow) -> bool,
    ) -> Result<Vec<RelPath>, StoreError> {
        let Some(others) = &self.others else {
            return Ok(Vec::new());
        };
        let mut out = Vec::new();
        others
            .store
            .each_file(others.collection, &mut |path, row| {
                if wanted(row) && !self.known.contains_key(path) {
                    out.push(path.clone());
                }
            })?;
        Ok(out)
    }

    /// An error if a row could not be had since. Until this is asked nothing may be done that cannot be undone.
    pub fn check(&self) -> Result<(), StoreError> {
        let failed = self.others.as_ref().and_then(|o| o.failed.take());
        failed.map_or(Ok(()), Err)
    }
}

impl Others {
    fn get(&self, path: &RelPath) -> Option<&FileRow> {
        if let Some(known) = self.asked.get(path) {
            return known.as_ref();
        }
        let row = match self.store.file(self.collection, path) {
            Ok(row) => row,
            Err(error) => {
                self.failed.replace(Some(error));
                return None;
            }
        };
        self.asked.insert(path.clone(), Box::new(row)).as_ref()
    }
}

impl fmt::Debug for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Others")
            .field("collection", &self.collection)
            .finish_non_exhaustive()
    }
}
