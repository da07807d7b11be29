//! The client: one [`Connection`] is one TLS connection, because sessions are bound to it.

mod body;
mod calls;
mod connect;
mod error;
mod events;
mod packs;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use simsync_vault::statement::SessionStatement;
use tokio::time;

use crate::api::{ANSWER_MAX, GRANT_HEADER, Grant, STATEMENT_HEADER};
use crate::problem::{Code, Problem};
use body::Upload;

pub use connect::Client;
pub use error::ClientError;
pub use events::Events;
pub use packs::{PackStream, split_fetch};

/// Largest problem+json that is read.
const PROBLEM_MAX: usize = 64 << 10;

/// How long the client waits.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For name, TCP, TLS and HTTP/2 together.
    pub connect: Duration,
    /// For one request with a small body.
    pub request: Duration,
    /// For any progress of a large one.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            request: Duration::from_secs(30),
            idle: Duration::from_secs(30),
        }
    }
}

/// One TLS connection to the server. Clones share it; requests may run side by side.
///
/// The grant of the session that was opened (or regained) here is remembered and sent along.
#[derive(Debug, Clone)]
pub struct Connection(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    sender: SendRequest<Upload>,
    authority: String,
    exporter: [u8; 32],
    timeouts: Timeouts,
    grant: Mutex<Option<Grant>>,
    statement: Mutex<Option<SessionStatement>>,
}

impl Connection {
    /// The TLS exporter value of this connection; part of every binding.
    pub fn exporter(&self) -> [u8; 32] {
        self.0.exporter
    }

    /// Whether the connection is known to be gone.
    pub fn is_closed(&self) -> bool {
        self.0.sender.is_closed()
    }

    /// Whether a call failed because of what was asked for, and another may well succeed on this connection: the server does
    /// not have it (any more), cannot read it, or answers nonsense.
    pub fn only_answer_failed(&self, error: &ClientError) -> bool {
        match error {
            ClientError::Problem(p) => matches!(
                p.code,
                Code::NoSuchObject | Code::CollectionRefused | Code::Internal
            ),
            ClientError::Protocol(_) => true,
            // The answer broke off, and not because the connection did.
            ClientError::Offline(e) => {
                e.kind() == std::io::ErrorKind::ConnectionAborted && !self.is_closed()
            }
            _ => false,
        }
    }

    /// The grant in use, if a session was opened or regained on this connection.
    pub fn grant(&self) -> Option<Grant> {
        *self.0.grant.lock()
    }

    /// Sets or forgets the grant; [`Self::open_session`] and [`Self::renew`] do it by themselves.
    pub fn set_grant(&self, grant: Option<Grant>) {
        *self.0.grant.lock() = grant;
    }

    /// The session statement that lets the packs of a tail in after its grant is gone, by certificate alone.
    pub fn set_statement(&self, statement: Option<SessionStatement>) {
        *self.0.statement.lock() = statement;
    }

    /// Any request, for tests of what the other methods cannot do wrong: answers status and body. With `stall` the
    /// request's body never ends.
    #[doc(hidden)]
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        stall: bool,
    ) -> Result<(u16, Bytes), ClientError> {
        let upload = if stall {
            Upload::stalling([body])
        } else {
            Upload::new([body])
        };
        let request = self.request(method, path, Some(("application/octet-stream", upload)))?;
        let mut sender = self.0.sender.clone();
        sender.ready().await.map_err(ClientError::http)?;
        let answer = sender
            .send_request(request)
            .await
            .map_err(ClientError::http)?;
        let status = answer.status().as_u16();
        let idle = self.0.timeouts.idle;
        Ok((
            status,
            body::collect(answer.into_body(), ANSWER_MAX, idle).await?,
        ))
    }

    async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, ClientError> {
        let request = self.request(Method::GET, path, None)?;
        self.json_answer(request).await
    }

    async fn send<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<A, ClientError> {
        let bytes = serde_json::to_vec(body).map_err(ClientError::nonsense)?;
        let request = self.request(
            method,
            path,
            Some(("application/json", Upload::new([bytes.into()]))),
        )?;
        self.json_answer(request).await
    }

    async fn json_answer<A: DeserializeOwned>(
        &self,
        request: Request<Upload>,
    ) -> Result<A, ClientError> {
        let bytes = time::timeout(self.0.timeouts.request, async {
            let answer = self.exchange(request).await?;
            body::collect(answer.into_body(), ANSWER_MAX, self.0.timeouts.idle).await
        })
        .await
        .map_err(|_| ClientError::timed_out("request"))??;
        parse(&bytes)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Upload)>,
    ) -> Result<Request<Upload>, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.0.authority));
        if let Some(grant) = self.grant() {
            request = request.header(GRANT_HEADER, grant.to_string());
        }
        if let Some(statement) = self.0.statement.lock().as_ref() {
            let json = serde_json::to_string(statement).map_err(ClientError::nonsense)?;
            request = request.header(STATEMENT_HEADER, json);
        }
        match body {
            Some((kind, body)) => request.header(CONTENT_TYPE, kind).body(body),
            None => request.body(Upload::default()),
        }
        .map_err(ClientError::nonsense)
    }

    /// Sends a request and answers the response if it is a success, else the problem that its body names.
    async fn exchange(&self, request: Request<Upload>) -> Result<Response<Incoming>, ClientError> {
        let mut sender = self.0.sender.clone();
        sender.ready().await.map_err(ClientError::http)?;
        let answer = sender
            .send_request(request)
            .await
            .map_err(ClientError::http)?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let bytes = body::collect(answer.into_body(), PROBLEM_MAX, self.0.timeouts.idle).await?;
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => Err(ClientError::Problem(problem.shown())),
            Err(_) => Err(ClientError::Protocol(format!("HTTP status {status}"))),
        }
    }

    /// As [`Self::exchange`], for bodies that take long: only a standstill ends it.
    async fn exchange_large(
        &self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, ClientError> {
        let progress = request.body().progress();
        body::while_progress(self.exchange(request), progress, self.0.timeouts.idle).await?
    }

    async fn collect_json<A: DeserializeOwned>(
        &self,
        answer: Response<Incoming>,
    ) -> Result<A, ClientError> {
        // A small answer: it has a deadline of its own, however slowly it goes on.
        let body = body::collect(answer.into_body(), ANSWER_MAX, self.0.timeouts.idle);
        let bytes = time::timeout(self.0.timeouts.request, body)
            .await
            .map_err(|_| ClientError::timed_out("request"))??;
        parse(&bytes)
    }
}

fn parse<A: DeserializeOwned>(bytes: &Bytes) -> Result<A, ClientError> {
    // An empty answer (204) stands for `null`.
    let bytes: &[u8] = if bytes.is_empty() { b"null" } else { bytes };
    serde_json::from_slice(bytes).map_err(ClientError::nonsense)
}
