//! Content whose places are known and whose packs are on this disk: it is read and opened on several threads at once.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use simsync_vault::ids::{ObjectId, PackId};
use simsync_vault::pack::open_object;
use simsync_vault::seal::Kind;
use simsync_vault::tree::chunk_id;
use zeroize::Zeroizing;

use super::PlanApplier;
use crate::engine::EngineError;
use crate::engine::vault::objects::Prepared;
use crate::store::Found;

/// Packs that one thread keeps open.
const OPEN_MAX: usize = 16;

/// Reads for one thread.
pub(super) struct Reader<'a> {
    room: &'a PlanApplier,
    prepared: &'a Prepared,
    files: HashMap<PackId, File>,
    ahead: Ahead,
    /// What was opened, by pack, and what it was.
    pub(super) opened: Vec<(i64, ObjectId, Found)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(room: &'a PlanApplier, prepared: &'a Prepared) -> Self {
        Self {
            room,
            prepared,
            files: HashMap::new(),
            ahead: Ahead::default(),
            opened: Vec::new(),
        }
    }

    /// The chunk. None: it is not where it is said to be, or not what it is said to be; whoever knows all the ways to it is to
    /// be asked.
    pub(super) fn chunk(
        &mut self,
        id: &ObjectId,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, EngineError> {
        let Some(at) = self.prepared.places.get(id) else {
            return Ok(None);
        };
        let pack = at.pack.reference;
        let sealed = match self.prepared.parts.get(&(pack.id, at.offset)) {
            Some(part) => &part[..],
            None => {
                if !self.files.contains_key(&pack.id) {
                    let Some(file) = self.room.packs.kept(&pack) else {
                        return Ok(None);
                    };
                    if self.files.len() >= OPEN_MAX {
                        self.files.clear();
                    }
                    self.files.insert(pack.id, file);
                }
                let Some(file) = self.files.get(&pack.id) else {
                    return Ok(None);
                };
                let (offset, stored) = (u64::from(at.offset), at.stored as usize);
                match self.ahead.read(&pack.id, file, offset, stored) {
                    Some(sealed) => sealed,
                    None => return Ok(None),
                }
            }
        };
        let plain = self.room.keys.with(|k| {
            let plain = open_object(k, Kind::Chunk, id, sealed).ok()?;
            (chunk_id(k, &plain) == *id).then_some(plain)
        })?;
        if plain.is_some() {
            self.opened.push((at.pack.pk, *id, Found::Good));
        }
        Ok(plain)
    }
}

/// So much of a pack is read at once, in bytes, where one object follows another.
const AHEAD: usize = 64 << 10;

/// A part of a pack. Files are written in the order in which they were put into packs, for the most part.
#[derive(Default)]
struct Ahead {
    pack: Option<PackId>,
    offset: u64,
    bytes: Vec<u8>,
    /// Where the object ended that was read last.
    end: u64,
}

impl Ahead {
    /// So many bytes from this offset, if the pack has them.
    fn read(&mut self, pack: &PackId, file: &File, offset: u64, len: usize) -> Option<&[u8]> {
        let is_this = self.pack.as_ref() == Some(pack);
        let begin = |offset: u64| usize::try_from(offset.checked_sub(self.offset)?).ok();
        let held = |begin: usize| {
            self.bytes
                .len()
                .checked_sub(begin)
                .is_some_and(|n| n >= len)
        };
        let begin = begin(offset).filter(|begin| is_this && held(*begin));
        let begin = if let Some(begin) = begin {
            begin
        } else {
            let follows = is_this && offset.abs_diff(self.end) < AHEAD as u64;
            self.fill(file, offset, if follows { len.max(AHEAD) } else { len });
            self.pack = Some(*pack);
            0
        };
        self.end = offset + len as u64;
        self.bytes.get(begin..)?.get(..len)
    }

    /// As many bytes from there as the file has, or as can be read.
    fn fill(&mut self, file: &File, offset: u64, len: usize) {
        self.offset = offset;
        self.bytes.resize(len, 0);
        let mut read = 0;
        while let Some(room) = self.bytes.get_mut(read..).filter(|room| !room.is_empty()) {
            match file.read_at(room, offset + read as u64) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.bytes.truncate(read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_order_what_is_read_is_what_stands_there() {
        let bytes: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pack");
        std::fs::write(&path, &bytes).unwrap();
        let (file, short) = (File::open(&path).unwrap(), dir.path().join("short"));
        std::fs::write(&short, &bytes[..1000]).unwrap();
        let short = File::open(&short).unwrap();
        let (one, other) = (PackId([1; 16]), PackId([2; 16]));
        let mut ahead = Ahead::default();
        let mut at = 0u64;
        for i in 0..20_000usize {
            // Mostly forward, at times back, far away, or in another pack.
            let len = 1 + i * 7919 % 3000;
            at = match i % 23 {
                0 => (i as u64 * 104_729) % 1_190_000,
                7 => at.saturating_sub(5000),
                _ => at + (i % 3) as u64,
            };
            let want = usize::try_from(at).unwrap();
            let want = bytes.get(want..want + len);
            assert_eq!(ahead.read(&one, &file, at, len), want, "{at}, {len}");
            if i % 17 == 0 {
                assert_eq!(ahead.read(&other, &short, 990, 10), bytes.get(990..1000));
                assert_eq!(ahead.read(&other, &short, 990, 11), None);
                assert_eq!(ahead.read(&other, &short, 2000, 1), None);
            }
            at += len as u64;
        }
    }
}
