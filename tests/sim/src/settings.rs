//! In some worlds the notes are no folder, but one file of `key=value` lines that is merged by key.
//!
//! A person sets or removes one key at a time. Each value is written once, so what must be true of values is true of keys: one
//! is in the file, or in a version beside it, unless somebody who saw it gave its key another value or removed it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use simsyncd::engine::{Adapters, Engine, EngineConfig};

use crate::keyvalue::{KeyValue, NAME, parsed};
use crate::ops::Edit;

/// Whether the world of this seed is such a one.
pub fn has(seed: u64) -> bool {
    seed % 3 == 2
}

/// The file, below a terminal's folder.
pub fn file(root: &Path) -> PathBuf {
    root.join("notes").join(NAME)
}

/// Whether this is the file, or a version of it that was kept aside: a path below a terminal's folder.
pub fn is_of(path: &Path) -> bool {
    let below = path.strip_prefix("notes").ok().and_then(Path::to_str);
    below.is_some_and(|name| name.starts_with(NAME))
}

/// This engine keeps notes so.
pub fn kept_by(engine: &mut Engine) {
    let adapters = Adapters::default().with("notes", Arc::new(KeyValue));
    engine.config = Arc::new(EngineConfig {
        adapters,
        ..(*engine.config).clone()
    });
}

/// What an edit of a path does to a file of pairs: the path is the key. None: nothing.
pub fn edited(text: &[u8], edit: Edit, value: impl FnOnce() -> String) -> Option<Vec<u8>> {
    let mut pairs = parsed(text)?;
    match edit {
        Edit::Write { path, .. } | Edit::Append { path } | Edit::Symlink { path } => {
            pairs.insert(format!("key{path}"), value());
        }
        Edit::Delete { path } | Edit::Rmdir { path } => {
            pairs.remove(&format!("key{path}"))?;
        }
        Edit::Rename { .. } | Edit::Mkdir { .. } | Edit::Chmod { .. } => return None,
    }
    let lines = pairs.iter().map(|(key, value)| format!("{key}={value}\n"));
    Some(lines.collect::<String>().into_bytes())
}
