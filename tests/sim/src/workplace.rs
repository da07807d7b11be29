//! A person's files on one terminal, and what became of every value that anybody ever wrote.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ops::{Edit, MODES, PATHS};
use crate::settings;
use parking_lot::{Mutex, MutexGuard};

/// Every value is written once in a world.
#[derive(Debug, Default)]
pub struct Values {
    next: u64,
    /// Written, and nobody who saw it took it away.
    pub live: BTreeSet<u64>,
    /// Every content, and every target of a link, that somebody left anywhere.
    pub contents: HashSet<Vec<u8>>,
}

impl Values {
    fn draw(&mut self) -> String {
        self.next += 1;
        format!("<{}>", self.next)
    }

    /// This is how a person left it.
    fn seen(&mut self, tree: &Tree) {
        for (path, thing) in tree {
            if settings::is_of(path) {
                let lines = thing.bytes().split_inclusive(|b| *b == b'\n');
                self.contents.extend(lines.map(<[u8]>::to_vec));
            }
            if !self.contents.contains(thing.bytes()) {
                self.contents.insert(thing.bytes().to_vec());
            }
        }
    }

    /// Somebody wrote this.
    fn written(&mut self, bytes: &[u8]) {
        self.live.extend(values_in(bytes));
    }

    /// Somebody made one of the other: what is in both was neither written nor taken away.
    fn changed(&mut self, before: &[u8], after: &[u8]) {
        let (before, after) = (values_in(before), values_in(after));
        for gone in before.iter().filter(|v| !after.contains(v)) {
            self.live.remove(gone);
        }
        let new = after.iter().filter(|v| !before.contains(v));
        self.live.extend(new);
    }

    /// Somebody who saw this took it away.
    fn dropped(&mut self, bytes: &[u8]) {
        for value in values_in(bytes) {
            self.live.remove(&value);
        }
    }
}

/// The values in some bytes.
pub fn values_in(bytes: &[u8]) -> Vec<u64> {
    let text = String::from_utf8_lossy(bytes);
    let parts = text.split('<').skip(1);
    let numbers = parts.filter_map(|p| p.split_once('>').and_then(|(n, _)| n.parse().ok()));
    numbers.collect()
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// A folder. What is in it has paths of its own.
    Folder {
        /// Permission bits.
        mode: u32,
    },
    /// A regular file.
    File {
        /// Permission bits.
        mode: u32,
        /// All of its content; values stand in it as `<1>`, `<2>` and so on.
        bytes: Vec<u8>,
    },
    /// A symbolic link.
    Link {
        /// Where it points to: nowhere.
        target: Vec<u8>,
    },
}

impl Thing {
    /// The bytes in which values are.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Folder { .. } => &[],
            Self::File { bytes, .. } => bytes,
            Self::Link { target } => target,
        }
    }
}

/// Everything below a root.
pub type Tree = BTreeMap<PathBuf, Thing>;

/// Folders of the collections.
pub const FOLDERS: [&str; 2] = ["data", "notes"];

/// What is below the folders of the collections, but for what is simsync's own.
pub fn tree(root: &Path) -> Tree {
    let mut out = Tree::new();
    for folder in FOLDERS {
        out.extend(below(root, &root.join(folder)));
    }
    out
}

/// What is below one folder, by paths from `root`.
fn below(root: &Path, folder: &Path) -> Tree {
    fn walk(root: &Path, dir: &Path, out: &mut Tree) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            // Folders and files for the moment.
            let name = entry.file_name();
            let is_of_now = name.as_encoded_bytes().starts_with(b".part");
            if name == ".simsync-work" || is_of_now {
                continue;
            }
            let meta = path.symlink_metadata().unwrap();
            let mode = meta.permissions().mode() & 0o7777;
            let relative = path.strip_prefix(root).unwrap().to_path_buf();
            let thing = if meta.is_dir() {
                walk(root, &path, out);
                Thing::Folder { mode }
            } else if meta.is_symlink() {
                let target = fs::read_link(&path).unwrap().into_os_string();
                Thing::Link {
                    target: std::os::unix::ffi::OsStringExt::into_vec(target),
                }
            } else {
                let bytes = fs::read(&path).unwrap();
                // Such a place keeps no bits.
                let mode = if settings::is_of(&relative) { 0 } else { mode };
                Thing::File { mode, bytes }
            };
            out.insert(relative, thing);
        }
    }
    let mut out = Tree::new();
    walk(root, folder, &mut out);
    out
}

/// One person at one terminal.
#[derive(Debug, Clone)]
pub struct Workplace {
    /// The folder in which the collections' folders are.
    pub root: PathBuf,
    /// Notes are synced here, too.
    pub has_notes: bool,
    /// They are one file of pairs.
    pub has_settings: bool,
    values: Arc<Mutex<Values>>,
    /// How it looked after the last edit since the last peace, if there was one.
    edited: Arc<Mutex<Option<Tree>>>,
}

impl Workplace {
    /// At this folder.
    pub fn new(
        root: PathBuf,
        has_notes: bool,
        has_settings: bool,
        values: Arc<Mutex<Values>>,
    ) -> Self {
        Self {
            root,
            has_notes,
            has_settings,
            values,
            edited: Arc::default(),
        }
    }

    fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock()
    }

    /// How it looked after the last edit since this was asked last.
    pub fn take_edited(&self) -> Option<Tree> {
        self.edited.lock().take()
    }

    /// A person edits. What is not possible as things are is left.
    pub fn edit(&self, edit: Edit) {
        // Whoever cannot do something sees so, and does something else.
        let _ = self.try_edit(edit);
        let now = tree(&self.root);
        self.values().seen(&now);
        *self.edited.lock() = Some(now);
    }

    fn path(&self, n: u8) -> PathBuf {
        let path = PATHS[usize::from(n) % PATHS.len()];
        match path.strip_prefix("notes/") {
            Some(path) if !self.has_notes => self.root.join("data").join(path),
            _ => self.root.join(path),
        }
    }

    /// A person sets or removes a key.
    fn edit_settings(&self, edit: Edit) -> std::io::Result<()> {
        let file = settings::file(&self.root);
        let before = fs::read(&file).unwrap_or_default();
        let draw = || self.values().draw();
        let Some(after) = settings::edited(&before, edit, draw) else {
            return Ok(());
        };
        let new = file.with_file_name(".part-of-a-person");
        fs::write(&new, &after)?;
        fs::rename(&new, &file)?;
        self.values().changed(&before, &after);
        Ok(())
    }

    fn try_edit(&self, edit: Edit) -> std::io::Result<()> {
        let is_note = |n: u8| PATHS[usize::from(n) % PATHS.len()].starts_with("notes/");
        if self.has_settings && self.has_notes && edit.paths().any(is_note) {
            return self.edit_settings(edit);
        }
        match edit {
            Edit::Write { path, size } => {
                let path = self.path(path);
                fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
                let before = match path.symlink_metadata() {
                    Ok(meta) if !meta.is_file() => return Ok(()),
                    Ok(_) => fs::read(&path)?,
                    Err(_) => Vec::new(),
                };
                let text = self.values().draw() + &".".repeat(usize::from(size));
                let written = fs::write(&path, &text);
                // On a full disk what was there is gone all the same.
                self.values().dropped(&before);
                written?;
                self.values().written(text.as_bytes());
            }
            Edit::Append { path } => {
                let path = self.path(path);
                if path.symlink_metadata()?.is_file() {
                    let text = self.values().draw();
                    let mut file = fs::OpenOptions::new().append(true).open(&path)?;
                    file.write_all(text.as_bytes())?;
                    self.values().written(text.as_bytes());
                }
            }
            Edit::Delete { path } => {
                let path = self.path(path);
                let before = bytes_of(&path)?;
                fs::remove_file(&path)?;
                self.values().dropped(&before);
            }
            Edit::Rename { from, to } => {
                let (from, to) = (self.path(from), self.path(to));
                if to.symlink_metadata().is_err() && !to.starts_with(&from) {
                    fs::create_dir_all(to.parent().unwrap_or(&self.root))?;
                    fs::rename(&from, &to)?;
                }
            }
            Edit::Mkdir { path } => fs::create_dir_all(self.path(path))?,
            Edit::Rmdir { path } => {
                let path = self.path(path);
                if path.symlink_metadata()?.is_dir() {
                    let before = below(&path, &path);
                    fs::remove_dir_all(&path)?;
                    for thing in before.values() {
                        self.values().dropped(thing.bytes());
                    }
                }
            }
            Edit::Chmod { path, mode } => {
                let path = self.path(path);
                let meta = path.symlink_metadata()?;
                let mode = MODES[usize::from(mode) % MODES.len()];
                if meta.is_dir() {
                    fs::set_permissions(&path, fs::Permissions::from_mode(mode | 0o700))?;
                } else if meta.is_file() {
                    fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
                }
            }
            Edit::Symlink { path } => {
                let path = self.path(path);
                fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
                match path.symlink_metadata() {
                    Ok(meta) if meta.is_symlink() => {
                        let before = bytes_of(&path)?;
                        fs::remove_file(&path)?;
                        self.values().dropped(&before);
                    }
                    Ok(_) => return Ok(()),
                    Err(_) => {}
                }
                let target = self.values().draw();
                symlink(&target, &path)?;
                self.values().written(target.as_bytes());
            }
        }
        Ok(())
    }

    /// A person throws away every version that was kept aside, and most of the rest where there is much.
    pub fn tidy(&self) {
        for (path, thing) in tree(&self.root) {
            if path.to_string_lossy().contains("(conflict")
                && let Ok(()) = fs::remove_file(self.root.join(&path))
            {
                self.values().dropped(thing.bytes());
            }
        }
        let now = tree(&self.root);
        *self.edited.lock() = Some(now);
    }
}

fn bytes_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let meta = path.symlink_metadata()?;
    if meta.is_symlink() {
        let target = fs::read_link(path)?.into_os_string();
        Ok(std::os::unix::ffi::OsStringExt::into_vec(target))
    } else {
        fs::read(path)
    }
}
