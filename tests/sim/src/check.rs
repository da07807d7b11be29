//! What must be true, in one place.
//!
//! * **Nothing is lost.** Every value that a person ever wrote is in every terminal's files at peace, unless a person who had it
//!   before them overwrote or deleted it since. A version that was kept aside counts: it is a file.
//! * **Nothing is made up.** If people edited on one terminal only since the last peace, everybody has exactly what they left
//!   there: nothing that was deleted comes back, nothing is kept aside, no edit is undone, whatever was yanked, cut or killed.
//! * **All are equal.** At peace all terminals have the same names, contents, targets of links and permission bits.
//! * **Nothing is foreign.** Whatever the server answers, every file is as a person left it at some time, byte by byte.
//! * **Statuses are true.** Where a finished sync says that nothing is outstanding, the files are what the newest commit's tree
//!   says, content by content. At peace nothing is outstanding, no tail waits, no session is open, no note of what is being
//!   written is left.
//! * **The card is right.** It is believed by every terminal that an honest server answers, and opens the vault's keys. At peace
//!   it carries the newest head, and waits for no session's end. A server that shows less than it carries is refused.
//! * **No key outlives the card.** After a removal or an eject nobody can borrow a key.
//! * **What is not disturbed succeeds**: an error where no wire was cut and nobody was killed is one of ours. (In `work`.)

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use simsync_card::client::UnsettledSession;
use simsync_vault::ids::ObjectId;
use simsync_vault::tree::{Directory, chunk_id};
use simsync_vault::treeops::{self, DirSource, Leaf};
use simsyncd::engine::{EngineError, SyncReport};
use simsyncd::store::Store;

use crate::rig::{FILES, NOTES};
use crate::settings;
use crate::workplace::{Thing, Tree, tree, values_in};
use crate::world::{Place, World};

/// Something that must be true is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// What is not true, for whoever reads of it.
    pub what: String,
}

impl Broken {
    /// `what` says what is not true.
    pub fn new(what: String) -> Self {
        Self { what }
    }
}

fn require(is_true: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if is_true {
        Ok(())
    } else {
        Err(Broken::new(what()))
    }
}

/// No key outlives the card.
pub fn no_key(place: &Place) -> Result<(), Broken> {
    let has_key = place.terminal.engine.keys.with(|_| ()).is_ok();
    require(!has_key, || "a key outlives the card".to_owned())
}

/// Where a finished sync says that nothing is outstanding, the files are what the newest commit's tree says.
pub fn status_is_true(place: &Place, report: &SyncReport) -> Result<(), Broken> {
    if report.outstanding.all() > 0 {
        return Ok(());
    }
    let engine = &place.terminal.engine;
    let head = engine.store.newest_commit().unwrap();
    for (collection, folder) in [(FILES, "data"), (NOTES, "notes")] {
        if collection == NOTES && !place.workplace.has_notes {
            continue;
        }
        let (store, pk) = (&engine.store, place.terminal.pk(&collection));
        let (counted, rows) = (store.row_count(pk).unwrap(), store.files(pk).unwrap().len());
        require(counted == rows, || {
            format!("{counted} rows are counted, and {rows} are there")
        })?;
        let root = head.as_ref().and_then(|h| h.root(&collection));
        is_as_in_vault(place, root.unwrap_or(ObjectId::ZERO), folder)?;
    }
    Ok(())
}

