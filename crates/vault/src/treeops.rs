//! Differences between two trees, and a tree with changes put in. Pure: directories come from a [`DirSource`].

use std::collections::BTreeMap;

use crate::ids::ObjectId;
use crate::keys::KeyRing;
use crate::tree::{Directory, Entry, FileEntry};

/// Deepest nesting of directories that is followed.
pub const DEPTH_MAX: usize = 512;

/// Where directories come from.
pub trait DirSource {
    /// Why a directory cannot be had.
    type Error: From<TooDeep>;
    /// The listing of this hash. [`ObjectId::ZERO`] is never asked for.
    fn directory(&mut self, id: &ObjectId) -> Result<Directory, Self::Error>;
}

/// A tree is nested deeper than [`DEPTH_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tree of the vault is nested deeper than {DEPTH_MAX} directories")]
pub struct TooDeep;

/// What stands at a path, without the hash of what is below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leaf {
    /// A directory with permission bits.
    Dir(u16),
    /// A file.
    File(FileEntry),
    /// A symbolic link.
    Symlink(Vec<u8>),
}

impl Leaf {
    /// From an entry of a listing.
    pub fn of(entry: &Entry) -> Self {
        match entry {
            Entry::Directory { mode, .. } => Self::Dir(*mode),
            Entry::File(f) => Self::File(f.clone()),
            Entry::Symlink { target } => Self::Symlink(target.clone()),
        }
    }
}

/// Changes by path (`/` between names): what is there now, or none.
pub type LeafChanges = BTreeMap<Vec<u8>, Option<Leaf>>;

fn listing<S: DirSource>(src: &mut S, id: &ObjectId) -> Result<Directory, S::Error> {
    if *id == ObjectId::ZERO {
        Ok(Directory::default())
    } else {
        src.directory(id)
    }
}

fn join(prefix: &[u8], name: &[u8]) -> Vec<u8> {
    if prefix.is_empty() {
        name.to_vec()
    } else {
        [prefix, b"/", name].concat()
    }
}

/// Everything that differs between two roots. Subtrees of equal hash are not looked at.
pub fn diff<S: DirSource>(
    old: &ObjectId,
    new: &ObjectId,
    src: &mut S,
) -> Result<LeafChanges, S::Error> {
    let mut out = LeafChanges::new();
    diff_dir(&[], Some(old), Some(new), src, &mut out, 0)?;
    Ok(out)
}

fn diff_dir<S: DirSource>(
    prefix: &[u8],
    old: Option<&ObjectId>,
    new: Option<&ObjectId>,
    src: &mut S,
    out: &mut LeafChanges,
    depth: usize,
) -> Result<(), S::Error> {
    if old == new {
        return Ok(());
    }
    if depth > DEPTH_MAX {
        return Err(TooDeep.into());
    }
    let mut load = |id: Option<&ObjectId>| id.map_or(Ok(Directory::default()), |i| listing(src, i));
    let (before, after) = (load(old)?.entries, load(new)?.entries);
    let names: std::collections::BTreeSet<&Vec<u8>> = before.keys().chain(after.keys()).collect();
    for name in names {
        let (b, a) = (before.get(name), after.get(name));
        if a == b {
            continue;
        }
        let path = join(prefix, name);
        let id_of = |e: Option<&Entry>| match e {
            Some(Entry::Directory { id, .. }) => Some(*id),
            _ => None,
        };
        let (b_dir, a_dir) = (id_of(b), id_of(a));
        let (b_leaf, a_leaf) = (b.map(Leaf::of), a.map(Leaf::of));
        if b_leaf != a_leaf {
            out.insert(path.clone(), a_leaf);
        }
        diff_dir(&path, b_dir.as_ref(), a_dir.as_ref(), src, out, depth + 1)?;
    }
    Ok(())
}

