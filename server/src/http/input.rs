//! Bodies and parameters of requests, with limits.

use std::str::FromStr;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use serde::de::DeserializeOwned;
use simsync_protocol::api::JSON_MAX;
use simsync_protocol::problem::{Code, Problem};
use tokio::time;

use super::Call;

/// Longest JSON body on open paths.
const OPEN_JSON_MAX: usize = 16 << 10;

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Code::BadRequest, detail)
}

impl Call {
    /// The body, as JSON of the usual size.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        self.json_up_to(JSON_MAX).await
    }

    /// The body, as JSON of the size that anybody may send.
    pub async fn open_json<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        self.json_up_to(OPEN_JSON_MAX).await
    }

    async fn json_up_to<T: DeserializeOwned>(&mut self, max: usize) -> Result<T, Problem> {
        let idle = self.app.limits.body_idle;
        let bytes = time::timeout(idle, self.collect(max))
            .await
            .map_err(|_| bad("the body did not arrive in time"))??;
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
        let mut body = self.body.take().ok_or_else(|| bad("the body is missing"))?;
        if body.size_hint().lower() > max as u64 {
            return Err(too_large());
        }
        let mut out = BytesMut::new();
        while let Some(piece) = next_frame(&mut body).await? {
            if out.len() + piece.len() > max {
                return Err(too_large());
            }
            out.extend_from_slice(&piece);
        }
        Ok(out.freeze())
    }

    /// The body, for handlers that read it piece by piece.
    pub fn pieces(&mut self) -> Result<Pieces, Problem> {
        Ok(Pieces {
            body: self.body.take().ok_or_else(|| bad("the body is missing"))?,
            idle: self.app.limits.body_idle,
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

    /// A parameter of the query. None of ours needs percent-encoding.
    pub fn param_opt<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T::Err: std::fmt::Display,
    {
        let query = self.head.uri.query().unwrap_or_default();
        let value = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name);
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
    idle: time::Duration,
}

impl Pieces {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        time::timeout(self.idle, next_frame(&mut self.body))
            .await
            .map_err(|_| bad("the body came to a standstill"))?
    }
}

async fn next_frame(body: &mut Incoming) -> Result<Option<Bytes>, Problem> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(_)) => return Err(bad("the body broke off")),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}
