//! The chain: key objects, commits.

use simsync_protocol::api::{
    B64, CommitAnswer, CommitRequest, CommitsAnswer, KeyObjectAnswer, KeyObjectsAnswer,
};
use simsync_protocol::problem::{Code, Problem};
use simsync_vault::commit::Commit;
use simsync_vault::keyobject::KeyObject;

use crate::config::COMMIT_JSON;
use crate::http::reply::{self, OrProblem as _};
use crate::http::{Call, Reply};
use crate::rules::Refusal;
use crate::store::types::PutCommit;

fn b64(list: Vec<Vec<u8>>) -> Vec<B64> {
    list.into_iter().map(B64).collect()
}

/// `GET /v1/key-object`.
pub async fn key_object(call: &mut Call) -> Reply {
    let peer = call.peer().await?;
    let found = call
        .app
        .chain()
        .key_object(peer.subscriber)
        .await
        .or_problem()?;
    let found = found.ok_or_else(|| {
        Problem::new(
            Code::NoVault,
            "there is no vault yet: the first pairing with the card makes one",
        )
    })?;
    reply::json(&KeyObjectAnswer {
        signed: B64(found.signed),
        wraps: found.wraps,
        rekey_required: found.rekey_required,
        revoked: found.revoked,
    })
}

/// `GET /v1/key-objects`.
pub async fn key_objects(call: &mut Call) -> Reply {
    let peer = call.peer().await?;
    let after = call.param("after")?;
    let found = call.app.chain().key_objects(peer.subscriber, after).await;
    reply::json(&KeyObjectsAnswer {
        key_objects: b64(found.or_problem()?),
    })
}

/// `GET /v1/commits`.
pub async fn after(call: &mut Call) -> Reply {
    let peer = call.peer().await?;
    call.grant(&peer).await?;
    let after = call.param("after")?;
    let view = call
        .app
        .chain()
        .commits(peer.subscriber, after)
        .await
        .or_problem()?;
    reply::json(&CommitsAnswer {
        head: view.head,
        commits: b64(view.commits),
        tails: b64(view.tails),
    })
}

/// `POST /v1/commits`.
pub async fn put(call: &mut Call) -> Reply {
    let peer = call.peer().await?;
    let grant = call.grant(&peer).await?;
    let request: CommitRequest = call.json_up_to(COMMIT_JSON).await?;
    let commit = Commit::from_bytes(&request.signed.0)
        .map_err(Refusal::Format)
        .or_problem()?;
    let key_object = match request.key_object {
        None => None,
        Some(new) => {
            let list = KeyObject::from_bytes(&new.signed.0)
                .map_err(Refusal::Format)
                .or_problem()?;
            Some((list, new.wraps))
        }
    };
    let head = call
        .app
        .chain()
        .put_commit(PutCommit {
            subscriber: peer.subscriber,
            terminal: peer.terminal,
            session: grant.session,
            server: call.app.server,
            commit,
            key_object,
            now: call.app.now(),
        })
        .await
        .or_problem()?;
    reply::json(&CommitAnswer { head })
}
