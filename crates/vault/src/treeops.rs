//! Differences between two trees, and a tree with changes put in. Pure: directories come from a [`DirSource`].
//!
//! What cannot be had or cannot be written concerns one path: it is handed to [`DirSource::set_aside`], and the rest goes on.

use std::collections::BTreeMap;

use crate::ids::ObjectId;
use crate::seal::PLAIN_MAX;
use crate::tree::{Directory, ENTRIES_MAX, Entry, FileEntry};

/// Deepest nesting of directories that is followed.
pub const DEPTH_MAX: usize = 512;

/// Where directories come from.
pub trait DirSource {
    /// Why a directory cannot be had or written.
    type Error: From<TooDeep> + From<ListingTooLarge>;
    /// The listing of this hash. [`ObjectId::ZERO`] is never asked for.
    fn directory(&mut self, id: &ObjectId) -> Result<Directory, Self::Error>;
    /// Whether a path that differs may be taken at all: an error sets it aside, with everything below.
    fn admit(&mut self, path: &[u8]) -> Result<(), Self::Error> {
        let _ = path;
        Ok(())
    }
    /// Something is wrong at `path` (empty: the root): answers whether to go on without it and everything below.
    fn set_aside(&mut self, path: &[u8], error: Self::Error) -> Result<(), Self::Error> {
        let _ = path;
        Err(error)
    }
}

/// A tree is nested deeper than [`DEPTH_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tree of the vault is nested deeper than {DEPTH_MAX} directories")]
pub struct TooDeep;

/// A directory has more entries than one object holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a folder's listing is larger than {} MiB, or longer than {ENTRIES_MAX} names: it has too many entries; put some of them into folders of their own",
    PLAIN_MAX >> 20
)]
pub struct ListingTooLarge;

/// What stands at a path, without the hash of what is below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leaf {
    /// A directory with permission bits.
    Dir(u16),
    /// A regular file: permission bits, size, time and chunks.
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
        return src.set_aside(prefix, TooDeep.into());
    }
    let mut load = |id: Option<&ObjectId>| id.map_or(Ok(Directory::default()), |i| listing(src, i));
    let (before, after) = match load(old).and_then(|b| Ok((b.entries, load(new)?.entries))) {
        Ok(both) => both,
        Err(error) => return src.set_aside(prefix, error),
    };
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
        if let Err(error) = src.admit(&path) {
            src.set_aside(&path, error)?;
            continue;
        }
        let (b_dir, a_dir) = (id_of(b), id_of(a));
        let (b_leaf, a_leaf) = (b.map(Leaf::of), a.map(Leaf::of));
        if b_leaf != a_leaf {
            out.insert(path.clone(), a_leaf);
        }
        diff_dir(&path, b_dir.as_ref(), a_dir.as_ref(), src, out, depth + 1)?;
    }
    Ok(())
}

/// What stands at each of these paths (`/` between names). Each listing is read once. Paths below one that was set aside are
/// not in the answer: nothing is known of them.
pub fn lookup<'p, S: DirSource>(
    root: &ObjectId,
    paths: impl IntoIterator<Item = &'p [u8]>,
    src: &mut S,
) -> Result<LeafChanges, S::Error> {
    let paths: Vec<Asked<'_>> = paths.into_iter().map(|p| (p, p)).collect();
    let mut out = LeafChanges::new();
    lookup_dir(&[], root, &paths, src, &mut out, 0)?;
    Ok(out)
}

/// Everything below those of these paths (in order, `/` between names) that are directories.
pub fn below<'p, S: DirSource>(
    root: &ObjectId,
    paths: impl IntoIterator<Item = &'p [u8]>,
    src: &mut S,
) -> Result<LeafChanges, S::Error> {
    let mut out = LeafChanges::new();
    let mut above: Option<&[u8]> = None;
    for path in paths {
        let is_within = |a: &[u8]| path.starts_with(a) && path.get(a.len()) == Some(&b'/');
        if above.is_some_and(is_within) {
            continue;
        }
        above = Some(path);
        let (mut at, mut depth) = (Some(*root), 0);
        for name in path.split(|b| *b == b'/') {
            let Some(id) = at else { break };
            depth += 1;
            at = match listing(src, &id) {
                Ok(dir) => match dir.entries.get(name) {
                    Some(Entry::Directory { id, .. }) => Some(*id),
                    _ => None,
                },
                Err(error) => {
                    src.set_aside(path, error)?;
                    None
                }
            };
        }
        if at.is_some() {
            diff_dir(path, None, at.as_ref(), src, &mut out, depth)?;
        }
    }
    Ok(out)
}

