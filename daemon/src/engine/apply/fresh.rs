//! Which folders are new as a whole: they are built aside and renamed to their place, with all files in them.

use std::collections::{HashMap, HashSet};

use simsync_sync::node::{Changes, Node, RelPath};
use simsync_vault::ids::ObjectId;

use crate::engine::content::Content;
use crate::engine::disk::on_disk::OnDisk;

/// Files are written in batches of at most this many, or this many bytes: so much is written again after a pulled card.
pub(super) const BATCH_FILES: usize = 16_384;
pub(super) const BATCH_BYTES: u64 = 256 << 20;
/// A path in the work folder may be this much longer than at its place.
const LONGER: usize = 64;

/// A new folder, with what is in it: small enough for one batch.
pub(super) struct Unit<'p> {
    /// The folders in it with their permission bits, itself first, the higher before the deeper.
    pub(super) folders: Vec<(&'p RelPath, u16)>,
}

/// New folders that are built aside.
#[derive(Default)]
pub(super) struct Fresh<'p> {
    pub(super) units: Vec<Unit<'p>>,
    /// The unit that a folder belongs to, by the folder's path.
    of_folder: HashMap<&'p [u8], usize>,
}

/// What comes into a new folder.
struct New {
    mode: u16,
    files: usize,
    bytes: u64,
    /// All of it can be written aside.
    fits: bool,
}

/// The folder that a path is in; none for what is directly below the root.
fn folder_of(path: &RelPath) -> Option<&[u8]> {
    let above = path.as_bytes().len() - path.name().len();
    (above > 0).then(|| &path.as_bytes()[..above - 1])
}

impl<'p> Fresh<'p> {
    /// Looks for them in what is to be applied. Whatever holds a file that may come by a rename from elsewhere on this disk
    /// (its chunks are among `leaving`) is none of them.
    pub(super) fn find(
        apply: &'p Changes<Content>,
        disk: &OnDisk<'_>,
        leaving: &HashSet<&[ObjectId]>,
    ) -> Self {
        let mut new: HashMap<&[u8], New> = HashMap::new();
        let mut order: Vec<&RelPath> = Vec::new();
        for (path, node) in apply {
            if let Some(Node::Dir { mode }) = node
                && disk.node(path).is_none()
            {
                order.push(path);
                let mode = *mode;
                let (files, bytes, fits) = (0, 0, is_short(path));
                new.insert(
                    path.as_bytes(),
                    New {
                        mode,
                        files,
                        bytes,
                        fits,
                    },
                );
            }
        }
        if new.is_empty() {
            return Self::default();
        }
        for (path, node) in apply {
            if let Some(Node::File { content, .. }) = node
                && let Some(folder) = folder_of(path)
                && let Some(new) = new.get_mut(folder)
            {
                new.files += 1;
                new.bytes = new.bytes.saturating_add(content.size);
                new.fits &= is_short(path) && !leaving.contains(&content.chunks[..]);
            }
        }
        // A folder comes before what is in it: backwards, everything in one is counted before it is.
        for path in order.iter().rev() {
            let Some(New {
                files, bytes, fits, ..
            }) = new.get(path.as_bytes())
            else {
                continue;
            };
            let (files, bytes, fits) = (*files, *bytes, *fits);
            if let Some(above) = folder_of(path).and_then(|f| new.get_mut(f)) {
                above.files += files;
                above.bytes = above.bytes.saturating_add(bytes);
                above.fits &= fits;
            }
        }
        let mut out = Self::default();
        for path in order {
            let Some(folder) = new.get(path.as_bytes()) else {
                continue;
            };
            let above = folder_of(path).and_then(|f| out.of_folder.get(f).copied());
            let is_small = (1..=BATCH_FILES).contains(&folder.files) && folder.bytes <= BATCH_BYTES;
            let unit = match above {
                Some(unit) => unit,
                None if folder.fits && is_small => {
                    out.units.push(Unit {
                        folders: Vec::new(),
                    });
                    out.units.len() - 1
                }
                None => continue,
            };
            out.units[unit].folders.push((path, folder.mode));
            out.of_folder.insert(path.as_bytes(), unit);
        }
        out
    }

    /// The unit that a folder belongs to.
    pub(super) fn of_folder(&self, path: &RelPath) -> Option<usize> {
        self.of_folder.get(path.as_bytes()).copied()
    }

    /// The unit that a file or link is in.
    pub(super) fn of_file(&self, path: &RelPath) -> Option<usize> {
        self.of_folder.get(folder_of(path)?).copied()
    }
}

