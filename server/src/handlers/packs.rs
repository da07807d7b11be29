//! Packs on their way down.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderValue, StatusCode};
use simsync_protocol::api::{BATCH_PACKS_MAX, FetchRequest, PACK_MAX, PacksAnswer};
use simsync_protocol::batch::record_header;
use simsync_protocol::problem::{Code, Problem};
use simsync_vault::ids::{CollectionId, PackId};

use crate::app::App;
use crate::config::PIECE;
use crate::http::outbound;
use crate::http::reply::{self, BodyError, OrProblem as _, refuse};
use crate::http::{Call, Reply};
use crate::net::connection::Conn;
use crate::net::shares::Kind;
use crate::store::blobs::BlobKey;
use crate::store::types::{GrantRow, PackRow, PackStatus, Peer, Rights};

const OCTETS: &str = "application/octet-stream";

/// `GET /v1/packs`: live packs of one of the terminal's collections.
pub async fn live(call: &mut Call) -> Reply {
    let peer = call.peer().await?;
    let collection: CollectionId = call.param("collection")?;
    let app = &call.app;
    let rights = app
        .chain()
        .rights(peer.subscriber.clone(), peer.terminal)
        .await;
    if !rights.or_problem()?.collections.contains(&collection) {
        return refuse(
            Code::CollectionRefused,
            "this collection is not one of this terminal's",
        );
    }
    let packs = app
        .packs()
        .live_packs(peer.subscriber, collection)
        .await
        .or_problem()?;
    reply::json(&PacksAnswer { packs })
}

/// Who reads: with a grant, or by certificate alone.
struct Reader {
    peer: Peer,
    grant: Option<GrantRow>,
    rights: Rights,
}

async fn reader(call: &Call) -> Result<Reader, Problem> {
    let peer = call.peer().await?;
    let grant = call.grant_opt(&peer).await?;
    if grant.is_some() {
        call.grant(&peer).await?;
    }
    let rights = call
        .app
        .chain()
        .rights(peer.subscriber.clone(), peer.terminal)
        .await
        .or_problem()?;
    Ok(Reader {
        peer,
        grant,
        rights,
    })
}

impl Reader {
    /// Looks packs up and checks that this reader may have them, in the order asked for.
    async fn find(&self, app: &App, ids: &[PackId]) -> Result<Vec<PackRow>, Problem> {
        let rows = app
            .packs()
            .packs(self.peer.subscriber.clone(), ids.to_vec())
            .await;
        let rows: HashMap<PackId, PackRow> = rows
            .or_problem()?
            .into_iter()
            .map(|r| (r.pack.id, r))
            .collect();
        ids.iter()
            .map(|id| {
                let row = rows.get(id).filter(|r| r.status != PackStatus::Uploading);
                let row = row.ok_or_else(|| {
                    Problem::new(Code::NoSuchObject, format!("there is no pack {id}"))
                })?;
                self.check(row)?;
                Ok(row.clone())
            })
            .collect()
    }

    fn check(&self, row: &PackRow) -> Result<(), Problem> {
        let with_grant = self.grant.is_some();
        if row.pack.collection == CollectionId::OUTBOX {
            if with_grant {
                return Ok(());
            }
            return refuse(Code::GrantRequired, "packs of tails need an open session");
        }
        if !self.rights.collections.contains(&row.pack.collection) {
            return refuse(
                Code::CollectionRefused,
                format!(
                    "pack {} is of a collection that is not this terminal's",
                    row.pack.id
                ),
            );
        }
        if !with_grant && row.status != PackStatus::Committed {
            return refuse(
                Code::GrantRequired,
                format!(
                    "pack {} is not part of the vault now: it needs an open session",
                    row.pack.id
                ),
            );
        }
        Ok(())
    }

    fn key(&self, pack: PackId) -> BlobKey {
        BlobKey {
            subscriber: self.peer.subscriber.clone(),
            pack,
        }
    }
}

/// `POST /v1/packs/fetch`.
pub async fn fetch(call: &mut Call) -> Reply {
    let reader = reader(call).await?;
    let request: FetchRequest = call.json().await?;
    if request.packs.len() > BATCH_PACKS_MAX {
        return refuse(
            Code::TooLarge,
            format!("at most {BATCH_PACKS_MAX} packs in one request"),
        );
    }
    let rows = reader.find(&call.app, &request.packs).await?;
    let total: u64 = rows.iter().map(|r| r.pack.size).sum();
    if total > PACK_MAX {
        return refuse(
            Code::TooLarge,
            format!("the packs have {total} bytes together; one request takes {PACK_MAX}"),
        );
    }
    let mut plan = VecDeque::new();
    for row in &rows {
        let header = record_header(&row.pack.id, &row.pack.collection, row.pack.size);
        plan.push_back(Part::Header(Bytes::copy_from_slice(&header)));
        plan.extend(pieces(reader.key(row.pack.id), 0..row.pack.size));
    }
    Ok(reply::ok(OCTETS, send(call, plan)))
}

