//! One bad path stops nothing else: too deep, too many entries, a listing that cannot be had.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::HashMap;

use simsync_vault::ids::ObjectId;
use simsync_vault::tree::{Directory, FileEntry};
use simsync_vault::treeops::{
    self, DEPTH_MAX, DirSource, Leaf, LeafChanges, ListingMax, ListingTooLarge, TooDeep,
    update_within,
};

#[derive(Debug, PartialEq)]
enum Why {
    Missing,
    Deep,
    Large,
}

impl From<TooDeep> for Why {
    fn from(_: TooDeep) -> Self {
        Self::Deep
    }
}

impl From<ListingTooLarge> for Why {
    fn from(_: ListingTooLarge) -> Self {
        Self::Large
    }
}

#[derive(Default)]
struct Dirs {
    known: HashMap<ObjectId, Vec<u8>>,
    aside: Vec<(String, Why)>,
}

impl DirSource for Dirs {
    type Error = Why;

    fn directory(&mut self, id: &ObjectId) -> Result<Directory, Why> {
        let bytes = self.known.get(id).ok_or(Why::Missing)?;
        Ok(Directory::from_bytes(bytes).unwrap())
    }

    fn set_aside(&mut self, path: &[u8], error: Why) -> Result<(), Why> {
        self.aside
            .push((String::from_utf8_lossy(path).into_owned(), error));
        Ok(())
    }
}

impl Dirs {
    fn update(&mut self, bytes: usize, root: ObjectId, changes: &LeafChanges) -> ObjectId {
        let entries = usize::MAX;
        self.update_within(ListingMax { bytes, entries }, root, changes)
    }

    fn update_within(
        &mut self,
        max: ListingMax,
        root: ObjectId,
        changes: &LeafChanges,
    ) -> ObjectId {
        let ring = common::ring();
        let (id, new) =
            update_within(max, &root, changes, &|dir| Ok(dir.to_object(&ring)), self).unwrap();
        self.known.extend(new);
        id
    }

    fn paths(&mut self, root: ObjectId) -> Vec<String> {
        let all = treeops::diff(&ObjectId::ZERO, &root, self).unwrap();
        let text = |p: &Vec<u8>| String::from_utf8_lossy(p).into_owned();
        all.keys().map(text).collect()
    }
}

fn file() -> Option<Leaf> {
    Some(Leaf::File(FileEntry {
        mode: 0o644,
        size: 0,
        mtime: 0,
        mtime_nanos: 0,
        chunks: Vec::new(),
    }))
}

fn changes(paths: &[(&str, Option<Leaf>)]) -> LeafChanges {
    paths
        .iter()
        .map(|(p, l)| (p.as_bytes().to_vec(), l.clone()))
        .collect()
}

#[test]
fn f_b1_folders_that_are_nested_too_deep_are_left_out_alone() {
    let mut dirs = Dirs::default();
    let mut all = changes(&[("beside", file())]);
    for depth in 1..=DEPTH_MAX + 2 {
        all.insert(
            vec!["d"; depth].join("/").into_bytes(),
            Some(Leaf::Dir(0o755)),
        );
    }
    let root = dirs.update(usize::MAX, ObjectId::ZERO, &all);
    let first_left_out = vec!["d"; DEPTH_MAX + 1].join("/");
    assert_eq!(dirs.aside, [(first_left_out, Why::Deep)]);
    let paths = dirs.paths(root);
    assert_eq!(paths.len(), 1 + DEPTH_MAX);
    assert!(paths.contains(&"beside".to_owned()));
}

#[test]
fn f_b1_a_full_folder_takes_changes_and_deletions_and_names_what_has_no_room() {
    let mut dirs = Dirs::default();
    let names: Vec<String> = (0..40).map(|i| format!("many/f{i:02}")).collect();
    let mut all = changes(&[("many", Some(Leaf::Dir(0o755))), ("other", file())]);
    all.extend(names.iter().map(|n| (n.clone().into_bytes(), file())));
    let root = dirs.update(300, ObjectId::ZERO, &all);
    let first = dirs.paths(root);
    let left_out = dirs.aside.len();
    assert!(left_out > 0 && left_out < 40, "{left_out}");
    assert!(
        dirs.aside
            .iter()
            .all(|(p, why)| p.starts_with("many/f") && *why == Why::Large)
    );
    assert_eq!(first.len(), 2 + 40 - left_out);
    assert!(first.contains(&"other".to_owned()));
    // A deletion makes room, and is not held up by what has none.
    dirs.aside.clear();
    let mut next = changes(&[("many/f00", None), ("many/f01", None)]);
    next.extend(names[2..].iter().map(|n| (n.clone().into_bytes(), file())));
    let root = dirs.update(300, root, &next);
    let second = dirs.paths(root);
    assert!(!second.contains(&"many/f00".to_owned()));
    assert_eq!(second.len() + dirs.aside.len(), 2 + 38);
}

