//! The adapter of a collection that is no folder: one file of `key=value` lines, merged key by key.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use simsync_sync::adapter::{Adapter, Items, Opened, Place, Versions, Writes};
use simsync_sync::dir::{
    ApplyError, Found, FoundKind, FsId, Scan, ScanError, Stat, open_beneath, open_root,
};
use simsync_sync::node::RelPath;
use simsync_sync::plan::Merged;

/// The file's name in the vault; versions that were kept aside lie beside it.
pub const NAME: &str = "settings";

#[derive(Debug)]
pub struct KeyValue;

/// The pairs of a file, if it is one of pairs.
pub fn parsed(text: &[u8]) -> Option<BTreeMap<String, String>> {
    let lines = std::str::from_utf8(text).ok()?.lines();
    let pair = |line: &str| {
        let (key, value) = line.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    };
    lines.map(pair).collect()
}

impl Adapter for KeyValue {
    fn open(&self, root: &Path) -> Result<Box<dyn Place>, ScanError> {
        let folder = self.watched(root);
        let name = root.file_name().unwrap().to_str().unwrap().to_owned();
        let fd = open_root(&folder)?;
        Ok(Box::new(OneFile { fd, folder, name }))
    }

    fn make(&self, root: &Path) -> std::io::Result<bool> {
        let folder = self.watched(root);
        let was_there = folder.is_dir();
        std::fs::create_dir_all(folder)?;
        Ok(!was_there)
    }

    fn watched(&self, root: &Path) -> PathBuf {
        root.parent().unwrap().to_owned()
    }

    fn merges(&self, path: &RelPath) -> bool {
        path.as_bytes() == NAME.as_bytes()
    }

    fn merge(&self, _: &RelPath, versions: &Versions<'_>) -> Option<Merged<Vec<u8>>> {
        let base = parsed(versions.base?)?;
        let (local, remote) = (parsed(versions.local)?, parsed(versions.remote)?);
        let keys: BTreeSet<&String> = local.keys().chain(remote.keys()).collect();
        let (mut content, mut lacks_local) = (Vec::new(), false);
        for key in keys {
            let (b, l, r) = (base.get(key), local.get(key), remote.get(key));
            let now = if r == b { l } else { r };
            lacks_local |= l != b && l != now;
            if let Some(value) = now {
                writeln!(content, "{key}={value}").unwrap();
            }
        }
        Some(Merged {
            content,
            lacks_local,
        })
    }
}

#[derive(Debug)]
struct OneFile {
    fd: std::os::fd::OwnedFd,
    folder: PathBuf,
    /// The file's name on this terminal.
    name: String,
}

impl OneFile {
    fn root(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.fd)
    }

    /// `settings (conflict, A)` in the vault is `NAME (conflict, A)` here.
    fn here(&self, path: &RelPath) -> Result<PathBuf, Errno> {
        let path = std::str::from_utf8(path.as_bytes()).map_err(|_| Errno::INVAL)?;
        let aside = path.strip_prefix(NAME).ok_or(Errno::INVAL)?;
        Ok(self.folder.join(format!("{}{aside}", self.name)))
    }

    fn stat(&self, path: &RelPath) -> Result<Option<Stat>, ApplyError> {
        match self.open_file(path).and_then(|file| file.stat()) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(ApplyError::Io {
                path: path.to_string(),
                errno,
            }),
        }
    }

    fn expect(&self, path: &RelPath, expected: Option<&Stat>) -> Result<(), ApplyError> {
        let now = self.stat(path)?;
        let same = match (&now, expected) {
            (None, None) => true,
            (Some(now), Some(then)) => now.same_content(then),
            _ => false,
        };
        if same {
            Ok(())
        } else {
            Err(ApplyError::ChangedMeanwhile(path.clone()))
        }
    }
}

fn failed(path: &RelPath) -> impl FnOnce(std::io::Error) -> ApplyError {
    let path = path.to_string();
    move |e| ApplyError::Io {
        path,
        errno: Errno::from_io_error(&e).unwrap_or(Errno::IO),
    }
}

impl Place for OneFile {
    fn identity(&self) -> Result<(FsId, u64), Errno> {
        Ok((FsId::of(&self.fd)?, Stat::of_fd(&self.fd)?.ino))
    }

    fn scan(&self, entry: &mut dyn FnMut(Found), _: &dyn Fn() -> bool) -> Result<Scan, ScanError> {
        let mut scan = Scan::default();
        for there in std::fs::read_dir(&self.folder).unwrap().flatten() {
            let name = there.file_name().into_string().unwrap();
            let Some(aside) = name.strip_prefix(&self.name) else {
                continue;
            };
            let path = RelPath::new(format!("{NAME}{aside}")).unwrap();
            let stat = self.open_file(&path).and_then(|f| f.stat());
            if let Ok(stat) = stat {
                scan.entries += 1;
                let kind = FoundKind::File;
                entry(Found {
                    path,
                    kind,
                    stat,
                    linked: false,
                });
            }
        }
        Ok(scan)
    }

    fn read_link(&self, _: &RelPath) -> Result<Vec<u8>, Errno> {
        Err(Errno::INVAL)
    }

    fn open_file(&self, path: &RelPath) -> Result<Box<dyn Opened>, Errno> {
        let path = self.here(path)?;
        let name = path.file_name().unwrap().as_encoded_bytes().to_vec();
        let fd = open_beneath(self.root(), &name, rustix::fs::OFlags::RDONLY)?;
        Ok(Box::new(std::fs::File::from(fd)))
    }

    fn writes(&self) -> Writes<'_> {
        Writes::Items(self)
    }
}

impl Items for OneFile {
    fn write(
        &self,
        path: &RelPath,
        content: &[u8],
        mtime: i64,
        expected: Option<&Stat>,
    ) -> Result<Stat, ApplyError> {
        self.expect(path, expected)?;
        let write = || {
            let to = self.here(path)?;
            let mut file = tempfile::NamedTempFile::with_prefix_in(".part", &self.folder)?;
            file.write_all(content)?;
            let mtime = Duration::from_nanos(u64::try_from(mtime).unwrap_or(0));
            file.as_file()
                .set_modified(std::time::SystemTime::UNIX_EPOCH + mtime)?;
            file.as_file().sync_all()?;
            file.persist(to).map_err(|e| e.error)?;
            Ok(())
        };
        write().map_err(failed(path))?;
        let gone = || ApplyError::ChangedMeanwhile(path.clone());
        self.stat(path)?.ok_or_else(gone)
    }

    fn rename(&self, from: &RelPath, to: &RelPath) -> Result<Stat, ApplyError> {
        self.expect(to, None)?;
        let rename = || std::fs::rename(self.here(from)?, self.here(to)?);
        rename().map_err(failed(from))?;
        let gone = || ApplyError::ChangedMeanwhile(to.clone());
        self.stat(to)?.ok_or_else(gone)
    }

    fn remove(&self, path: &RelPath, expected: Option<&Stat>) -> Result<(), ApplyError> {
        if self.stat(path)?.is_none() {
            return Ok(());
        }
        self.expect(path, expected)?;
        let remove = || std::fs::remove_file(self.here(path)?);
        remove().map_err(failed(path))
    }
}
