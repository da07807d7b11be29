//! From a request to an answer.

pub mod access;
pub mod input;
pub mod reply;
mod route;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::ALLOW;
use http::{Request, Response};
use hyper::body::Incoming;
use simsync_protocol::problem::{Code, Problem};

use crate::app::App;
use crate::net::connection::Conn;
use reply::Body;

pub use route::PATHS;

/// What a handler answers.
pub type Reply = Result<Response<Body>, Problem>;

/// A request with everything it needs.
pub struct Call {
    /// What all requests share.
    pub app: Arc<App>,
    /// The connection that it came on.
    pub conn: Arc<Conn>,
    /// Method, path, headers.
    pub head: http::request::Parts,
    /// Its body, until somebody reads it.
    pub body: Option<Incoming>,
}

/// Answers every request; refusals as problem+json.
pub async fn handle(app: Arc<App>, conn: Arc<Conn>, request: Request<Incoming>) -> Response<Body> {
    conn.asked.store(true, Ordering::Relaxed);
    let (head, body) = request.into_parts();
    let mut call = Call {
        app,
        conn,
        head,
        body: Some(body),
    };
    let stopping = *call.app.stopping.borrow();
    let reply = if stopping {
        Err(Problem::new(
            Code::ShuttingDown,
            "the server is stopping: connect again in a moment",
        ))
    } else {
        route::dispatch(&mut call).await
    };
    match reply {
        Ok(answer) => {
            let (method, path) = (&call.head.method, call.head.uri.path());
            tracing::debug!(%method, path, status = answer.status().as_u16(), "answered");
            answer
        }
        Err(problem) => {
            let (method, path) = (&call.head.method, call.head.uri.path());
            tracing::debug!(%method, path, code = ?problem.code, "refused");
            access::audit_refusal(&call, &problem).await;
            let mut answer = reply::problem(&problem);
            if problem.code == Code::MethodNotAllowed
                && let Some(allowed) = route::allowed(path)
            {
                answer.headers_mut().insert(ALLOW, allowed);
            }
            answer
        }
    }
}