/// The files of one collection are what its tree says.
fn is_as_in_vault(place: &Place, root: ObjectId, folder: &str) -> Result<(), Broken> {
    let mut listings = Listings(&place.terminal.engine.store);
    let vault = match treeops::diff(&ObjectId::ZERO, &root, &mut listings) {
        Ok(vault) => vault,
        Err(error) => return Err(Broken::new(format!("the vault's tree: {error}"))),
    };
    let here: treeops::LeafChanges = tree(&place.workplace.root)
        .into_iter()
        .filter_map(|(path, thing)| {
            let path = path.strip_prefix(folder).ok()?;
            let path = path.as_os_str().as_bytes().to_vec();
            Some((path, Some(leaf_of(place, thing))))
        })
        .collect();
    let plain = |path: &[u8], leaf: &Option<Leaf>| match leaf {
        // Times are for the eye.
        Some(Leaf::File(f)) => Some(Leaf::File(simsync_vault::tree::FileEntry {
            mtime: 0,
            mtime_nanos: 0,
            mode: match settings::is_of(&Path::new(folder).join(OsStr::from_bytes(path))) {
                true => 0,
                false => f.mode,
            },
            ..f.clone()
        })),
        other => other.clone(),
    };
    let vault: treeops::LeafChanges = vault
        .iter()
        .map(|(p, l)| (p.clone(), plain(p, l)))
        .collect();
    require(vault == here, || {
        let differs: Vec<_> = vault
            .iter()
            .map(|(path, leaf)| (path, leaf, here.get(path)))
            .filter(|(_, leaf, here)| *here != Some(*leaf))
            .map(|(path, ..)| String::from_utf8_lossy(path).into_owned())
            .chain(
                here.keys()
                    .filter(|p| !vault.contains_key(*p))
                    .map(|p| String::from_utf8_lossy(p).into_owned()),
            )
            .collect();
        format!("nothing is said to be outstanding, but files and vault differ at {differs:?}")
    })
}

fn leaf_of(place: &Place, thing: Thing) -> Leaf {
    match thing {
        Thing::Folder { mode } => Leaf::Dir(u16::try_from(mode).unwrap_or(0)),
        Thing::Link { target } => Leaf::Symlink(target),
        Thing::File { mode, bytes } => {
            let keys = &place.terminal.engine.keys;
            let id = (!bytes.is_empty()).then(|| keys.with(|k| chunk_id(k, &bytes)));
            Leaf::File(simsync_vault::tree::FileEntry {
                mode: u16::try_from(mode).unwrap_or(0),
                size: bytes.len() as u64,
                mtime: 0,
                mtime_nanos: 0,
                // Files here are so small that each is one chunk.
                chunks: id.into_iter().flatten().collect(),
            })
        }
    }
}

/// Listings that the terminal keeps in the clear.
struct Listings<'a>(&'a Store);

impl DirSource for Listings<'_> {
    type Error = EngineError;

    fn directory(&mut self, id: &ObjectId) -> Result<Directory, EngineError> {
        let missing = || EngineError::MissingObject("a directory".to_owned());
        let bytes = self.0.dir(id)?.ok_or_else(missing)?;
        Ok(Directory::from_bytes(&bytes)?)
    }
}

/// All that must be true at peace.
pub fn at_peace(world: &World) -> Result<(), Broken> {
    let trees: Vec<Tree> = world
        .places
        .iter()
        .map(|p| tree(&p.workplace.root))
        .collect();
    for (place, tree) in world.places.iter().zip(&trees) {
        all_equal(&seen_by(place, &trees[0]), tree, "terminals")?;
        nothing_is_left(place)?;
        no_key(place)?;
    }
    nothing_is_foreign(world, 0)?;
    nothing_is_lost(world, &trees[0])?;
    nothing_is_made_up(world, &trees[0])
}

/// What must be true of the card at peace.
pub fn card_at_peace(world: &World, unsettled: &[UnsettledSession]) -> Result<(), Broken> {
    require(unsettled.is_empty(), || {
        format!("the card waits for the end of {unsettled:?} at peace")
    })?;
    // The last terminal of a peace knows it; others hear of it at their next session.
    let stores = world.places.iter().map(|p| &p.terminal.engine.store);
    let heads = stores.filter_map(|s| s.newest_commit().unwrap());
    let newest = heads.map(|c| (c.body.sequence, c.hash())).max();
    require(world.card.head() == newest, || {
        format!(
            "the card carries {:?} at peace, and not {newest:?}",
            world.card.head()
        )
    })
}

/// What of a tree a terminal syncs.
fn seen_by(place: &Place, tree: &Tree) -> Tree {
    let is_seen = |path: &Path| place.workplace.has_notes || path.starts_with("data");
    let all = tree.iter().filter(|(path, _)| is_seen(path));
    all.map(|(p, t)| (p.clone(), t.clone())).collect()
}

fn all_equal(one: &Tree, other: &Tree, who: &str) -> Result<(), Broken> {
    require(one == other, || {
        format!("{who} differ at {:?}", differences(one, other))
    })
}