/// What stands at one path of a tree.
pub fn lookup<S: DirSource>(
    root: &ObjectId,
    path: &[u8],
    src: &mut S,
) -> Result<Option<Leaf>, S::Error> {
    let mut at = *root;
    let mut names = path.split(|b| *b == b'/').peekable();
    while let Some(name) = names.next() {
        let dir = listing(src, &at)?;
        match (dir.entries.get(name), names.peek()) {
            (Some(entry), None) => return Ok(Some(Leaf::of(entry))),
            (Some(Entry::Directory { id, .. }), Some(_)) => at = *id,
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// A directory that was made by [`update`]: hash and serialized listing.
pub type NewDirectory = (ObjectId, Vec<u8>);

/// The tree with changes put in: its root, and the listings that are new.
///
/// Parents of what is written must be directories in the tree or in the changes; missing ones are made with mode 0755.
pub fn update<S: DirSource>(
    root: &ObjectId,
    changes: &LeafChanges,
    keys: &KeyRing,
    src: &mut S,
) -> Result<(ObjectId, Vec<NewDirectory>), S::Error> {
    let mut new = Vec::new();
    if changes.is_empty() {
        return Ok((*root, new));
    }
    let refs: Vec<OneChange<'_>> = changes.iter().map(|(k, v)| (k.as_slice(), v)).collect();
    let id = update_dir(root, &refs, keys, src, &mut new, 0)?;
    Ok((id, new))
}

type OneChange<'a> = (&'a [u8], &'a Option<Leaf>);
/// A name's own change, and those below it.
type Below<'a> = (Option<&'a Option<Leaf>>, Vec<OneChange<'a>>);

fn update_dir<S: DirSource>(
    at: &ObjectId,
    changes: &[OneChange<'_>],
    keys: &KeyRing,
    src: &mut S,
    new: &mut Vec<NewDirectory>,
    depth: usize,
) -> Result<ObjectId, S::Error> {
    if depth > DEPTH_MAX {
        return Err(TooDeep.into());
    }
    let mut dir = listing(src, at)?;
    // Changes of this directory by first name: the entry's own, and those below it.
    let mut by_name: BTreeMap<&[u8], Below<'_>> = BTreeMap::new();
    for (path, leaf) in changes {
        match path.iter().position(|b| *b == b'/') {
            None => by_name.entry(path).or_default().0 = Some(leaf),
            Some(cut) => by_name
                .entry(&path[..cut])
                .or_default()
                .1
                .push((&path[cut + 1..], leaf)),
        }
    }
    for (name, (own, below)) in by_name {
        let before = dir.entries.get(name).cloned();
        let (mode, id) = match &before {
            Some(Entry::Directory { mode, id }) => (*mode, *id),
            _ => (0o755, ObjectId::ZERO),
        };
        let entry = match own {
            Some(None) => None,
            Some(Some(Leaf::File(f))) => Some(Entry::File(f.clone())),
            Some(Some(Leaf::Symlink(target))) => Some(Entry::Symlink {
                target: target.clone(),
            }),
            Some(Some(Leaf::Dir(mode))) => Some(Entry::Directory { mode: *mode, id }),
            None => match before {
                Some(Entry::Directory { .. }) => before,
                // Deletions below something that is no directory (any longer) change nothing.
                other if below.iter().all(|(_, l)| l.is_none()) => other,
                _ => Some(Entry::Directory { mode, id }),
            },
        };
        let entry = match entry {
            Some(Entry::Directory { mode, id }) => {
                let id = if below.is_empty() && id != ObjectId::ZERO {
                    id
                } else {
                    update_dir(&id, &below, keys, src, new, depth + 1)?
                };
                Some(Entry::Directory { mode, id })
            }
            other => other,
        };
        match entry {
            Some(e) => dir.entries.insert(name.to_vec(), e),
            None => dir.entries.remove(name),
        };
    }
    let (id, bytes) = dir.to_object(keys);
    if id != *at {
        new.push((id, bytes));
    }
    Ok(id)
}
