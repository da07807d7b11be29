//! Answers on their way: in pieces, each of which is known until HTTP/2 has written it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{self, Instant};

use super::reply::{Body, BodyError};
use crate::config::PIECE;
use crate::net::shares::Hold;

/// Pieces of one connection's answers that are not written yet.
#[derive(Debug, Default)]
pub struct Outbound {
    waiting: Mutex<(u64, BTreeMap<u64, Instant>)>,
}

impl Outbound {
    fn hand_over(self: &Arc<Self>, bytes: Bytes, hold: Option<Arc<Hold>>) -> Bytes {
        let mut waiting = self.waiting.lock();
        waiting.0 += 1;
        let number = waiting.0;
        waiting.1.insert(number, Instant::now());
        Bytes::from_owner(Piece {
            bytes,
            number,
            outbound: self.clone(),
            _hold: hold,
        })
    }

    /// Returns when a piece has waited for longer than `limit`.
    pub async fn overdue(&self, limit: Duration) {
        loop {
            let oldest = {
                let waiting = self.waiting.lock();
                waiting.1.first_key_value().map(|(_, at)| *at)
            };
            let now = Instant::now();
            match oldest.map(|at| at + limit) {
                Some(end) if end <= now => return,
                Some(end) => time::sleep_until(end).await,
                // What comes now is not overdue before then.
                None => time::sleep(limit).await,
            }
        }
    }
}

/// Bytes that HTTP/2 holds. Dropped when they are written, or never will be.
struct Piece {
    bytes: Bytes,
    number: u64,
    outbound: Arc<Outbound>,
    _hold: Option<Arc<Hold>>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let waiting = &self.outbound.waiting;
        let mut waiting = waiting.lock();
        waiting.1.remove(&self.number);
    }
}

/// A body that is handed over piece by piece.
struct SentBody {
    inner: Body,
    rest: Bytes,
    outbound: Arc<Outbound>,
    hold: Option<Arc<Hold>>,
}

impl hyper::body::Body for SentBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        let piece = self.outbound.hand_over(piece, self.hold.clone());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, inner) = (self.rest.len() as u64, self.inner.size_hint());
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(inner.lower() + rest);
        hint
    }
}

/// The answer, in pieces that `outbound` knows of; `hold` lasts until the last one is written.
pub fn answer(
    response: Response<Body>,
    outbound: Arc<Outbound>,
    hold: Option<Hold>,
) -> Response<Body> {
    response.map(|inner| {
        SentBody {
            inner,
            rest: Bytes::new(),
            outbound,
            hold: hold.map(Arc::new),
        }
        .boxed_unsync()
    })
}

/// Bytes together with the memory that was reserved for them.
pub fn reserved(bytes: Bytes, hold: Hold) -> Bytes {
    struct Reserved(Bytes, #[allow(dead_code)] Hold);
    impl AsRef<[u8]> for Reserved {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Reserved(bytes, hold))
}

#[cfg(test)]
mod tests {
    use hyper::body::Body as _;

    use super::*;
    use crate::http::reply;

    #[tokio::test]
    async fn a_body_comes_in_pieces_with_its_length() {
        let outbound = Arc::new(Outbound::default());
        let bytes = Bytes::from(vec![7; 2 * PIECE + 1]);
        let response = Response::new(reply::full(bytes.clone()));
        let mut body = answer(response, outbound.clone(), None).into_body();
        assert_eq!(body.size_hint().exact(), Some(bytes.len() as u64));
        let mut pieces = Vec::new();
        while let Some(frame) = body.frame().await {
            pieces.push(frame.unwrap().into_data().unwrap());
        }
        let lengths: Vec<usize> = pieces.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [PIECE, PIECE, 1]);
        assert_eq!(pieces.concat(), bytes);
        assert_eq!(outbound.waiting.lock().1.len(), 3);
        drop(pieces);
        assert!(outbound.waiting.lock().1.is_empty());
    }

    #[tokio::test]
    async fn a_piece_that_nobody_takes_is_overdue() {
        let outbound = Arc::new(Outbound::default());
        let limit = Duration::from_millis(50);
        let taken = outbound.hand_over(Bytes::from_static(b"1"), None);
        drop(taken);
        let start = Instant::now();
        let _kept = outbound.hand_over(Bytes::from_static(b"2"), None);
        outbound.overdue(limit).await;
        assert!(start.elapsed() >= limit);
    }
}
