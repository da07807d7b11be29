//! From a request to an answer.

pub mod access;
#[cfg(any(test, feature = "test-support"))]
pub mod between;
mod call;
pub mod input;
pub mod outbound;
mod problems;
pub mod refusal_counts;
pub mod refusals;
pub mod reply;
mod route;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::ALLOW;
use http::{Request, Response};
use hyper::body::{Body as _, Incoming};
use simsync_protocol::problem::{Code, Problem};

use crate::app::App;
use crate::config::SMALL_ANSWER;
use crate::net::connection::Conn;
use crate::net::shares::{Kind, Level};
use reply::Body;

pub use call::Call;
pub use reply::Reply;
pub use route::{PATHS, dispatch};

/// Answers every request; refusals as problem+json.
pub async fn handle(app: Arc<App>, conn: Arc<Conn>, request: Request<Incoming>) -> Response<Body> {
    conn.asked.store(true, Ordering::Relaxed);
    let (head, body) = request.into_parts();
    let mut call = Call {
        app,
        conn,
        head,
        body: Some(body),
        held: Vec::new(),
    };
    let stopping = *call.app.stopping.borrow();
    let reply = if stopping {
        Err(Problem::new(
            Code::ShuttingDown,
            "the server is stopping: connect again in a moment",
        ))
    } else {
        within_share(&mut call).await
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
            refusals::note(&call, &problem).await;
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

#[cfg(not(any(test, feature = "test-support")))]
async fn answered(call: &mut Call) -> Reply {
    dispatch(call).await
}

#[cfg(any(test, feature = "test-support"))]
async fn answered(call: &mut Call) -> Reply {
    match between::who(&call.app) {
        Some(who) => who.answer(call).await,
        None => dispatch(call).await,
    }
}

/// Answers within the share of whoever asks: a place for the request, and memory for what the answer may be.
async fn within_share(call: &mut Call) -> Reply {
    let place = call.conn.purse.try_take(Kind::Request);
    let _place = place.map_err(Level::problem)?;
    // Without a certificate there is no large answer.
    let expected = match call.conn.certificate {
        Some(_) => route::answer_size(&call.head.method, call.head.uri.path()),
        None => 0,
    };
    let mut hold = call.conn.purse.take(Kind::Memory(expected)).await?;
    let response = answered(call).await?;
    // Answers that come from packs take memory for each piece.
    let size = response.body().size_hint().exact().unwrap_or(0);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size > expected && size > SMALL_ANSWER {
        let rest = call.conn.purse.take(Kind::Memory(size - expected)).await?;
        hold.join(rest);
    } else {
        hold.shrink(if size > SMALL_ANSWER { size } else { 0 });
    }
    let outbound = call.conn.outbound.clone();
    Ok(outbound::answer(response, outbound, Some(hold)))
}