/// What is left of a path from here on, and the whole.
type Asked<'p> = (&'p [u8], &'p [u8]);

fn lookup_dir<S: DirSource>(
    prefix: &[u8],
    at: &ObjectId,
    paths: &[Asked<'_>],
    src: &mut S,
    out: &mut LeafChanges,
    depth: usize,
) -> Result<(), S::Error> {
    if depth > DEPTH_MAX {
        return src.set_aside(prefix, TooDeep.into());
    }
    let dir = match listing(src, at) {
        Ok(dir) => dir,
        Err(error) => return src.set_aside(prefix, error),
    };
    let mut below: BTreeMap<&[u8], Vec<Asked<'_>>> = BTreeMap::new();
    for (rest, whole) in paths {
        match rest.iter().position(|b| *b == b'/') {
            None => {
                out.insert(whole.to_vec(), dir.entries.get(*rest).map(Leaf::of));
            }
            Some(cut) => {
                let names = below.entry(&rest[..cut]).or_default();
                names.push((&rest[cut + 1..], whole));
            }
        }
    }
    for (name, paths) in below {
        match dir.entries.get(name) {
            Some(Entry::Directory { id, .. }) => {
                lookup_dir(&join(prefix, name), id, &paths, src, out, depth + 1)?;
            }
            _ => out.extend(paths.iter().map(|(_, whole)| (whole.to_vec(), None))),
        }
    }
    Ok(())
}

/// A directory that was made by [`update`]: hash and serialized listing.
pub type NewDirectory = (ObjectId, Vec<u8>);

/// The tree with changes put in: its root, and the listings that are new.
///
/// Parents of what is written must be directories in the tree or in the changes; missing ones are made with mode 0755.
/// Changes at and below a path that was set aside are not in the tree; there it is as it was. `object` is
/// [`Directory::to_object`] with the vault's keys: whoever guards them lends them for each listing alone, not for the time that
/// `src` takes.
pub fn update<S: DirSource>(
    root: &ObjectId,
    changes: &LeafChanges,
    object: &ToObject<'_, S::Error>,
    src: &mut S,
) -> Result<(ObjectId, Vec<NewDirectory>), S::Error> {
    update_within(ListingMax::default(), root, changes, object, src)
}

/// A listing's ID and bytes.
pub type ToObject<'a, E> = dyn Fn(&Directory) -> Result<NewDirectory, E> + 'a;

/// The largest listing of one directory that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListingMax {
    /// Most bytes of the encoded listing.
    pub bytes: usize,
    /// Most names in the listing.
    pub entries: usize,
}

impl Default for ListingMax {
    /// The largest that anybody reads.
    fn default() -> Self {
        Self {
            bytes: PLAIN_MAX,
            entries: ENTRIES_MAX,
        }
    }
}

/// As [`update`], with another limit for one directory's listing.
pub fn update_within<S: DirSource>(
    listing_max: ListingMax,
    root: &ObjectId,
    changes: &LeafChanges,
    object: &ToObject<'_, S::Error>,
    src: &mut S,
) -> Result<(ObjectId, Vec<NewDirectory>), S::Error> {
    if changes.is_empty() {
        return Ok((*root, Vec::new()));
    }
    let refs: Vec<OneChange<'_>> = changes.iter().map(|(k, v)| (k.as_slice(), v)).collect();
    let mut update = Update {
        listing_max,
        object,
        src,
        new: Vec::new(),
    };
    let id = update.directory(&[], root, &refs, 0)?;
    Ok((id.unwrap_or(*root), update.new))
}

type OneChange<'a> = (&'a [u8], &'a Option<Leaf>);
/// A name's own change, and those below it.
type Below<'a> = (Option<&'a Option<Leaf>>, Vec<OneChange<'a>>);

