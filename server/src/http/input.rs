//! Bodies and parameters of requests, with limits.

use std::str::FromStr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use serde::de::DeserializeOwned;
use simsync_protocol::problem::{Code, Problem};
use tokio::time;

use super::call::Call;
use crate::config::{JSON_COPIES, Limits, OPEN_JSON, SMALL_JSON};
use crate::net::shares::Kind;

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Code::BadRequest, detail)
}

impl Call {
    /// The body, as JSON of the usual size.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        self.json_up_to(SMALL_JSON).await
    }

    /// The body, as JSON of the size that anybody may send.
    pub async fn open_json<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        self.json_up_to(OPEN_JSON).await
    }

    /// The body, as JSON of at most `max` bytes.
    pub async fn json_up_to<T: DeserializeOwned>(&mut self, max: usize) -> Result<T, Problem> {
        let bytes = if max <= SMALL_JSON {
            let idle = self.app.limits.body_idle;
            time::timeout(idle, self.collect(max))
                .await
                .map_err(|_| bad("the body did not arrive in time"))??
        } else {
            self.collect(max).await?
        };
        serde_json::from_slice(&bytes)
            .map_err(|e| bad(format!("the body is not what this path takes: {e}")))
    }

    async fn collect(&mut self, max: usize) -> Result<Bytes, Problem> {
        let too_large = || {
            Problem::new(
                Code::TooLarge,
                format!("the body is larger than {max} bytes"),
            )
        };
        let mut body = self.pieces()?;
        let hint = body.body.size_hint();
        if hint.lower() > max as u64 {
            return Err(too_large());
        }
        // Reserved before the first byte is taken, and held until the request is answered.
        let expected = hint.exact().map_or(max, |n| n.min(max as u64) as usize);
        let memory = Kind::Memory(JSON_COPIES * expected);
        let mut hold = self.conn.purse.take(memory).await?;
        let mut out = BytesMut::new();
        while let Some(piece) = body.next().await? {
            if out.len() + piece.len() > max {
                return Err(too_large());
            }
            out.extend_from_slice(&piece);
        }
        hold.shrink(JSON_COPIES * out.len());
        self.held.push(hold);
        Ok(out.freeze())
    }

    /// The body, for handlers that read it piece by piece.
    pub fn pieces(&mut self) -> Result<Pieces, Problem> {
        Ok(Pieces {
            body: self.body.take().ok_or_else(|| bad("the body is missing"))?,
            pace: Pace::new(&self.app.limits),
        })
    }

    /// A parameter of the query that must be there.
    pub fn param<T: FromStr>(&self, name: &str) -> Result<T, Problem>
    where
        T::Err: std::fmt::Display,
    {
        self.param_opt(name)?
            .ok_or_else(|| bad(format!("the parameter `{name}` is missing")))
    }

    /// A parameter of the query; of several of one name the first.
    pub fn param_opt<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T::Err: std::fmt::Display,
    {
        let query = self.head.uri.query().unwrap_or_default();
        let value = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
        match value {
            None => Ok(None),
            Some((_, text)) => text
                .parse()
                .map(Some)
                .map_err(|e| bad(format!("the parameter `{name}` is wrong: {e}"))),
        }
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Result<Option<&str>, Problem> {
        self.head
            .headers
            .get(name)
            .map(|v| {
                v.to_str()
                    .map_err(|_| bad(format!("the header `{name}` is not text")))
            })
            .transpose()
    }
}

/// A body that is read piece by piece.
pub struct Pieces {
    body: Incoming,
    pace: Pace,
}

impl Pieces {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let begun = time::Instant::now();
        let wait = self.pace.patience();
        let piece = time::timeout(wait, next_frame(&mut self.body))
            .await
            .map_err(|_| bad("the body came to a standstill, or nearly"))??;
        let length = piece.as_ref().map_or(0, Bytes::len);
        self.pace.count(length, begun.elapsed());
        Ok(piece)
    }
}

/// The least rate of a body: only the time that we wait for it counts, not what our own disk takes.
struct Pace {
    idle: Duration,
    least: usize,
    window: Duration,
    bytes: usize,
    waited: Duration,
}

impl Pace {
    fn new(limits: &Limits) -> Self {
        Self {
            idle: limits.body_idle,
            least: limits.body_least,
            window: limits.body_window,
            bytes: 0,
            waited: Duration::ZERO,
        }
    }

    /// How long the next piece may take.
    fn patience(&self) -> Duration {
        self.idle.min(self.window.saturating_sub(self.waited))
    }

    fn count(&mut self, bytes: usize, waited: Duration) {
        self.bytes += bytes;
        self.waited += waited;
        if self.bytes >= self.least {
            (self.bytes, self.waited) = (0, Duration::ZERO);
        }
    }
}

/// The next bytes of a body. Frames without any are no progress.
async fn next_frame(body: &mut Incoming) -> Result<Option<Bytes>, Problem> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(_)) => return Err(bad("the body broke off")),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                _ => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_to_keep_its_pace() {
        let second = Duration::from_secs(1);
        let limits = Limits {
            body_idle: 30 * second,
            body_least: 100,
            body_window: 60 * second,
            ..Limits::default()
        };
        let mut pace = Pace::new(&limits);
        assert_eq!(pace.patience(), 30 * second);
        // A byte every 20 s never stands still, and is too slow all the same.
        pace.count(1, 20 * second);
        pace.count(1, 20 * second);
        assert_eq!(pace.patience(), 20 * second);
        pace.count(1, 20 * second);
        assert_eq!(pace.patience(), Duration::ZERO);
        // What came fast is no credit for later.
        let mut pace = Pace::new(&limits);
        pace.count(1 << 30, second);
        pace.count(1, 59 * second);
        assert_eq!(pace.patience(), second);
        pace.count(99, second);
        assert_eq!(pace.patience(), 30 * second);
    }
}
