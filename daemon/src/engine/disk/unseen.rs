//! What cannot be seen is not deleted: parts of a collection whose disk is not there, or is another one now.

use std::collections::HashSet;

use simsync_sync::dir::{Hides, Mount, Skipped};
use simsync_sync::node::RelPath;

use crate::outstanding::{Report, Unsynced};

/// A part of which what is missing is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    /// Its top; none is the root.
    path: Option<RelPath>,
    why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Something was mounted there and is not now: nothing there is what it was.
    NotMounted,
    /// Another file system than before, or the first one, is mounted there: what it has counts, what it lacks is unknown.
    OtherDisk,
    /// The root is another folder than before: the same.
    OtherFolder,
}

impl Unseen {
    /// Whether it is the collection as a whole.
    pub fn is_root(&self) -> bool {
        self.path.is_none()
    }

    /// What is to be said of it.
    pub fn report(&self) -> Report {
        let detail = match self.why {
            Why::NotMounted => "what was mounted there is not mounted now",
            Why::OtherDisk => "something else is mounted there than before, and it lacks a part",
            Why::OtherFolder => "the folder is another one than before, and it lacks a part",
        };
        Report {
            code: Unsynced::Unseen,
            path: self
                .path
                .as_ref()
                .map_or_else(Vec::new, |p| p.as_bytes().to_vec()),
            detail: detail.to_owned(),
        }
    }
}

/// Compares what is mounted below a root with what was. `missing` are the paths of rows that were not met.
pub fn unseen_parts(
    other_folder: bool,
    known: &[Mount],
    now: &[Mount],
    was_met: &dyn Fn(&RelPath) -> bool,
    missing: &mut dyn Iterator<Item = &RelPath>,
) -> Vec<Unseen> {
    let missing: Vec<&RelPath> = missing.collect();
    let below = |top: &RelPath| missing.iter().any(|p| *p == top || top.is_above(p));
    let mut out = Vec::new();
    if other_folder && !missing.is_empty() {
        out.push(Unseen {
            path: None,
            why: Why::OtherFolder,
        });
    }
    for k in known {
        match now.iter().find(|m| m.path == k.path) {
            Some(m) if m.fs == k.fs => {}
            Some(_) if below(&k.path) => out.push(Unseen {
                path: Some(k.path.clone()),
                why: Why::OtherDisk,
            }),
            Some(_) => {}
            None if below(&k.path) || was_met(&k.path) => out.push(Unseen {
                path: Some(k.path.clone()),
                why: Why::NotMounted,
            }),
            None => {}
        }
    }
    for m in now {
        let new = !known.iter().any(|k| k.path == m.path);
        if new && below(&m.path) {
            out.push(Unseen {
                path: Some(m.path.clone()),
                why: Why::OtherDisk,
            });
        }
    }
    out
}

/// What is to be remembered as mounted: what is there now, and what is waited for.
pub fn remembered(known: &[Mount], now: &[Mount], parts: &[Unseen]) -> Vec<Mount> {
    let waits = |path: &RelPath| parts.iter().any(|p| p.path.as_ref() == Some(path));
    let mut out: Vec<Mount> = known.iter().filter(|k| waits(&k.path)).cloned().collect();
    out.extend(now.iter().filter(|m| !waits(&m.path)).cloned());
    out.sort_by(|a, b| a.path.cmp(&b.path));
    out
}

/// Paths of which nothing is known now.
#[derive(Debug, Clone, Default)]
pub struct Hidden {
    all: bool,
    paths: HashSet<Vec<u8>>,
    subtrees: HashSet<Vec<u8>>,
    /// Of these not even what is there counts: they themselves, and everything below.
    blind: HashSet<Vec<u8>>,
    /// Below these nothing can be looked at.
    closed: HashSet<Vec<u8>>,
}

impl Hidden {
    pub fn of(skipped: &[Skipped]) -> Self {
        let mut out = Self::default();
        for s in skipped {
            match s.hides {
                Hides::Nothing => {}
                Hides::Path => {
                    out.paths.insert(s.path.clone());
                }
                Hides::Subtree if s.path.is_empty() => out.all = true,
                Hides::Subtree => {
                    out.closed.insert(s.path.clone());
                    out.subtrees.insert(s.path.clone());
                }
            }
        }
        out
    }