struct Update<'a, S: DirSource> {
    listing_max: ListingMax,
    object: &'a ToObject<'a, S::Error>,
    src: &'a mut S,
    new: Vec<NewDirectory>,
}

impl<S: DirSource> Update<'_, S> {
    /// The new hash of one directory; none if it was set aside.
    fn directory(
        &mut self,
        prefix: &[u8],
        at: &ObjectId,
        changes: &[OneChange<'_>],
        depth: usize,
    ) -> Result<Option<ObjectId>, S::Error> {
        if depth > DEPTH_MAX {
            self.src.set_aside(prefix, TooDeep.into())?;
            return Ok(None);
        }
        let before = match listing(self.src, at) {
            Ok(dir) => dir,
            Err(error) => {
                self.src.set_aside(prefix, error)?;
                return Ok(None);
            }
        };
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
        let mut entries: BTreeMap<&[u8], Option<Entry>> = BTreeMap::new();
        for (name, (own, below)) in by_name {
            let here = before.entries.get(name).cloned();
            let path = join(prefix, name);
            let entry = match entry_now(here.clone(), own, &below) {
                Some(Entry::Directory { mode, id }) if below.is_empty() && id != ObjectId::ZERO => {
                    Some(Entry::Directory { mode, id })
                }
                Some(Entry::Directory { mode, id }) => {
                    match self.directory(&path, &id, &below, depth + 1)? {
                        Some(id) => Some(Entry::Directory { mode, id }),
                        None => here,
                    }
                }
                other => other,
            };
            entries.insert(name, entry);
        }
        let mut dir = before.clone();
        for (name, entry) in &entries {
            put(&mut dir, name, entry.clone());
        }
        let (mut id, mut bytes) = (self.object)(&dir)?;
        let max = self.listing_max;
        if bytes.len() > max.bytes || dir.entries.len() > max.entries {
            let dir = self.what_fits(prefix, &before, entries)?;
            (id, bytes) = (self.object)(&dir)?;
        }
        if id != *at {
            self.new.push((id, bytes));
        }
        Ok(Some(id))
    }

    /// What a listing that would be too large takes: what it had, as it is now, and new names in order while there is room.
    fn what_fits(
        &mut self,
        prefix: &[u8],
        before: &Directory,
        entries: BTreeMap<&[u8], Option<Entry>>,
    ) -> Result<Directory, S::Error> {
        let mut dir = before.clone();
        let (known, new): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .partition(|(name, entry)| entry.is_none() || before.entries.contains_key(*name));
        for (name, entry) in known {
            put(&mut dir, name, entry);
        }
        let mut size = (self.object)(&dir)?.1.len();
        for (name, entry) in new {
            let room = entry.as_ref().map_or(0, |e| encoded_len(name, e));
            let max = self.listing_max;
            if size.saturating_add(room) > max.bytes || dir.entries.len() >= max.entries {
                let path = join(prefix, name);
                self.src.set_aside(&path, ListingTooLarge.into())?;
            } else {
                size += room;
                put(&mut dir, name, entry);
            }
        }
        Ok(dir)
    }
}

fn put(dir: &mut Directory, name: &[u8], entry: Option<Entry>) {
    match entry {
        Some(e) => dir.entries.insert(name.to_vec(), e),
        None => dir.entries.remove(name),
    };
}

/// Most bytes that an entry takes in a listing.
fn encoded_len(name: &[u8], entry: &Entry) -> usize {
    const FIELDS: usize = 64;
    let held = match entry {
        Entry::Directory { .. } => 32,
        Entry::File(f) => f.chunks.len().saturating_mul(32),
        Entry::Symlink { target } => target.len(),
    };
    name.len().saturating_add(held).saturating_add(FIELDS)
}

fn entry_now(
    before: Option<Entry>,
    own: Option<&Option<Leaf>>,
    below: &[OneChange<'_>],
) -> Option<Entry> {
    let (mode, id) = match &before {
        Some(Entry::Directory { mode, id }) => (*mode, *id),
        _ => (0o755, ObjectId::ZERO),
    };
    match own {
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
    }
}
