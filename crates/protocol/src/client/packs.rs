//! Packs: up one by one, down one by one or many in one request.

use std::collections::VecDeque;

use bytes::Bytes;
use http::header::{CONTENT_RANGE, RANGE};
use http::{HeaderValue, Method, StatusCode};
use hyper::body::Incoming;
use simsync_vault::commit::PackRef;
use simsync_vault::ids::{CollectionId, PackId};

use super::body::{self, Upload};
use super::{ClientError, Connection};
use crate::api::{BATCH_PACKS_MAX, FetchRequest, PACK_MAX, PackState, PacksAnswer};
use crate::batch::{Decoder, Pack};

const OCTETS: &str = "application/octet-stream";

impl Connection {
    /// `GET /v1/packs/{id}/state`: how much of an upload is there, and where to resume.
    pub async fn pack_state(&self, id: PackId) -> Result<PackState, ClientError> {
        self.get(&format!("/v1/packs/{id}/state")).await
    }

    /// `GET /v1/packs` (certificate): live packs of a collection, in the order in which they were committed.
    pub async fn packs(&self, collection: CollectionId) -> Result<PacksAnswer, ClientError> {
        self.get(&format!("/v1/packs?collection={collection}"))
            .await
    }

    /// `PUT /v1/packs/{id}`: one pack, from `offset` on, which is [`PackState::received`] (0 for a new one).
    /// `bytes` is the whole pack. When this answers `complete`, the pack is durable.
    pub async fn put_pack(
        &self,
        id: PackId,
        collection: CollectionId,
        bytes: Bytes,
        offset: u64,
    ) -> Result<PackState, ClientError> {
        let size = bytes.len();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(size);
        let path = format!("/v1/packs/{id}?collection={collection}&size={size}&offset={start}");
        let upload = Upload::new([bytes.slice(start..)]);
        let request = self.request(Method::PUT, &path, Some((OCTETS, upload)))?;
        let answer = self.exchange_large(request).await?;
        self.collect_json(answer).await
    }

    /// `POST /v1/packs/fetch`: the packs one after the other, in the order asked for, while they arrive.
    /// At most [`BATCH_PACKS_MAX`] packs and [`PACK_MAX`] bytes; [`split_fetch`] helps.
    pub async fn fetch_stream(&self, ids: Vec<PackId>) -> Result<PackStream, ClientError> {
        let request = FetchRequest { packs: ids.clone() };
        let json = serde_json::to_vec(&request).map_err(ClientError::nonsense)?;
        let upload = Upload::new([json.into()]);
        let request = self.request(
            Method::POST,
            "/v1/packs/fetch",
            Some(("application/json", upload)),
        )?;
        let answer = self.exchange_large(request).await?;
        Ok(PackStream {
            body: answer.into_body(),
            decoder: Decoder::new(ids.len(), PACK_MAX),
            expected: ids.into(),
            connection: self.clone(),
        })
    }

    /// As [`Self::fetch_stream`], all at once.
    pub async fn fetch_packs(&self, ids: Vec<PackId>) -> Result<Vec<Pack>, ClientError> {
        let mut stream = self.fetch_stream(ids).await?;
        let mut packs = Vec::new();
        while let Some(pack) = stream.next().await? {
            packs.push(pack);
        }
        Ok(packs)
    }

    /// `GET /v1/packs/{id}` with a range: `len` bytes from `start` on, fewer only if the pack ends there.
    pub async fn fetch_range(
        &self,
        id: PackId,
        start: u64,
        len: u64,
    ) -> Result<Bytes, ClientError> {
        if len == 0 {
            return Ok(Bytes::new());
        }
        let len = len.min(PACK_MAX);
        let mut request = self.request(Method::GET, &format!("/v1/packs/{id}"), None)?;
        let range = format!("bytes={start}-{}", start.saturating_add(len - 1));
        let range = HeaderValue::try_from(range).map_err(ClientError::nonsense)?;
        request.headers_mut().insert(RANGE, range);
        let answer = self.exchange_large(request).await?;
        let partial = answer.status() == StatusCode::PARTIAL_CONTENT;
        if !partial || !answer.headers().contains_key(CONTENT_RANGE) {
            return Err(ClientError::Protocol("it ignores ranges".into()));
        }
        let max = usize::try_from(len).unwrap_or(usize::MAX);
        body::collect(answer.into_body(), max, self.0.timeouts.idle).await
    }
}

/// Packs as they arrive.
#[derive(Debug)]
pub struct PackStream {
    body: Incoming,
    decoder: Decoder,
    expected: VecDeque<PackId>,
    connection: Connection,
}

impl PackStream {
    /// The next pack; `None` when all that were asked for have come.
    pub async fn next(&mut self) -> Result<Option<Pack>, ClientError> {
        let nonsense = |why: &str| ClientError::nonsense(why);
        loop {
            let next = self.decoder.next_pack();
            if let Some(pack) = next.map_err(ClientError::nonsense)? {
                return match self.expected.pop_front() {
                    Some(id) if id == pack.id => Ok(Some(pack)),
                    _ => Err(nonsense("a pack that was not asked for")),
                };
            }
            let idle = self.connection.0.timeouts.idle;
            match body::next_piece(&mut self.body, idle).await? {
                Some(piece) => self.decoder.push(piece),
                None => {
                    self.decoder.finish().map_err(ClientError::nonsense)?;
                    if !self.expected.is_empty() {
                        return Err(nonsense("fewer packs than asked for"));
                    }
                    return Ok(None);
                }
            }
        }
    }
}

/// Cuts a list of packs into lists that one request may ask for, in order.
pub fn split_fetch(packs: impl IntoIterator<Item = PackRef>) -> Vec<Vec<PackId>> {
    let mut out: Vec<Vec<PackId>> = Vec::new();
    let mut bytes = 0;
    for pack in packs {
        let fits = bytes + pack.size <= PACK_MAX;
        match out.last_mut() {
            Some(list) if fits && list.len() < BATCH_PACKS_MAX => {
                list.push(pack.id);
                bytes += pack.size;
            }
            _ => {
                out.push(vec![pack.id]);
                bytes = pack.size;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetches_are_split_by_size_and_number() {
        let pack = |n: u16, size| PackRef {
            id: PackId([n.to_be_bytes(); 8].concat().try_into().unwrap()),
            collection: CollectionId([1; 16]),
            size,
        };
        let lists = split_fetch([
            pack(1, PACK_MAX),
            pack(2, 1),
            pack(3, PACK_MAX - 1),
            pack(4, 1),
        ]);
        assert_eq!(lists.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 1]);
        let lists = split_fetch((0..1025).map(|n| pack(n, 1)));
        assert_eq!(lists.iter().map(Vec::len).collect::<Vec<_>>(), [1024, 1]);
        assert!(split_fetch([]).is_empty());
    }
}