    pub fn add(&mut self, part: &Unseen) {
        let Some(path) = &part.path else {
            self.all = true;
            return;
        };
        if part.why == Why::NotMounted {
            self.blind.insert(path.as_bytes().to_vec());
        }
        self.subtrees.insert(path.as_bytes().to_vec());
    }

    /// Whether a path that was not met may be there all the same.
    pub fn covers(&self, path: &RelPath) -> bool {
        self.all || self.paths.contains(path.as_bytes()) || has_above(&self.subtrees, path)
    }

    /// Whether nothing is to be read from, or written to, this path now.
    pub fn takes_nothing(&self, path: &RelPath) -> bool {
        has_above(&self.blind, path)
            || path
                .parent()
                .is_some_and(|folder| has_above(&self.closed, &folder))
    }
}

/// Whether a path or one above it is in the set.
fn has_above(set: &HashSet<Vec<u8>>, path: &RelPath) -> bool {
    if set.is_empty() {
        return false;
    }
    let bytes = path.as_bytes();
    let cuts = bytes
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'/')
        .map(|(i, _)| i);
    cuts.chain([bytes.len()])
        .any(|end| set.contains(&bytes[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use simsync_sync::dir::FsId;

    fn p(s: &str) -> RelPath {
        RelPath::new(s).unwrap()
    }

    fn mount(path: &str, fs: u64) -> Mount {
        Mount {
            path: p(path),
            fs: FsId(fs),
        }
    }

    /// What is unseen, and what is remembered then.
    fn unseen_of(known: &[Mount], now: &[Mount], missing: &[&str]) -> (Vec<Unseen>, Vec<Mount>) {
        let missing: Vec<RelPath> = missing.iter().map(|s| p(s)).collect();
        let parts = unseen_parts(false, known, now, &|_| false, &mut missing.iter());
        let remembered = remembered(known, now, &parts);
        (parts, remembered)
    }

    #[test]
    fn f_a1_only_what_was_on_a_disk_that_is_away_is_unseen() {
        let disk = [mount("disk", 1)];
        // There and complete, or with deletions: as any folder.
        assert_eq!(
            unseen_of(&disk, &disk, &["disk/a"]),
            (vec![], disk.to_vec())
        );
        // Away.
        let (parts, remembered) = unseen_of(&disk, &[], &["disk/a", "other"]);
        assert_eq!((parts.len(), &remembered[..]), (1, &disk[..]));
        let mut hidden = Hidden::default();
        hidden.add(&parts[0]);
        assert!(hidden.covers(&p("disk")) && hidden.covers(&p("disk/a/b")));
        assert!(hidden.takes_nothing(&p("disk/new")));
        assert!(!hidden.covers(&p("diskette")) && !hidden.covers(&p("other")));
        // Another disk: what it has counts, and it is known once nothing is missing.
        let other = [mount("disk", 2)];
        let (parts, remembered) = unseen_of(&disk, &other, &["disk/a"]);
        assert_eq!((parts.len(), &remembered[..]), (1, &disk[..]));
        assert_eq!(unseen_of(&disk, &other, &[]), (vec![], other.to_vec()));
        // Mounted over what was there.
        assert_eq!(unseen_of(&[], &disk, &["disk/a"]).0.len(), 1);
        assert_eq!(unseen_of(&[], &disk, &[]), (vec![], disk.to_vec()));
        // A mount point that went with all that it had, and had nothing.
        assert_eq!(unseen_of(&disk, &[], &[]), (vec![], vec![]));
    }

    #[test]
    fn f_a1_another_folder_in_place_of_the_root_hides_what_it_lacks() {
        let missing = [p("a")];
        let parts = unseen_parts(true, &[], &[], &|_| false, &mut missing.iter());
        assert!(parts.len() == 1 && parts[0].is_root());
        let none = unseen_parts(true, &[], &[], &|_| false, &mut [].iter());
        assert!(none.is_empty());
    }
}