#[test]
fn f_b1_a_listing_that_cannot_be_had_hides_its_folder_only() {
    let mut dirs = Dirs::default();
    let all = changes(&[
        ("bad", Some(Leaf::Dir(0o755))),
        ("bad/x", file()),
        ("good", Some(Leaf::Dir(0o755))),
    ]);
    let root = dirs.update(usize::MAX, ObjectId::ZERO, &all);
    let treeops_bad = |d: &mut Dirs| match d.directory(&root).unwrap().entries.get(&b"bad"[..]) {
        Some(simsync_vault::tree::Entry::Directory { id, .. }) => *id,
        other => panic!("{other:?}"),
    };
    let bad = treeops_bad(&mut dirs);
    dirs.known.remove(&bad);
    assert_eq!(dirs.paths(root), ["bad", "good"]);
    let more = changes(&[("bad/y", file()), ("good/z", file())]);
    let root = dirs.update(usize::MAX, root, &more);
    assert_eq!(treeops_bad(&mut dirs), bad, "as it was");
    assert_eq!(dirs.paths(root), ["bad", "good", "good/z"]);
    assert!(
        dirs.aside
            .iter()
            .all(|(p, why)| p == "bad" && *why == Why::Missing)
    );
}

/// A chain of folders named `d`, so many below the root, that no update of ours would have made; the last one holds a file.
fn chain(dirs: &mut Dirs, depth: usize) -> ObjectId {
    let keys = common::ring();
    let mut listing = Directory::default();
    let Some(Leaf::File(leaf)) = file() else {
        unreachable!("a file")
    };
    listing
        .entries
        .insert(b"f".to_vec(), simsync_vault::tree::Entry::File(leaf));
    for _ in 0..depth {
        let (id, bytes) = listing.to_object(&keys);
        dirs.known.insert(id, bytes);
        let folder = simsync_vault::tree::Entry::Directory { mode: 0o755, id };
        listing = Directory::default();
        listing.entries.insert(b"d".to_vec(), folder);
    }
    let (id, bytes) = listing.to_object(&keys);
    dirs.known.insert(id, bytes);
    id
}

#[test]
fn w_8_a_chain_of_folders_is_followed_so_deep_and_no_deeper() {
    let file_below = |depth: usize| format!("{}/f", vec!["d"; depth].join("/")).into_bytes();
    let too_deep = |depth: usize| [(vec!["d"; depth].join("/"), Why::Deep)];
    let mut dirs = Dirs::default();
    let most = chain(&mut dirs, DEPTH_MAX);
    let more = chain(&mut dirs, DEPTH_MAX + 1);

    let all = treeops::diff(&ObjectId::ZERO, &most, &mut dirs).unwrap();
    assert_eq!(all.len(), DEPTH_MAX + 1);
    assert_eq!(dirs.aside, []);
    let all = treeops::diff(&ObjectId::ZERO, &more, &mut dirs).unwrap();
    assert_eq!(all.len(), DEPTH_MAX + 1);
    assert_eq!(dirs.aside, too_deep(DEPTH_MAX + 1));

    dirs.aside.clear();
    let path = file_below(DEPTH_MAX);
    let found = treeops::lookup(&most, [&path[..]], &mut dirs).unwrap();
    assert_eq!(found[&path], file());
    assert_eq!(dirs.aside, []);
    let path = file_below(DEPTH_MAX + 1);
    let found = treeops::lookup(&more, [&path[..]], &mut dirs).unwrap();
    assert!(found.is_empty());
    assert_eq!(dirs.aside, too_deep(DEPTH_MAX + 1));

    dirs.aside.clear();
    let same = dirs.update(usize::MAX, more, &LeafChanges::from([(path, None)]));
    assert_eq!(same, more);
    assert_eq!(dirs.aside, too_deep(DEPTH_MAX + 1));
}

fn entry_of(dirs: &mut Dirs, root: ObjectId, name: &str) -> Option<simsync_vault::tree::Entry> {
    let listing = dirs.directory(&root).unwrap();
    listing.entries.get(name.as_bytes()).cloned()
}

#[test]
fn w_8_a_folder_with_other_permissions_keeps_what_is_in_it() {
    use simsync_vault::tree::Entry;
    let mut dirs = Dirs::default();
    let all = changes(&[("d", Some(Leaf::Dir(0o755))), ("d/x", file())]);
    let root = dirs.update(usize::MAX, ObjectId::ZERO, &all);
    let Some(Entry::Directory { id, .. }) = entry_of(&mut dirs, root, "d") else {
        panic!("a folder")
    };
    // Its listing is not even asked for.
    let listing = dirs.known.remove(&id).unwrap();
    let chmod = changes(&[("d", Some(Leaf::Dir(0o700)))]);
    let root = dirs.update(usize::MAX, root, &chmod);
    assert_eq!(dirs.aside, []);
    dirs.known.insert(id, listing);
    assert_eq!(
        entry_of(&mut dirs, root, "d"),
        Some(Entry::Directory { mode: 0o700, id })
    );
    assert_eq!(dirs.paths(root), ["d", "d/x"]);
    // With a change below at the same time, too.
    let both = changes(&[("d", Some(Leaf::Dir(0o500))), ("d/y", file())]);
    let root = dirs.update(usize::MAX, root, &both);
    assert_eq!(dirs.paths(root), ["d", "d/x", "d/y"]);
    // One that is new and empty has a listing of its own.
    let empty = changes(&[("e", Some(Leaf::Dir(0o755)))]);
    let root = dirs.update(usize::MAX, root, &empty);
    let Some(Entry::Directory { id, .. }) = entry_of(&mut dirs, root, "e") else {
        panic!("a folder")
    };
    assert_eq!(dirs.directory(&id), Ok(Directory::default()));
}

