//! Packs in a folder of this machine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::{RenameFlags, renameat_with};
use sha2::{Digest as _, Sha256};
use simsync_card::ids::{Hash, SubscriberId};
use simsync_vault::ids::PackId;

use super::{BlobKey, Blobs};
use crate::rules::Refusal;
use crate::store::error::{Result, StoreError};

/// Packs as files: `packs/SUBSCRIBER/PACK`, uploads under `staging/SUBSCRIBER/`, subscriber IDs in hex.
#[derive(Debug, Clone)]
pub struct FolderBlobs {
    root: Arc<PathBuf>,
}

impl FolderBlobs {
    /// In `root`, which is made if it is missing. Uploads that were under way stay.
    pub fn open(root: &Path) -> Result<Self> {
        for dir in [root.to_owned(), root.join("packs"), root.join("staging")] {
            make_dir(&dir)?;
        }
        let blobs = Self {
            root: Arc::new(root.to_owned()),
        };
        blobs.sweep().map_err(io_error)?;
        Ok(blobs)
    }

    /// Removes what an older version left in the staging folder: it wrote whole packs aside there, under names (`*.new`)
    /// that no upload goes on with.
    fn sweep(&self) -> io::Result<()> {
        for dir in fs::read_dir(self.root.join("staging"))? {
            for file in fs::read_dir(dir?.path())? {
                let path = file?.path();
                if path.extension().is_some_and(|e| e == "new") {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
    }

    fn dir(&self, kind: &str, subscriber: &SubscriberId) -> Result<PathBuf> {
        let dir = self.root.join(kind).join(hex::encode(subscriber.as_str()));
        if !dir.is_dir() {
            make_dir(&dir)?;
            sync_dir(&self.root.join(kind)).map_err(io_error)?;
        }
        Ok(dir)
    }

    fn place(&self, key: &BlobKey) -> Result<PathBuf> {
        Ok(self
            .dir("packs", &key.subscriber)?
            .join(key.pack.to_string()))
    }

    fn parts(&self, key: &BlobKey) -> Result<PathBuf> {
        let dir = self.dir("staging", &key.subscriber)?;
        Ok(dir.join(format!("{}.part", key.pack)))
    }

    fn append_now(&self, key: &BlobKey, offset: u64, bytes: &Bytes) -> Result<()> {
        let _step = simsync_failpoint::step("server.blob.part");
        let path = self.parts(key)?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(io_error)?;
        let length = file.metadata().map_err(io_error)?.len();
        if length < offset {
            // Another upload of the same pack began anew: never leave a hole.
            return Err(Refusal::PackHole(length).into());
        }
        if length > offset {
            file.set_len(offset).map_err(io_error)?;
        }
        file.write_all_at(bytes, offset).map_err(io_error)
    }

    fn sync_parts_now(&self, key: &BlobKey) -> Result<u64> {
        match File::open(self.parts(key)?) {
            Ok(file) => {
                file.sync_all().map_err(io_error)?;
                sync_dir(&self.dir("staging", &key.subscriber)?).map_err(io_error)?;
                Ok(file.metadata().map_err(io_error)?.len())
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(e) => Err(io_error(e)),
        }
    }

    fn finish_parts_now(&self, key: &BlobKey, size: u64) -> Result<Hash> {
        let _step = simsync_failpoint::step("server.blob.parts-finished");
        let (parts, place) = (self.parts(key)?, self.place(key)?);
        let path = if parts.exists() { &parts } else { &place };
        let mut file = File::open(path).map_err(io_error)?;
        let found = file.metadata().map_err(io_error)?.len();
        if found != size {
            return Err(StoreError::failed(format!(
                "the upload of pack {} has {found} bytes instead of {size}",
                key.pack
            )));
        }
        let hash = hash_of(&mut file).map_err(io_error)?;
        file.sync_all().map_err(io_error)?;
        if path == &parts {
            move_into_place(&parts, &place, &hash)?;
        }
        sync_dir(&self.dir("packs", &key.subscriber)?).map_err(io_error)?;
        Ok(hash)
    }

    fn read_now(&self, parts: Vec<(BlobKey, Range<u64>)>) -> Result<Vec<Bytes>> {
        parts
            .into_iter()
            .map(|(key, range)| {
                let file = File::open(self.place(&key)?).map_err(io_error)?;
                let end = range.end.min(file.metadata().map_err(io_error)?.len());
                if end != range.end || range.start > end {
                    return Err(StoreError::failed(format!("pack {} is cut off", key.pack)));
                }
                let len = usize::try_from(end - range.start).map_err(StoreError::failed)?;
                let mut out = vec![0; len];
                file.read_exact_at(&mut out, range.start)
                    .map_err(io_error)?;
                Ok(Bytes::from(out))
            })
            .collect()
    }

    fn list_now(&self, subscriber: &SubscriberId) -> Result<Vec<PackId>> {
        let mut out = Vec::new();
        for entry in fs::read_dir(self.dir("packs", subscriber)?).map_err(io_error)? {
            let name = entry.map_err(io_error)?.file_name();
            out.extend(name.to_str().and_then(|n| n.parse::<PackId>().ok()));
        }
        out.sort_unstable();
        Ok(out)
    }

    fn delete_now(&self, keys: &[BlobKey]) -> Result<()> {
        for key in keys {
            for path in [self.place(key)?, self.parts(key)?] {
                match fs::remove_file(path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io_error(e)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let blobs = self.clone();
        tokio::task::spawn_blocking(move || work(&blobs))
            .await
            .map_err(StoreError::failed)?
    }
}

#[async_trait]
impl Blobs for FolderBlobs {
    async fn append(&self, key: BlobKey, offset: u64, bytes: Bytes) -> Result<()> {
        self.blocking(move |b| b.append_now(&key, offset, &bytes))
            .await
    }
    async fn sync_parts(&self, key: BlobKey) -> Result<u64> {
        self.blocking(move |b| b.sync_parts_now(&key)).await
    }
    async fn finish_parts(&self, key: BlobKey, size: u64) -> Result<Hash> {
        self.blocking(move |b| b.finish_parts_now(&key, size)).await
    }
    async fn read(&self, parts: Vec<(BlobKey, Range<u64>)>) -> Result<Vec<Bytes>> {
        self.blocking(move |b| b.read_now(parts)).await
    }
    async fn list(&self, subscriber: SubscriberId) -> Result<Vec<PackId>> {
        self.blocking(move |b| b.list_now(&subscriber)).await
    }
    async fn delete(&self, keys: Vec<BlobKey>) -> Result<()> {
        self.blocking(move |b| b.delete_now(&keys)).await
    }
}

fn make_dir(dir: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(io_error)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Never replaces: what stands there must be the same.
fn move_into_place(from: &Path, to: &Path, hash: &Hash) -> Result<()> {
    let _step = simsync_failpoint::step("server.blob.moved");
    use rustix::fs::CWD;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::EXIST) => {
            let mut there = File::open(to).map_err(io_error)?;
            let same = hash_of(&mut there).map_err(io_error)? == *hash;
            fs::remove_file(from).map_err(io_error)?;
            if same {
                there.sync_all().map_err(io_error)
            } else {
                Err(Refusal::PackExists.into())
            }
        }
        Err(e) => Err(io_error(e.into())),
    }
}

fn hash_of(file: &mut File) -> io::Result<Hash> {
    file.seek(SeekFrom::Start(0))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(Hash(digest.finalize().into()));
        }
        digest.update(&buffer[..n]);
    }
}

fn io_error(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
        _ => StoreError::failed(error),
    }
}
