//! Folders of files: made, copied, changed, compared.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::rig::Result;

fn at(path: &Path) -> impl Fn(std::io::Error) -> String + '_ {
    move |e| format!("{}: {e}", path.display())
}

/// How much is in a folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Files and links.
    pub files: usize,
    /// Bytes in files.
    pub bytes: u64,
}

/// All paths below a folder in order, directories included.
pub fn walk(root: &Path) -> Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    let mut stack = vec![root.to_path_buf()];
    while let Some(dir) = stack.pop() {
        for entry in fs::read_dir(&dir).map_err(at(&dir))? {
            let path = entry.map_err(at(&dir))?.path();
            if path.file_name().is_some_and(|n| n == ".simsync-work") {
                continue;
            }
            let meta = fs::symlink_metadata(&path).map_err(at(&path))?;
            if meta.is_dir() {
                stack.push(path.clone());
            }
            out.push(path);
        }
    }
    out.sort();
    Ok(out)
}

/// Counts files and bytes.
pub fn size(root: &Path) -> Result<Size> {
    let mut size = Size::default();
    for path in walk(root)? {
        let meta = fs::symlink_metadata(&path).map_err(at(&path))?;
        if !meta.is_dir() {
            size.files += 1;
        }
        if meta.is_file() {
            size.bytes += meta.len();
        }
    }
    Ok(size)
}

/// Copies files, directories and links that can be read, up to a limit of bytes.
pub fn copy(from: &Path, to: &Path, limit: u64) -> Result<Size> {
    let mut size = Size::default();
    fs::create_dir_all(to).map_err(at(to))?;
    for path in walk(from)? {
        let Ok(relative) = path.strip_prefix(from) else {
            continue;
        };
        let target = to.join(relative);
        let meta = fs::symlink_metadata(&path).map_err(at(&path))?;
        if meta.is_dir() {
            fs::create_dir_all(&target).map_err(at(&target))?;
        } else if meta.is_symlink() {
            let link = fs::read_link(&path).map_err(at(&path))?;
            std::os::unix::fs::symlink(link, &target).map_err(at(&target))?;
            size.files += 1;
        } else if meta.is_file()
            && size.bytes + meta.len() <= limit
            && fs::File::open(&path).is_ok()
        {
            fs::copy(&path, &target).map_err(at(&target))?;
            size.files += 1;
            size.bytes += meta.len();
        }
    }
    Ok(size)
}

/// Files in one folder.
const FOLDER: usize = 100;

/// Writes random files of about `mean` bytes until both limits are reached.
pub fn fill(root: &Path, files: usize, mean: usize, seed: u64) -> Result<Size> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut size = Size::default();
    for i in 0..files {
        let dir = folder_of(root, i);
        if i % FOLDER == 0 {
            fs::create_dir_all(&dir).map_err(at(&dir))?;
        }
        let mut data = vec![0; rng.random_range(mean / 2..=mean * 3 / 2)];
        rng.fill_bytes(&mut data);
        let path = dir.join(format!("f{i:06}"));
        fs::write(&path, &data).map_err(at(&path))?;
        size.files += 1;
        size.bytes += data.len() as u64;
    }
    Ok(size)
}

/// The folders in which [`fill`] puts the first of its files.
pub fn first_folders(root: &Path, files: usize) -> Vec<PathBuf> {
    let all = 0..files.div_ceil(FOLDER);
    all.map(|n| folder_of(root, n * FOLDER)).collect()
}

fn folder_of(root: &Path, file: usize) -> PathBuf {
    root.join(format!("d{:03}", file / FOLDER))
}

/// What a change did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changed {
    /// Files written, renamed or deleted.
    pub files: usize,
    /// Bytes in written files.
    pub bytes: u64,
}

/// Changes `n` files: seven in ten rewritten, some new, some renamed, some deleted.
pub fn change(root: &Path, n: usize, mean: usize, seed: u64) -> Result<Changed> {
    change_among(root, n, mean, seed, |_| true)
}

/// The same, of files of these paths only.
pub fn change_among(
    root: &Path,
    n: usize,
    mean: usize,
    seed: u64,
    is_meant: impl Fn(&Path) -> bool,
) -> Result<Changed> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut files: Vec<PathBuf> = walk(root)?
        .into_iter()
        .filter(|p| is_meant(p) && fs::symlink_metadata(p).is_ok_and(|m| m.is_file()))
        .collect();
    let mut done = Changed::default();
    for i in 0..n {
        let pick = rng.random_range(0..files.len().max(1));
        let mut data = vec![0; rng.random_range(mean / 2..=mean * 3 / 2)];
        rng.fill_bytes(&mut data);
        match (i % 10, files.get(pick).cloned()) {
            (8, Some(path)) => {
                let new = path.with_file_name(format!("renamed-{seed}-{i}"));
                fs::rename(&path, &new).map_err(at(&path))?;
                files[pick] = new;
            }
            (9, Some(path)) => {
                fs::remove_file(&path).map_err(at(&path))?;
                files.swap_remove(pick);
            }
            (0..=6, Some(path)) => {
                fs::write(&path, &data).map_err(at(&path))?;
                done.bytes += data.len() as u64;
            }
            _ => {
                let path = root.join(format!("new-{seed}-{i}"));
                fs::write(&path, &data).map_err(at(&path))?;
                done.bytes += data.len() as u64;
                files.push(path);
            }
        }
        done.files += 1;
    }
    Ok(done)
}

