//! Packs in a row: `[pack ID 16][collection ID 16][size 8, big-endian][bytes]`, as often as there are packs.
//!
//! What `POST /v1/packs/fetch` answers, so that many small packs cost one request. Limits are checked on the record's
//! header, before anything is allocated for its bytes.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use simsync_vault::ids::{CollectionId, PackId};

/// Length of a record's header.
pub const RECORD_HEADER: usize = 16 + 16 + 8;

/// A pack with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// Name of the pack.
    pub id: PackId,
    /// Collection that the pack is part of; zeros (`CollectionId::OUTBOX`) for packs of tails.
    pub collection: CollectionId,
    /// What it holds: 1 to [`PACK_MAX`](crate::api::PACK_MAX) bytes.
    pub bytes: Bytes,
}

/// The header of a record with `size` bytes.
pub fn record_header(id: &PackId, collection: &CollectionId, size: u64) -> [u8; RECORD_HEADER] {
    let mut out = [0; RECORD_HEADER];
    out[..16].copy_from_slice(&id.0);
    out[16..32].copy_from_slice(&collection.0);
    out[32..].copy_from_slice(&size.to_be_bytes());
    out
}

/// Why a stream of records is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// More packs than allowed.
    #[error("the batch has more than {0} packs")]
    TooMany(usize),
    /// More bytes than allowed.
    #[error("the batch has more than {0} bytes of packs")]
    TooLarge(u64),
    /// A pack without bytes.
    #[error("pack {0} is empty")]
    Empty(PackId),
    /// The stream ended within a record.
    #[error("the batch ends in the middle of a pack")]
    Truncated,
}

/// Incremental reader: bytes go in as they arrive, whole packs come out.
#[derive(Debug)]
pub struct Decoder {
    input: VecDeque<Bytes>,
    buffered: usize,
    packs_left: usize,
    bytes_left: u64,
    limits: (usize, u64),
    current: Option<(PackId, CollectionId, usize)>,
}

impl Decoder {
    /// At most `packs` packs with together at most `bytes` bytes.
    pub fn new(packs: usize, bytes: u64) -> Self {
        Self {
            input: VecDeque::new(),
            buffered: 0,
            packs_left: packs,
            bytes_left: bytes,
            limits: (packs, bytes),
            current: None,
        }
    }

    /// Takes what arrived. Call [`Self::next_pack`] until it answers `None` before the next push.
    pub fn push(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.buffered += data.len();
            self.input.push_back(data);
        }
    }

    /// The next whole pack, or `None` if more bytes are needed.
    pub fn next_pack(&mut self) -> Result<Option<Pack>, BatchError> {
        if self.current.is_none() {
            if self.buffered < RECORD_HEADER {
                return Ok(None);
            }
            self.read_header()?;
        }
        let Some((id, collection, size)) = self.current else {
            return Ok(None);
        };
        if self.buffered < size {
            return Ok(None);
        }
        self.current = None;
        let bytes = self.take(size);
        Ok(Some(Pack {
            id,
            collection,
            bytes,
        }))
    }

    /// To be called at the end of the stream: nothing may be left over.
    pub fn finish(&self) -> Result<(), BatchError> {
        if self.current.is_some() || self.buffered > 0 {
            return Err(BatchError::Truncated);
        }
        Ok(())
    }

    fn read_header(&mut self) -> Result<(), BatchError> {
        let mut header = self.take(RECORD_HEADER);
        let (mut id, mut collection) = ([0; 16], [0; 16]);
        header.copy_to_slice(&mut id);
        header.copy_to_slice(&mut collection);
        let size = header.get_u64();
        if size == 0 {
            return Err(BatchError::Empty(PackId(id)));
        }
        self.packs_left = self
            .packs_left
            .checked_sub(1)
            .ok_or(BatchError::TooMany(self.limits.0))?;
        let too_large = BatchError::TooLarge(self.limits.1);
        self.bytes_left = self.bytes_left.checked_sub(size).ok_or(too_large.clone())?;
        let size = usize::try_from(size).map_err(|_| too_large)?;
        self.current = Some((PackId(id), CollectionId(collection), size));
        Ok(())
    }

    /// Takes exactly `n` bytes that are known to be buffered; without a copy if they arrived in one piece.
    fn take(&mut self, n: usize) -> Bytes {
        self.buffered -= n;
        if let Some(first) = self.input.front_mut()
            && first.len() >= n
        {
            let out = first.split_to(n);
            if first.is_empty() {
                self.input.pop_front();
            }
            return out;
        }
        let mut out = BytesMut::with_capacity(n);
        while out.len() < n {
            let Some(first) = self.input.front_mut() else {
                break;
            };
            let part = first.split_to(first.len().min(n - out.len()));
            if first.is_empty() {
                self.input.pop_front();
            }
            out.extend_from_slice(&part);
        }
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{BATCH_PACKS_MAX, PACK_MAX};

    fn pack(n: u8, size: usize) -> Pack {
        Pack {
            id: PackId([n; 16]),
            collection: CollectionId([n + 1; 16]),
            bytes: Bytes::from(vec![n; size]),
        }
    }

    fn decoder() -> Decoder {
        Decoder::new(BATCH_PACKS_MAX, PACK_MAX)
    }

    fn wire(packs: &[Pack]) -> Vec<u8> {
        packs
            .iter()
            .flat_map(|p| {
                let header = record_header(&p.id, &p.collection, p.bytes.len() as u64);
                [&header[..], &p.bytes].concat()
            })
            .collect()
    }

    #[test]
    fn packs_come_out_however_the_bytes_arrive() {
        let packs = [pack(1, 1), pack(2, 100), pack(3, 41)];
        let bytes = wire(&packs);
        for step in [1, 2, 7, 40, 41, 1000] {
            let (mut d, mut out) = (decoder(), Vec::new());
            for part in bytes.chunks(step) {
                d.push(Bytes::copy_from_slice(part));
                while let Some(p) = d.next_pack().unwrap() {
                    out.push(p);
                }
            }
            d.finish().unwrap();
            assert_eq!(out, packs, "in steps of {step}");
        }
    }

    #[test]
    fn limits_are_checked_before_the_bytes_arrive() {
        let head = |size| record_header(&PackId([1; 16]), &CollectionId([1; 16]), size).to_vec();
        let mut d = Decoder::new(2, 100);
        d.push(head(101).into());
        assert_eq!(d.next_pack(), Err(BatchError::TooLarge(100)));
        let mut d = Decoder::new(2, 100);
        d.push(head(u64::MAX).into());
        assert_eq!(d.next_pack(), Err(BatchError::TooLarge(100)));
        let mut d = Decoder::new(2, 100);
        d.push(head(0).into());
        assert!(matches!(d.next_pack(), Err(BatchError::Empty(_))));
        let mut d = Decoder::new(1, 100);
        d.push(wire(&[pack(1, 1), pack(2, 1)]).into());
        assert!(d.next_pack().unwrap().is_some());
        assert_eq!(d.next_pack(), Err(BatchError::TooMany(1)));
    }

    #[test]
    fn truncated_streams_are_noticed() {
        let bytes = wire(&[pack(1, 5)]);
        for n in 1..bytes.len() {
            let mut d = decoder();
            d.push(Bytes::copy_from_slice(&bytes[..n]));
            assert_eq!(d.next_pack().unwrap(), None);
            assert_eq!(d.finish(), Err(BatchError::Truncated));
        }
    }
}