/// `GET /v1/packs/{id}`, whole or a range.
pub async fn get(call: &mut Call, id: &str) -> Reply {
    let reader = reader(call).await?;
    let id: PackId = id
        .parse()
        .map_err(|e| Problem::new(Code::BadRequest, format!("{e}")))?;
    let rows = reader.find(&call.app, &[id]).await?;
    let size = rows.first().map_or(0, |r| r.pack.size);
    let range = match call.header(RANGE.as_str())? {
        Some(text) => Some(parse_range(text, size)?),
        None => None,
    };
    let wanted = range.clone().unwrap_or(0..size);
    let length = wanted.end - wanted.start;
    let plan = pieces(reader.key(id), wanted.clone()).collect();
    let mut answer = reply::ok(OCTETS, send(call, plan));
    answer
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(length));
    if range.is_some() {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        let text = format!("bytes {}-{}/{size}", wanted.start, wanted.end - 1);
        let value = HeaderValue::try_from(text).map_err(|e| reply::internal(&e))?;
        answer.headers_mut().insert(CONTENT_RANGE, value);
    }
    Ok(answer)
}

/// `bytes=FIRST-LAST` or `bytes=FIRST-`, one range.
fn parse_range(text: &str, size: u64) -> Result<Range<u64>, Problem> {
    let bad = || {
        Problem::new(
            Code::BadRequest,
            format!("the range must be bytes=FIRST-LAST within the {size} bytes of the pack"),
        )
    };
    let (first, last) = text
        .strip_prefix("bytes=")
        .and_then(|t| t.split_once('-'))
        .ok_or_else(bad)?;
    let first: u64 = first.parse().map_err(|_| bad())?;
    let end = match last {
        "" => size,
        last => last
            .parse::<u64>()
            .map_err(|_| bad())?
            .saturating_add(1)
            .min(size),
    };
    if first >= end {
        return Err(bad());
    }
    Ok(first..end)
}

/// One step of a streamed answer.
enum Part {
    Header(Bytes),
    Read(BlobKey, Range<u64>),
}

fn pieces(key: BlobKey, range: Range<u64>) -> impl Iterator<Item = Part> {
    let end = range.end;
    range
        .step_by(PIECE)
        .map(move |start| Part::Read(key.clone(), start..end.min(start + PIECE as u64)))
}

/// Streams the parts; as many small ones at once as fit one read.
fn send(call: &Call, plan: VecDeque<Part>) -> reply::Body {
    reply::stream(stream::try_unfold(
        (call.app.clone(), call.conn.clone(), plan),
        |(app, conn, mut plan)| async move {
            let (mut bytes, mut taken) = (0, Vec::new());
            while let Some(part) = plan.pop_front() {
                if let Part::Read(_, range) = &part {
                    bytes += range.end - range.start;
                }
                taken.push(part);
                if bytes >= PIECE as u64 {
                    break;
                }
            }
            if taken.is_empty() {
                return Ok(None);
            }
            let piece = read(&app, &conn, taken, bytes).await?;
            Ok::<_, BodyError>(Some((piece, (app, conn, plan))))
        },
    ))
}

/// Reads the parts, which are `bytes` long. Their memory is reserved until HTTP/2 has written them: whoever does not take
/// an answer keeps others of their own share waiting, and nobody else.
async fn read(app: &App, conn: &Conn, taken: Vec<Part>, bytes: u64) -> Result<Bytes, BodyError> {
    let memory = Kind::Memory(usize::try_from(bytes)?);
    let wait = app.limits.answer_stall;
    let hold = conn.purse.take_within(memory, wait).await?;
    let reads = taken
        .iter()
        .filter_map(|p| match p {
            Part::Header(_) => None,
            Part::Read(key, range) => Some((key.clone(), range.clone())),
        })
        .collect();
    let read = app.blobs.read(reads).await.inspect_err(|e| {
        tracing::error!("a pack that the database names cannot be read: {e:?}");
    })?;
    if let ([Part::Read(..)], [only]) = (taken.as_slice(), read.as_slice()) {
        return Ok(outbound::reserved(only.clone(), hold));
    }
    let mut read = read.into_iter();
    let mut out = BytesMut::new();
    for part in taken {
        match part {
            Part::Header(bytes) => out.extend_from_slice(&bytes),
            Part::Read(..) => out.extend_from_slice(&read.next().unwrap_or_default()),
        }
    }
    Ok(outbound::reserved(out.freeze(), hold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_bounded() {
        assert_eq!(parse_range("bytes=0-0", 10).unwrap(), 0..1);
        assert_eq!(parse_range("bytes=3-", 10).unwrap(), 3..10);
        assert_eq!(parse_range("bytes=3-99", 10).unwrap(), 3..10);
        for bad in [
            "bytes=10-",
            "bytes=-5",
            "bytes=5-4",
            "0-1",
            "bytes=a-b",
            "bytes=1-2,3-4",
        ] {
            assert!(parse_range(bad, 10).is_err(), "{bad}");
        }
        let max = format!("bytes=0-{}", u64::MAX);
        assert_eq!(parse_range(&max, 10).unwrap(), 0..10);
    }
}
