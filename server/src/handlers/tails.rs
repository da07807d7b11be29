//! Tails: delivered by certificate, listed with the commits, fetched and forgotten with a grant.

use simsync_protocol::api::{B64, ForgetRequest, TailAnswer, TailGetAnswer, TailRequest};
use simsync_protocol::problem::{Code, Problem};
use simsync_vault::commit::SessionRef;
use simsync_vault::tail::Tail;

use crate::config::TAIL_JSON;
use crate::http::reply::{self, OrProblem as _, refuse};
use crate::http::{Call, Reply};
use crate::rules::Refusal;
use crate::store::types::PutTail;

/// Most sessions in one request.
const FORGET_MAX: usize = 1000;

/// `PUT /v1/tails`. A revoked terminal's tail is taken, too, and quarantined.
pub async fn put(call: &mut Call) -> Reply {
    let peer = call.any_peer().await?;
    let request: TailRequest = call.json_up_to(TAIL_JSON).await?;
    let tail = Tail::from_bytes(&request.signed.0)
        .map_err(Refusal::Format)
        .or_problem()?;
    let state = call
        .app
        .tails()
        .put_tail(PutTail {
            subscriber: peer.subscriber,
            terminal: peer.terminal,
            tail,
            now: call.app.now(),
        })
        .await
        .or_problem()?;
    reply::json(&TailAnswer { state })
}

/// `GET /v1/tails`.
pub async fn get(call: &mut Call) -> Reply {
    let peer = call.peer().await?;
    call.grant(&peer).await?;
    let session = SessionRef {
        card: call.param("card")?,
        n: call.param("n")?,
    };
    let found = call
        .app
        .tails()
        .tail(peer.subscriber, session)
        .await
        .or_problem()?;
    let (signed, state) = found
        .ok_or_else(|| Problem::new(Code::NoSuchObject, "this session has delivered no tail"))?;
    reply::json(&TailGetAnswer {
        signed: B64(signed),
        state,
    })
}

/// `POST /v1/tails/forget`.
pub async fn forget(call: &mut Call) -> Reply {
    let peer = call.peer().await?;
    call.grant(&peer).await?;
    let request: ForgetRequest = call.json().await?;
    if request.sessions.len() > FORGET_MAX {
        return refuse(Code::TooLarge, "too many sessions at once");
    }
    let now = call.app.now();
    call.app
        .tails()
        .forget(peer.subscriber, request.sessions, peer.terminal, now)
        .await
        .or_problem()?;
    reply::done()
}