#[test]
fn w_8_a_listing_is_full_at_its_limit_and_not_before() {
    let keys = common::ring();
    let names: Vec<String> = ('a'..='z').map(String::from).collect();
    let all: Vec<_> = names.iter().map(|n| (n.as_str(), file())).collect();
    let mut dirs = Dirs::default();
    let root = dirs.update(usize::MAX, ObjectId::ZERO, &changes(&all));
    let size = dirs.known[&root].len();
    let mut dirs = Dirs::default();
    assert_eq!(dirs.update(size, ObjectId::ZERO, &changes(&all)), root);
    assert_eq!(dirs.aside, []);
    // One byte less: names are counted with 64 bytes of fields each, and the first still fits.
    let empty = Directory::default().to_object(&keys).1.len();
    let room = empty + "a".len() + 64;
    assert!(room < size);
    let mut dirs = Dirs::default();
    let root = dirs.update(room, ObjectId::ZERO, &changes(&all));
    assert_eq!(dirs.paths(root), ["a"]);
    assert_eq!(dirs.aside.len(), names.len() - 1);
    // What is there may change, however full it is.
    dirs.aside.clear();
    let other = changes(&[("a", Some(Leaf::Symlink(b"to".to_vec()))), ("b", file())]);
    let root = dirs.update(1, root, &other);
    assert_eq!(dirs.aside, [("b".to_owned(), Why::Large)]);
    assert_eq!(
        entry_of(&mut dirs, root, "a"),
        Some(simsync_vault::tree::Entry::Symlink {
            target: b"to".to_vec()
        })
    );
}

#[test]
fn w_8_what_is_below_makes_its_folder_and_what_is_gone_makes_none() {
    use simsync_vault::tree::Entry;
    let mut dirs = Dirs::default();
    let root = dirs.update(usize::MAX, ObjectId::ZERO, &changes(&[("n", file())]));
    // Nothing can be gone below a file, or below nothing.
    let gone = changes(&[("n/x", None), ("m/x", None)]);
    assert_eq!(dirs.update(usize::MAX, root, &gone), root);
    let new = changes(&[("n/x", file()), ("m/x", file())]);
    let root = dirs.update(usize::MAX, root, &new);
    assert_eq!(dirs.paths(root), ["m", "m/x", "n", "n/x"]);
    for name in ["m", "n"] {
        assert!(matches!(
            entry_of(&mut dirs, root, name),
            Some(Entry::Directory { mode: 0o755, .. })
        ));
    }
}

#[test]
fn w_8_a_listing_has_so_many_entries_and_no_more() {
    let max = ListingMax {
        bytes: usize::MAX,
        entries: 3,
    };
    let mut dirs = Dirs::default();
    let three = changes(&[("a", file()), ("c", file()), ("e", file())]);
    let root = dirs.update_within(max, ObjectId::ZERO, &three);
    assert_eq!(dirs.paths(root), ["a", "c", "e"]);
    assert_eq!(dirs.aside, []);
    // What fits to the byte and to the name is not looked at twice, by lengths that are only guessed.
    let exact = ListingMax {
        bytes: dirs.known[&root].len(),
        ..max
    };
    let mut same = Dirs::default();
    assert_eq!(same.update_within(exact, ObjectId::ZERO, &three), root);
    assert_eq!(same.aside, []);
    // It is full: what is new is left out alone, what is there may change, and what goes makes room.
    let link = Some(Leaf::Symlink(b"to".to_vec()));
    let more = changes(&[("b", file()), ("c", link), ("d", file()), ("e", None)]);
    let root = dirs.update_within(max, root, &more);
    assert_eq!(dirs.paths(root), ["a", "b", "c"]);
    assert!(matches!(
        entry_of(&mut dirs, root, "c"),
        Some(simsync_vault::tree::Entry::Symlink { .. })
    ));
    assert_eq!(dirs.aside, [("d".to_owned(), Why::Large)]);
    // Nobody writes what others do not read.
    let default = ListingMax::default();
    assert_eq!(default.entries, simsync_vault::tree::ENTRIES_MAX);
    assert_eq!(default.bytes, simsync_vault::seal::PLAIN_MAX);
}
