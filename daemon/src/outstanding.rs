//! What is not where it should be: the one list that says so, until it is.
//!
//! Whoever looks at something (a scan, the reading of files, writing, the tail, a guard) reports what it could not do, and
//! replaces only what it reported itself, of what it looked at. So another sync's success clears nothing.

use simsync_card::ids::Hash;
use simsync_sync::node::RelPath;

use crate::store::CollectionPk;

/// Most paths that are kept for one code of one producer; what is more is counted.
pub const PATHS_MAX: usize = 1_000;

/// Who found out.
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
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $person:literal, $remedy:literal;)*) => {
        /// Why something is not where it should be.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code that D-Bus, JSON and the database know.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Whether it stays so until a person does something.
            pub fn needs_person(self) -> bool {
                match self { $(Self::$name => $person,)* }
            }

            /// Whether it is a question, which `collections answer` answers.
            pub fn asks(self) -> bool {
                matches!(
                    self,
                    Self::Unseen | Self::RootMissing | Self::RootEmpty | Self::MassDeletion
                )
            }

            /// Whether another look may find it mended without a change in the folder itself.
            pub fn may_mend(self) -> bool {
                !matches!(
                    self,
                    Self::Special
                        | Self::PathTooLong
                        | Self::TooDeep
                        | Self::ListingTooLarge
                        | Self::NotTaken
                )
            }

            /// What helps.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

codes! {
    /// The system does not let us look at it.
    Unreadable = "unreadable", true, "make it readable for you";
    /// It was on another file system that is not mounted now, or below a folder that is another one now.
    Unseen = "unseen", true, "mount its disk; if that is gone for good, say what is to become of it: `simsync collections answer NAME deleted|give-back|stop`";
    /// A FIFO, a socket or a device.
    Special = "special", true, "only files, folders and links are synced: remove it, or move it out of the collection";
    /// Longer than a path may be.
    PathTooLong = "path-too-long", true, "shorten the names above it";
    /// Too many folders within each other.
    TooDeep = "too-deep", true, "move it up: 512 folders within each other are synced, no more";
    /// A folder with too many entries.
    ListingTooLarge = "listing-too-large", true, "put some of the folder's entries into folders of their own";
    /// It was written while it was read.
    Changing = "changing", false, "it is taken when it rests";
    /// It changed here while the vault's version was about to be written.
    ChangedMeanwhile = "changed-meanwhile", false, "both versions are looked at again at the next sync";
    /// Another terminal changed it, and the owner wants to look before it is taken.
    NotTaken = "not-taken", true, "another terminal changed it: look, and take it, with `simsync sync --review`";
    /// It cannot be written here.
    NotWritable = "not-writable", true, "make it and its folder writable for you";
    /// There is no room on the disk.
    DiskFull = "disk-full", true, "make room on the disk; it is tried again by itself";
    /// The disk refuses.
    Io = "disk-error", true, "look at the disk";
    /// A piece of it is in no pack that this terminal has.
    VaultIncomplete = "vault-incomplete", false, "another terminal may still be uploading it; it is tried again";
    /// What the vault has of it cannot be used.
    VaultDamaged = "vault-damaged", true, "what the server has of it does not open; ask its operator, or write it anew on the terminal that has it";
    /// The collection's folder is missing.
    RootMissing = "root-missing", true, "mount its disk, or say what is to become of it: `simsync collections answer NAME deleted|give-back|stop`";
    /// The collection's folder is empty, and was not.
    RootEmpty = "root-empty", true, "mount its disk, or say what is to become of it: `simsync collections answer NAME deleted|give-back|stop`";
    /// Very many deletions at once.
    MassDeletion = "mass-deletion", true, "say whether that is meant: `simsync collections answer NAME deleted|give-back|stop`";
    /// There was no time or room for it when the card was pulled.
    NotSealed = "not-sealed", true, "it is on this terminal only: put the card in here again";
    /// The collection could not be looked at.
    CollectionFailed = "collection-failed", true, "it is tried again; `simsync doctor` may tell more";
}

impl std::str::FromStr for Code {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        Self::ALL
            .iter()
            .find(|c| c.as_str() == s)
            .copied()
            .ok_or(())
    }
}

/// One thing that a producer reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Why.
    pub code: Code,
    /// Where, below the collection's root; empty is the collection itself. Bytes, since it may be longer than a path.
    pub path: Vec<u8>,
    /// What the system said, or nothing.
    pub detail: String,
}

impl Report {
    /// Of one path.
    pub fn path(code: Code, path: &RelPath, detail: impl Into<String>) -> Self {
        Self {
            code,
            path: path.as_bytes().to_vec(),
            detail: detail.into(),
        }
    }

    /// Of a collection as a whole.
    pub fn whole(code: Code, detail: impl Into<String>) -> Self {
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
    /// Why.
    pub code: Code,
    /// Who found out.
    pub producer: Producer,
    /// Which collection.
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
    pub fn add(&mut self, code: Code, count: u64) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_word() {
        for code in Code::ALL {
            assert_eq!(code.as_str().parse(), Ok(*code));
            assert!(!code.remedy().is_empty());
        }
        assert!("something".parse::<Code>().is_err());
    }

    /// docs/errors.md lists every code with what helps.
    #[test]
    fn the_document_lists_them_all() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");
        let text = std::fs::read_to_string(path).unwrap();
        for code in Code::ALL {
            let word = if code.needs_person() {
                "you"
            } else {
                "by itself"
            };
            let begin = format!("| *{}* | {word} |", code.as_str());
            let row = text.lines().find(|l| l.starts_with(&begin));
            let row = row.unwrap_or_else(|| panic!("no row {begin}"));
            // In the document a bar ends a cell.
            let remedy = code.remedy().replace('|', "\\|");
            assert!(row.ends_with(&format!("| {remedy} |")), "{row}");
        }
        let rows = text.lines().filter(|l| l.starts_with("| *")).count();
        assert_eq!(rows, Code::ALL.len());
    }
}