fn one_shown(thing: Option<&Thing>) -> String {
    match thing {
        None => "nothing".to_owned(),
        Some(Thing::Folder { mode }) => format!("folder {mode:o}"),
        Some(Thing::Link { target }) => format!("link {}", String::from_utf8_lossy(target)),
        Some(Thing::File { mode, bytes }) => format!("file {mode:o} {:?}", values_in(bytes)),
    }
}

/// A tree for people.
pub fn shown(tree: &Tree) -> Vec<(&Path, String)> {
    tree.iter()
        .map(|(p, t)| (p.as_path(), one_shown(Some(t))))
        .collect()
}

fn differences<'a>(one: &'a Tree, other: &'a Tree) -> Vec<(&'a Path, String)> {
    let paths: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    paths
        .into_iter()
        .filter(|p| one.get(*p) != other.get(*p))
        .map(|p| {
            let (a, b) = (one_shown(one.get(p)), one_shown(other.get(p)));
            (p.as_path(), format!("{a} / {b}"))
        })
        .collect()
}

fn nothing_is_left(place: &Place) -> Result<(), Broken> {
    let label = &place.terminal.engine.config.label;
    let store = &place.terminal.engine.store;
    let outstanding = place.terminal.outstanding();
    require(outstanding.is_empty(), || {
        format!("outstanding on {label} at peace: {outstanding:?}")
    })?;
    let sessions = store.own_sessions().unwrap();
    require(sessions.is_empty(), || {
        format!(
            "{} sessions are not closed on {label} at peace",
            sessions.len()
        )
    })?;
    for collection in store.collections().unwrap() {
        require(collection.applying.is_none(), || {
            format!("{label} believes at peace that it is writing")
        })?;
        let pending = store.pending(collection.pk).unwrap();
        require(pending.is_empty(), || {
            format!("pending on {label} at peace: {pending:?}")
        })?;
        let opened = store.opened_dirs(collection.pk).unwrap();
        require(opened.is_empty(), || {
            format!("folders of {label} are open at peace: {opened:?}")
        })?;
    }
    Ok(())
}

/// Every file of a terminal is as a person left it at some time.
pub fn nothing_is_foreign(world: &World, at: u8) -> Result<(), Broken> {
    let tree = tree(&world.at(at).workplace.root);
    let values = world.values.lock();
    let is_known = |bytes: &[u8]| bytes.is_empty() || values.contents.contains(bytes);
    // What was merged is known line by line.
    let is_merged = |bytes: &[u8]| bytes.split_inclusive(|b| *b == b'\n').all(is_known);
    let ever =
        |path: &Path, bytes: &[u8]| is_known(bytes) || (settings::is_of(path) && is_merged(bytes));
    match tree.iter().find(|(path, t)| !ever(path, t.bytes())) {
        None => Ok(()),
        Some((path, thing)) => Err(Broken::new(format!(
            "nobody ever wrote what is in {}: {}",
            path.display(),
            one_shown(Some(thing))
        ))),
    }
}

fn nothing_is_lost(world: &World, tree: &Tree) -> Result<(), Broken> {
    let here: BTreeSet<u64> = tree.values().flat_map(|t| values_in(t.bytes())).collect();
    let values = world.values.lock();
    let lost: Vec<_> = values.live.difference(&here).collect();
    require(lost.is_empty(), || format!("lost: values {lost:?}"))
}

fn nothing_is_made_up(world: &World, tree: &Tree) -> Result<(), Broken> {
    let all = world.places.iter().zip(&world.edited);
    let edited: Vec<(&Place, &Tree)> = all.filter_map(|(p, t)| Some((p, t.as_ref()?))).collect();
    match edited[..] {
        [] => all_equal(&world.at_peace, tree, "nobody edited, but before and now"),
        // What it has comes to what all others have.
        _ if world.has_new_disk => Ok(()),
        // Known: what a terminal changed itself in a commit that it did not hear of is not told from what it merged in it. Edits
        // since then are kept aside, if it sealed them.
        _ if world.is_unheard && world.has_merged_before_its_tail() => Ok(()),
        [(place, only)] => {
            // What it does not sync is as it was.
            let mut expected = world.at_peace.clone();
            expected.retain(|path, _| !place.workplace.has_notes && !path.starts_with("data"));
            expected.extend(only.clone());
            all_equal(
                &expected,
                tree,
                "one terminal was edited, but it and everybody now",
            )
        }
        _ => Ok(()),
    }
}