fn is_short(path: &RelPath) -> bool {
    path.as_bytes().len() + LONGER <= RelPath::MAX
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::engine::disk::rows::Rows;

    fn p(path: &str) -> RelPath {
        RelPath::new(path).unwrap()
    }

    fn file(n: u8, size: u64) -> Option<Node<Content>> {
        let content = Content {
            chunks: [ObjectId([n; 32])].into(),
            size,
            mtime: 0,
        };
        Some(Node::File {
            mode: 0o644,
            content,
        })
    }

    const DIR: Option<Node<Content>> = Some(Node::Dir { mode: 0o755 });

    /// The units, each as the paths of its folders.
    fn units(apply: &Changes<Content>, there: &[&str], leaving: &[u8]) -> Vec<Vec<String>> {
        let there = there.iter().map(|path| (p(path), DIR)).collect();
        let disk = OnDisk {
            rows: &Rows::default(),
            changes: &there,
            stats: &HashMap::new(),
        };
        let leaving: Vec<ObjectId> = leaving.iter().map(|n| ObjectId([*n; 32])).collect();
        let leaving = leaving.iter().map(std::slice::from_ref).collect();
        let found = Fresh::find(apply, &disk, &leaving);
        let names = |u: &Unit<'_>| u.folders.iter().map(|(path, _)| path.to_string()).collect();
        found.units.iter().map(names).collect()
    }

    #[test]
    fn the_highest_new_folder_is_built_aside() {
        let apply = Changes::from([
            (p("old/new"), DIR),
            (p("old/new/a"), file(1, 1)),
            (p("old/new/in/it/b"), file(2, 1)),
            (p("old/new/in"), DIR),
            (p("old/new/in/it"), DIR),
            // Between a folder and what is in it, in the order of bytes.
            (p("old/new-er"), DIR),
            (p("old/new-er/c"), file(3, 1)),
            (p("old/empty"), DIR),
            (p("old/d"), file(4, 1)),
            (p("top"), DIR),
            (p("top/e"), file(5, 1)),
        ]);
        assert_eq!(
            units(&apply, &["old"], &[]),
            [
                vec!["old/new", "old/new/in", "old/new/in/it"],
                vec!["old/new-er"],
                vec!["top"]
            ]
        );
        let found = Fresh::find(
            &apply,
            &OnDisk {
                rows: &Rows::default(),
                changes: &Changes::new(),
                stats: &HashMap::new(),
            },
            &HashSet::new(),
        );
        assert_eq!(found.of_file(&p("old/new/in/it/b")), Some(0));
        assert_eq!(
            (found.of_file(&p("old/d")), found.of_file(&p("x"))),
            (None, None)
        );
        assert_eq!(found.of_folder(&p("old/empty")), None);
    }

    #[test]
    fn what_is_there_is_not_new() {
        let apply = Changes::from([(p("d"), DIR), (p("d/a"), file(1, 1))]);
        assert!(units(&apply, &["d"], &[]).is_empty());
    }

    #[test]
    fn a_folder_that_is_more_than_a_batch_is_built_by_its_parts() {
        let mut apply = Changes::from([
            (p("d"), DIR),
            (p("d/small"), DIR),
            (p("d/small/a"), file(1, 1)),
            (p("d/large"), DIR),
            (p("d/large/a"), file(2, BATCH_BYTES + 1)),
            (p("d/many"), DIR),
        ]);
        assert_eq!(units(&apply, &[], &[]), [["d/small"]]);
        apply.remove(&p("d/large/a"));
        for i in 0..BATCH_FILES {
            apply.insert(p(&format!("d/many/{i}")), file(3, 1));
        }
        assert_eq!(units(&apply, &[], &[]), [["d/many"], ["d/small"]]);
    }

    #[test]
    fn files_that_only_move_keep_their_folder_in_its_place() {
        let apply = Changes::from([
            (p("d"), DIR),
            (p("d/moved"), DIR),
            (p("d/moved/a"), file(1, 1)),
            (p("d/other"), DIR),
            (p("d/other/a"), file(2, 1)),
        ]);
        assert_eq!(units(&apply, &[], &[1]), [["d/other"]]);
    }

    #[test]
    fn names_that_would_be_too_long_aside_are_written_in_their_place() {
        let long = ["x".repeat(250).as_str(); 16].join("/");
        let apply = Changes::from([
            (p("d"), DIR),
            (p(&format!("d/{}", &long[..4000])), DIR),
            (
                p(&format!("d/{}/{}", &long[..4000], "y".repeat(60))),
                file(1, 1),
            ),
        ]);
        assert!(units(&apply, &[], &[]).is_empty());
    }
}
