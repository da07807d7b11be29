//! Contents that both sides changed, made one where the collection's adapter knows what they mean.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read as _;

use simsync_sync::adapter::{Adapter, Place, Versions};
use simsync_sync::node::RelPath;
use simsync_sync::plan::Merged;
use simsync_vault::chunker::Chunker;
use simsync_vault::ids::CollectionId;
use simsync_vault::tree::chunk_id;
use zeroize::Zeroizing;

use super::uploader::Uploader;
use super::uploads::MergedFile;
use crate::engine::EngineError;
use crate::engine::cancel::KeyCell;
use crate::engine::clock::now_ms;
use crate::engine::content::Content;
use crate::engine::random::fresh_rng;
use crate::engine::seen::Seen;
use crate::engine::vault::objects::Objects;

/// Larger contents are not merged: three of them are in memory at once. In bytes.
const MERGED_MAX: u64 = 16 << 20;

/// Merges contents of one collection.
pub struct ContentMerger<'a, 'o> {
    keys: &'a KeyCell,
    adapter: &'a dyn Adapter,
    chunker: &'a Chunker,
    objects: RefCell<&'a mut Objects<'o>>,
    /// What came of it, by path.
    made: RefCell<BTreeMap<RelPath, MergedFile>>,
    failed: RefCell<Option<EngineError>>,
}

impl<'a, 'o> ContentMerger<'a, 'o> {
    pub fn new(
        keys: &'a KeyCell,
        adapter: &'a dyn Adapter,
        chunker: &'a Chunker,
        objects: &'a mut Objects<'o>,
    ) -> Self {
        Self {
            keys,
            adapter,
            chunker,
            objects: RefCell::new(objects),
            made: RefCell::default(),
            failed: RefCell::default(),
        }
    }

    /// Merges a file of this disk with the vault's.
    pub fn on_disk(
        &self,
        place: &dyn Place,
        path: &RelPath,
        base: Option<&Seen>,
        local: &Seen,
        remote: &Seen,
    ) -> Option<Merged<Seen>> {
        let (Seen::Read(local), Seen::Read(remote)) = (local, remote) else {
            return None;
        };
        let base = match base {
            Some(Seen::Read(base)) => Some(base),
            _ => None,
        };
        let read = || self.read(place, path, local);
        let merged = self.merge(path, base, (local, &read), remote)?;
        Some(Merged {
            content: Seen::Read(merged.content),
            lacks_local: merged.lacks_local,
        })
    }

    /// Merges a tail's content with the vault's: both are in packs.
    pub fn in_vault(
        &self,
        path: &RelPath,
        base: Option<&Content>,
        local: &Content,
        remote: &Content,
    ) -> Option<Merged<Content>> {
        self.merge(path, base, (local, &|| self.fetch(local)), remote)
    }

    fn merge(
        &self,
        path: &RelPath,
        base: Option<&Content>,
        (local, read_local): (&Content, &dyn Fn() -> Option<Zeroizing<Vec<u8>>>),
        remote: &Content,
    ) -> Option<Merged<Content>> {
        let sizes = [base, Some(local), Some(remote)];
        let too_large = sizes.iter().flatten().any(|c| c.size > MERGED_MAX);
        if too_large || !self.adapter.merges(path) {
            return None;
        }
        let (mine, theirs) = (read_local()?, self.fetch(remote)?);
        let both = base.and_then(|base| self.fetch(base));
        let versions = Versions {
            base: both.as_ref().map(|b| &b[..]),
            local: &mine,
            remote: &theirs,
        };
        let merged = self.adapter.merge(path, &versions)?;
        let bytes = Zeroizing::new(merged.content);
        let content = match content_of_bytes(self.keys, &bytes, self.chunker) {
            Ok(content) => content,
            Err(error) => {
                self.failed.replace(Some(error));
                return None;
            }
        };
        let file = MergedFile {
            content: content.clone(),
            bytes,
        };
        self.made.borrow_mut().insert(path.clone(), file);
        Some(Merged {
            content,
            lacks_local: merged.lacks_local,
        })
    }

    /// A file of this disk, if it is still what it was when it was looked at.
    fn read(
        &self,
        place: &dyn Place,
        path: &RelPath,
        content: &Content,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let size = usize::try_from(content.size).ok()?;
        let mut data = Zeroizing::new(Vec::with_capacity(size + 1));
        let file = place.open_file(path).ok()?;
        file.take(content.size + 1).read_to_end(&mut data).ok()?;
        let now = content_of_bytes(self.keys, &data, self.chunker).ok()?;
        (now == *content).then_some(data)
    }

    /// Content that is in the vault's packs; none where a piece of it cannot be had: then nothing is merged.
    fn fetch(&self, content: &Content) -> Option<Zeroizing<Vec<u8>>> {
        let mut objects = self.objects.borrow_mut();
        let size = usize::try_from(content.size).ok()?;
        let mut data = Zeroizing::new(Vec::with_capacity(size));
        let got = objects.prepare(content.chunks.iter()).and_then(|()| {
            for id in content.chunks.iter() {
                let chunk = objects.chunk(id)?;
                if chunk.len() > size - data.len() {
                    return Err(EngineError::WrongSize(String::new()));
                }
                data.extend_from_slice(&chunk);
            }
            Ok(())
        });
        match got {
            Ok(()) => (data.len() == size).then_some(data),
            Err(error) => {
                if error.of_one_path().is_none() {
                    self.failed.replace(Some(error));
                }
                None
            }
        }
    }

    /// What was made; or what failed for more than one file.
    pub fn done(self) -> Result<BTreeMap<RelPath, MergedFile>, EngineError> {
        match self.failed.into_inner() {
            Some(error) => Err(error),
            None => Ok(self.made.into_inner()),
        }
    }
}

/// What identifies these bytes as the content of a file that is written now.
fn content_of_bytes(
    keys: &KeyCell,
    data: &[u8],
    chunker: &Chunker,
) -> Result<Content, EngineError> {
    let ids = pieces(chunker, data).map(|piece| keys.with(|k| chunk_id(k, piece)));
    let chunks = ids.collect::<Result<_, _>>()?;
    Ok(Content {
        chunks,
        size: data.len() as u64,
        mtime: now_ms().saturating_mul(1_000_000),
    })
}

/// Puts what was merged into packs.
pub fn upload_merged<'f>(
    (collection, uploader): (CollectionId, &Uploader),
    chunker: &Chunker,
    files: impl Iterator<Item = &'f MergedFile>,
) -> Result<(), EngineError> {
    let mut rng = fresh_rng();
    for file in files {
        for (id, piece) in file.content.chunks.iter().zip(pieces(chunker, &file.bytes)) {
            uploader.chunk(collection, *id, piece, &mut rng)?;
        }
    }
    Ok(())
}

/// Cuts content as files are cut when they are read.
fn pieces<'d>(chunker: &Chunker, data: &'d [u8]) -> impl Iterator<Item = &'d [u8]> {
    let is_whole = data.len() as u64 <= u64::from(chunker.params().whole_file_max);
    let mut rest = data;
    std::iter::from_fn(move || {
        let n = if is_whole {
            rest.len()
        } else {
            chunker.cut(rest)
        };
        let (piece, after) = rest.split_at_checked(n)?;
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}
