//! A person's files on one terminal, and what became of every value that anybody ever wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ops::{Edit, MODES, PATHS};

/// Every value is written once in a world.
#[derive(Debug, Default)]
pub struct Values {
    next: u64,
    /// Written, and nobody who saw it took it away.
    pub live: BTreeSet<u64>,
}

impl Values {
    fn draw(&mut self) -> String {
        self.next += 1;
        format!("<{}>", self.next)
    }

    /// Somebody wrote this.
    fn written(&mut self, bytes: &[u8]) {
        self.live.extend(values_in(bytes));
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
    /// A folder.
    Folder {
        /// Permission bits.
        mode: u32,
    },
    /// A file.
    File {
        /// Permission bits.
        mode: u32,
        /// Content.
        bytes: Vec<u8>,
    },
    /// A link.
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

/// What is below a root, but for what is simsync's own.
pub fn tree(root: &Path) -> Tree {
    fn walk(root: &Path, dir: &Path, out: &mut Tree) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if entry.file_name() == ".simsync-work" {
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
                Thing::File { mode, bytes }
            };
            out.insert(relative, thing);
        }
    }
    let mut out = Tree::new();
    walk(root, root, &mut out);
    out
}

/// One person at one terminal.
#[derive(Debug, Clone)]
pub struct Desk {
    /// The folder of the collection.
    pub root: PathBuf,
    values: Arc<Mutex<Values>>,
    /// How it looked after the last edit since the last peace, if there was one.
    edited: Arc<Mutex<Option<Tree>>>,
}

impl Desk {
    /// At this folder.
    pub fn new(root: PathBuf, values: Arc<Mutex<Values>>) -> Self {
        Self {
            root,
            values,
            edited: Arc::default(),
        }
    }

    fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it looked after the last edit since this was asked last.
    pub fn take_edited(&self) -> Option<Tree> {
        self.edited
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// A person edits. What is not possible as things are is left.
    pub fn edit(&self, edit: Edit) {
        // Whoever cannot do something sees so, and does something else.
        let _ = self.try_edit(edit);
        let now = tree(&self.root);
        *self.edited.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    fn path(&self, n: u8) -> PathBuf {
        self.root.join(PATHS[usize::from(n) % PATHS.len()])
    }

    fn try_edit(&self, edit: Edit) -> std::io::Result<()> {
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
                    let before = tree(&path);
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
        *self.edited.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
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
