//! Answers.

use bytes::Bytes;
use futures_util::Stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use serde::Serialize;
use simsync_protocol::problem::{Code, Problem};

use super::problems;
use crate::rules::Refusal;
use crate::store::StoreError;

/// Why a streamed body broke off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// A body: whole or streamed.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;
/// What a handler answers.
pub type Reply = Result<Response<Body>, Problem>;

/// A body that is there already.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body that comes piece by piece.
pub fn stream(pieces: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static) -> Body {
    use futures_util::StreamExt as _;
    StreamBody::new(pieces.map(|p| p.map(Frame::data))).boxed_unsync()
}

fn answer(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// 200 with a body of this kind.
pub fn ok(kind: &'static str, body: Body) -> Response<Body> {
    answer(StatusCode::OK, kind, body)
}

/// 200 with `value` as JSON. A value that cannot be written is answered as a fault of the server.
pub fn json<T: Serialize>(value: &T) -> Reply {
    let bytes = serde_json::to_vec(value).map_err(|e| internal(&e))?;
    Ok(ok("application/json", full(bytes)))
}

/// 200 with `null`: the request was carried out, and there is nothing to tell.
pub fn done() -> Reply {
    json(&())
}

/// A refusal as problem+json (RFC 9457), with Retry-After where the same request may do better later.
pub fn problem(problem: &Problem) -> Response<Body> {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let bytes = serde_json::to_vec(problem).unwrap_or_default();
    let mut answer = answer(status, "application/problem+json", full(bytes));
    if let Some(seconds) = retry_after(problem.code) {
        let value = HeaderValue::from_static(seconds);
        answer.headers_mut().insert(RETRY_AFTER, value);
    }
    answer
}

/// When the same request may do better, in seconds.
fn retry_after(code: Code) -> Option<&'static str> {
    match code {
        Code::RateLimited | Code::Overloaded => Some("10"),
        Code::ShuttingDown => Some("5"),
        _ => None,
    }
}

/// Our fault: the cause goes to the log, not to the client.
pub fn internal(error: &dyn std::error::Error) -> Problem {
    tracing::error!(cause = %chain(error), "a request failed");
    Problem::new(
        Code::Internal,
        "the server failed; its operator finds the cause in its log",
    )
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        out.push_str(": ");
        out.push_str(&e.to_string());
        cause = e.source();
    }
    out
}

/// A refusal of the request itself, before any store is asked.
pub fn refuse<T>(code: Code, detail: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::new(code, detail))
}

/// What a store's error means to a client.
fn store_problem(error: StoreError) -> Problem {
    match error {
        StoreError::Refused(refusal) => problems::of(&refusal),
        StoreError::Full => {
            tracing::error!("the disk or quota is full");
            Problem::new(
                Code::StorageFull,
                "the server has no room left: tell its operator",
            )
        }
        other => internal(&other),
    }
}

/// For `?` on a store's calls and on rules.
pub trait OrProblem<T> {
    /// The value, or what the client is told.
    fn or_problem(self) -> Result<T, Problem>;
}

impl<T> OrProblem<T> for Result<T, StoreError> {
    fn or_problem(self) -> Result<T, Problem> {
        self.map_err(store_problem)
    }
}

impl<T> OrProblem<T> for Result<T, Refusal> {
    fn or_problem(self) -> Result<T, Problem> {
        self.map_err(|refusal| problems::of(&refusal))
    }
}
