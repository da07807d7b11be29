//! Bodies: what is sent, with a count of what was taken, and what is received, with limits.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time;

use super::error::ClientError;

/// Largest piece that is handed to HTTP/2 at once.
const PIECE: usize = 256 << 10;

/// Bytes to send, in pieces, without copying them.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    parts: VecDeque<Bytes>,
    left: u64,
    progress: Arc<AtomicU64>,
    stalls: bool,
}

impl Upload {
    /// As [`Self::new`], but it never ends: what a broken network looks like.
    pub(crate) fn stalling(parts: impl IntoIterator<Item = Bytes>) -> Self {
        Self {
            stalls: true,
            ..Self::new(parts)
        }
    }

    pub(crate) fn new(parts: impl IntoIterator<Item = Bytes>) -> Self {
        let parts: VecDeque<_> = parts.into_iter().filter(|p| !p.is_empty()).collect();
        Self {
            left: parts.iter().map(|p| p.len() as u64).sum(),
            parts,
            progress: Arc::default(),
            stalls: false,
        }
    }

    /// Counts up whenever a piece was taken.
    pub(crate) fn progress(&self) -> Arc<AtomicU64> {
        self.progress.clone()
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let stalls = self.stalls;
        let Some(front) = self.parts.front_mut() else {
            return if stalls {
                Poll::Pending
            } else {
                Poll::Ready(None)
            };
        };
        let piece = front.split_to(front.len().min(PIECE));
        if front.is_empty() {
            self.parts.pop_front();
        }
        self.left -= piece.len() as u64;
        self.progress.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty() && !self.stalls
    }

    fn size_hint(&self) -> SizeHint {
        if self.stalls {
            return SizeHint::default();
        }
        SizeHint::with_exact(self.left)
    }
}

/// Waits for `future` as long as `progress` goes on within each `idle` period.
pub(crate) async fn while_progress<T>(
    future: impl Future<Output = T>,
    progress: Arc<AtomicU64>,
    idle: Duration,
) -> Result<T, ClientError> {
    let mut future = std::pin::pin!(future);
    let mut seen = progress.load(Ordering::Relaxed);
    loop {
        match time::timeout(idle, &mut future).await {
            Ok(out) => return Ok(out),
            Err(_) => {
                let now = progress.load(Ordering::Relaxed);
                if now == seen {
                    return Err(ClientError::timed_out("upload"));
                }
                seen = now;
            }
        }
    }
}

/// The next piece of a body, or `None` at its end. Only bytes are progress: frames without any do not put off the deadline.
pub(crate) async fn next_piece(
    body: &mut Incoming,
    idle: Duration,
) -> Result<Option<Bytes>, ClientError> {
    let piece = async {
        loop {
            match body.frame().await {
                None => return Ok(None),
                Some(Err(e)) => return Err(ClientError::http(e)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Ok(Some(data)),
                    _ => {}
                },
            }
        }
    };
    time::timeout(idle, piece)
        .await
        .map_err(|_| ClientError::timed_out("download"))?
}

/// A whole body of at most `max` bytes.
pub(crate) async fn collect(
    mut body: Incoming,
    max: usize,
    idle: Duration,
) -> Result<Bytes, ClientError> {
    let too_large = || ClientError::Protocol(format!("an answer of more than {max} bytes"));
    if body.size_hint().lower() > max as u64 {
        return Err(too_large());
    }
    let mut out = BytesMut::new();
    while let Some(piece) = next_piece(&mut body, idle).await? {
        if out.len() + piece.len() > max {
            return Err(too_large());
        }
        out.extend_from_slice(&piece);
    }
    Ok(out.freeze())
}
