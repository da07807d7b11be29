//! What is not where it should be: the one list that says so, until it is.
//!
//! Whoever looks at something (a scan, the reading of files, writing, the tail, a guard) reports what it could not do, and
//! replaces only what it reported itself, of what it looked at. So another sync's success clears nothing.

use simsync_card::ids::Hash;
pub use simsync_codes::Unsynced;
use simsync_sync::node::RelPath;

use crate::store::CollectionPk;

/// Most paths that are kept for one code of one producer; what is more is counted.
pub const PATHS_MAX: usize = 1_000;

/// What found out. Each producer replaces only what it reported itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Producer {
    /// Looking at a collection's folder.
    Scan = 0,
    /// Reading files that changed.
    Read = 1,
    /// Writing what others changed.
    Apply = 2,
    /// Putting changes into the vault's trees.
    Publish = 3,
    /// Sealing what was left when the card was pulled.
    Tail = 4,
    /// A collection as a whole.
    Collection = 5,
    /// Merging what other terminals sealed.
    Merge = 6,
    /// Tails of other terminals that wait, since they cannot be merged as they came.
    Waiting = 7,
}

/// One thing that a producer reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The reason, as D-Bus and JSON name it.
    pub code: Unsynced,
    /// Where, below the collection's root; empty is the collection itself. Bytes, since it may be longer than a path.
    pub path: Vec<u8>,
    /// What the system said, or nothing.
    pub detail: String,
}

impl Report {
    /// Of one path below the collection's root.
    pub fn path(code: Unsynced, path: &RelPath, detail: impl Into<String>) -> Self {
        Self {
            code,
            path: path.as_bytes().to_vec(),
            detail: detail.into(),
        }
    }

    /// Of a collection as a whole.
    pub fn whole(code: Unsynced, detail: impl Into<String>) -> Self {
        Self {
            code,
            path: Vec::new(),
            detail: detail.into(),
        }
    }
}

/// One row of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outstanding {
    /// The reason, as D-Bus and JSON name it.
    pub code: Unsynced,
    /// What found out; a later report of the same producer replaces the row.
    pub producer: Producer,
    /// Row number of the collection that the path is in.
    pub collection: CollectionPk,
    /// Where; empty is the collection itself, or further paths of which only the number is known.
    pub path: Vec<u8>,
    /// What the system said, or nothing.
    pub detail: String,
    /// Since when, milliseconds since 1970.
    pub since_ms: i64,
    /// How many paths this row stands for.
    pub count: u64,
}

/// What stands for all open questions of a collection: another text where one of them is another, empty where there is none.
pub fn question_of(open: &[Report]) -> String {
    if open.is_empty() {
        return String::new();
    }
    let mut all = Vec::new();
    for r in open {
        for part in [r.code.as_str().as_bytes(), &r.path, r.detail.as_bytes()] {
            all.extend((part.len() as u64).to_be_bytes());
            all.extend(part);
        }
    }
    Hash::of(&all).to_string()
}

/// The open questions of a collection.
pub fn questions(rows: &[Outstanding], collection: CollectionPk) -> Vec<Report> {
    let of_it = |r: &&Outstanding| r.collection == collection && r.code.asks();
    let mut open: Vec<Report> = rows
        .iter()
        .filter(of_it)
        .map(|r| Report {
            code: r.code,
            path: r.path.clone(),
            detail: r.detail.clone(),
        })
        .collect();
    open.sort_by(|a, b| (a.code, &a.path, &a.detail).cmp(&(b.code, &b.path, &b.detail)));
    open
}

/// The list in two numbers: what decides about the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Paths, or whole collections, that stay so until a person does something.
    pub person: u64,
    /// Those that are tried again by themselves.
    pub waiting: u64,
    /// Of both, those that another look may find mended: a disk that is mounted again, room that was made.
    pub mendable: u64,
}

impl Summary {
    /// Counts further paths of one code.
    pub fn add(&mut self, code: Unsynced, count: u64) {
        let n = if code.needs_person() {
            &mut self.person
        } else {
            &mut self.waiting
        };
        *n = n.saturating_add(count);
        if code.may_mend() {
            self.mendable = self.mendable.saturating_add(count);
        }
    }

    /// All of them.
    pub fn all(self) -> u64 {
        self.person.saturating_add(self.waiting)
    }

    /// Whether everything is where it should be.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}