/// Everything that a person does to a folder, once at least: a file in new nested folders, an empty file, one written anew,
/// one renamed, one deleted, a folder of an earlier call renamed; and one of `large` bytes, if that is not 0.
pub fn stir(root: &Path, rng: &mut StdRng, tag: &str, large: usize) -> Result<Changed> {
    let mut done = Changed::default();
    let mut put = |path: PathBuf, bytes: usize, rng: &mut StdRng| -> Result<()> {
        let mut data = vec![0; bytes];
        rng.fill_bytes(&mut data);
        let dir = path.parent().unwrap_or(root);
        fs::create_dir_all(dir).map_err(at(dir))?;
        fs::write(&path, &data).map_err(at(&path))?;
        done.files += 1;
        done.bytes += bytes as u64;
        Ok(())
    };
    let nested = root.join(format!("nested-{tag}"));
    put(
        nested.join("one/two/three.bin"),
        rng.random_range(1..30_000),
        rng,
    )?;
    put(nested.join("empty"), 0, rng)?;
    for i in 0..rng.random_range(2..6) {
        put(
            root.join(format!("new-{tag}-{i}")),
            rng.random_range(1..20_000),
            rng,
        )?;
    }
    if large > 0 {
        put(root.join("large"), large, rng)?;
    }
    let files: Vec<PathBuf> = walk(root)?
        .into_iter()
        .filter(|p| p.file_name().is_none_or(|n| n != "large"))
        .filter(|p| fs::symlink_metadata(p).is_ok_and(|m| m.is_file()))
        .collect();
    // Three different ones.
    let first = rng.random_range(0..files.len());
    let pick = |i: usize| &files[(first + i * files.len() / 3) % files.len()];
    put(pick(0).clone(), rng.random_range(1..25_000), rng)?;
    let renamed = root.join(format!("renamed-{tag}"));
    fs::rename(pick(1), &renamed).map_err(at(&renamed))?;
    fs::remove_file(pick(2)).map_err(at(pick(2)))?;
    if let Some(folder) = walk(root)?
        .into_iter()
        .filter(|p| p.parent() == Some(root) && p.is_dir() && *p != nested)
        .find(|p| {
            let name = p.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("nested-") || name.starts_with("moved-")
        })
    {
        let target = root.join(format!("moved-{tag}"));
        fs::rename(&folder, &target).map_err(at(&target))?;
    }
    done.files += 2;
    Ok(done)
}

/// Content and attributes by path.
pub type Snapshot = BTreeMap<Vec<u8>, (char, u32, Vec<u8>)>;

/// Everything that must be equal on two terminals.
pub fn snapshot(root: &Path) -> Result<Snapshot> {
    let mut out = Snapshot::new();
    for path in walk(root)? {
        let meta = fs::symlink_metadata(&path).map_err(at(&path))?;
        let relative = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .as_os_str()
            .as_bytes()
            .to_vec();
        let mode = meta.permissions().mode() & 0o777;
        let entry = if meta.is_dir() {
            ('d', mode, Vec::new())
        } else if meta.is_symlink() {
            let link = fs::read_link(&path).map_err(at(&path))?;
            ('l', 0, link.as_os_str().as_bytes().to_vec())
        } else {
            ('f', mode, fs::read(&path).map_err(at(&path))?)
        };
        out.insert(relative, entry);
    }
    Ok(out)
}

/// The first differences between two folders, for people; none if they are equal.
pub fn differences(a: &Path, b: &Path) -> Result<Option<String>> {
    let (a, b) = (snapshot(a)?, snapshot(b)?);
    let name = |k: &[u8]| String::from_utf8_lossy(k).into_owned();
    let mut found = Vec::new();
    for key in a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))) {
        let why = match (a.get(key), b.get(key)) {
            (Some(x), Some(y)) if x == y => continue,
            (Some(x), Some(y)) if (x.0, &x.2) == (y.0, &y.2) => {
                format!("mode {:o} and {:o}", x.1, y.1)
            }
            (Some(_), Some(_)) => "content".to_owned(),
            (Some(_), None) => "only in the first".to_owned(),
            _ => "only in the second".to_owned(),
        };
        found.push(format!("{}: {why}", name(key)));
    }
    if found.is_empty() {
        return Ok(None);
    }
    let more = found.len().saturating_sub(8);
    found.truncate(8);
    Ok(Some(format!("{} (and {more} more)", found.join("; "))))
}
