//! Sessions: opened, renewed, narrowed; and revocation of a terminal by its owner.

use simsync_card::ids::{CardId, Hash};
use simsync_card::{sign, text};
use simsync_protocol::api::{
    B64, GRANT_SECONDS, Grant, Narrow, NarrowRequest, Nonce, OpenSessionRequest, PairingsRequest,
    RenewRequest, RevokeCardRequest, RevokeTerminalRequest, SessionAnswer,
};
use simsync_protocol::problem::{Code, Problem};
use simsync_vault::keyobject::KeyObject;

use super::open::take_nonce;
use crate::http::reply::{self, OrProblem as _, refuse};
use crate::http::{Call, Reply};
use crate::rules;
use crate::store::types::{
    Actor, AddPairings, CardRow, Known, NewGrant, OpenSession, Peer, RenewSession, Scope,
    SessionView,
};

/// Most terminals in one request.
const PAIRINGS_MAX: usize = 64;

fn new_grant(call: &Call, certificate: Hash) -> Result<(Grant, NewGrant), Problem> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| reply::internal(&e))?;
    let row = NewGrant {
        hash: Hash::of(&bytes),
        connection: call.conn.id,
        certificate,
        expires: call.app.now() + GRANT_SECONDS,
    };
    Ok((Grant(bytes), row))
}

fn answer(grant: Grant, view: SessionView) -> Reply {
    let b64 = |list: Vec<Vec<u8>>| list.into_iter().map(B64).collect();
    reply::json(&SessionAnswer {
        grant,
        expires_in: GRANT_SECONDS,
        head: view.head,
        commits: b64(view.commits),
        key_objects: b64(view.key_objects),
        wraps: view.wraps,
        tails: b64(view.tails),
        sessions: view.sessions,
        rekey_required: view.rekey_required,
    })
}

/// The subscriber's own card, not revoked.
async fn own_card(call: &Call, peer: &Peer, card: CardId) -> Result<CardRow, Problem> {
    let found = call
        .app
        .pairings()
        .card(peer.subscriber.clone(), card)
        .await;
    rules::pairing::own_card(found.or_problem()?).or_problem()
}

/// The certificate's hash; a [`Peer`] was found by it.
fn certificate(call: &Call) -> Result<Hash, Problem> {
    call.conn.certificate.ok_or_else(|| {
        Problem::new(
            Code::CertificateRequired,
            "this needs a paired terminal's certificate",
        )
    })
}

/// `POST /v1/sessions`.
pub async fn open(call: &mut Call) -> Reply {
    let peer = call.peer().await?;
    let request: OpenSessionRequest = call.json().await?;
    take_nonce(call, &request.nonce)?;
    let statement = &request.statement;
    let card = own_card(call, &peer, statement.card).await?;
    if statement.terminal != peer.terminal {
        return refuse(
            Code::BindingRefused,
            "the card opened this session for another terminal",
        );
    }
    if statement.verify(&card.keys.sig).is_err() {
        return refuse(
            Code::SignatureRefused,
            "the session is not signed by this card",
        );
    }
    let certificate = certificate(call)?;
    let app = &call.app;
    let binding = binding(call, &request.nonce, &certificate);
    if statement.binding != binding {
        return refuse(
            Code::BindingRefused,
            "the card opened this session for another connection",
        );
    }
    let (grant, row) = new_grant(call, certificate)?;
    let view = app
        .sessions()
        .open_session(OpenSession {
            subscriber: peer.subscriber,
            statement: request.statement,
            grant: row,
            known: Known {
                sequence: request.known_sequence,
                list: request.known_list,
            },
            now: app.now(),
        })
        .await
        .or_problem()?;
    answer(grant, view)
}

/// What a statement has to be bound to on this connection.
fn binding(call: &Call, nonce: &Nonce, certificate: &Hash) -> Hash {
    text::binding(&call.conn.exporter, &call.app.server, &nonce.0, certificate)
}

/// `POST /v1/sessions/renew`.
pub async fn renew(call: &mut Call) -> Reply {
    let peer = call.peer().await?;
    let request: RenewRequest = call.json().await?;
    take_nonce(call, &request.nonce)?;
    let card = own_card(call, &peer, request.session.card).await?;
    let certificate = certificate(call)?;
    let app = &call.app;
    let binding = binding(call, &request.nonce, &certificate);
    let signed = text::renew(&card.card, request.session.n, &peer.terminal, &binding);
    if sign::verify(&card.keys.sig, &signed, &request.signature).is_err() {
        return refuse(
            Code::SignatureRefused,
            "the card did not renew this session on this connection",
        );
    }
    let (grant, row) = new_grant(call, certificate)?;
    let view = app
        .sessions()
        .renew_session(RenewSession {
            subscriber: peer.subscriber,
            terminal: peer.terminal,
            session: request.session,
            grant: row,
            known: Known {
                sequence: request.known_sequence,
                list: request.known_list,
            },
            now: app.now(),
        })
        .await
        .or_problem()?;
    answer(grant, view)
}

/// `POST /v1/sessions/narrow`.
pub async fn narrow(call: &mut Call) -> Reply {
    let peer = call.peer().await?;
    let grant = call.grant(&peer).await?;
    let request: NarrowRequest = call.json().await?;
    let to = match request.to {
        Narrow::Removed => Scope::Nothing,
    };
    call.app
        .sessions()
        .narrow(peer.subscriber, grant.session, to)
        .await
        .or_problem()?;
    reply::done()
}

/// `POST /v1/pairings`. The main card signed the key object that names the spare card; the spare card's signature over
/// its hash is the proof, so no grant is needed: with one reader, the main card is out by then.
pub async fn pairings(call: &mut Call) -> Reply {
    let peer = call.peer().await?;
    let request: PairingsRequest = call.json().await?;
    if request.pairings.len() > PAIRINGS_MAX {
        return refuse(Code::TooLarge, "too many terminals at once");
    }
    let card = own_card(call, &peer, request.card).await?;
    let app = &call.app;
    let newest = app
        .chain()
        .key_object(peer.subscriber.clone())
        .await
        .or_problem()?;
    let newest = newest.ok_or_else(|| Problem::new(Code::NoVault, "there is no vault yet"))?;
    let list = KeyObject::from_bytes(&newest.signed).map_err(|e| reply::internal(&e))?;
    if list
        .body
        .recipient(&card.card)
        .is_none_or(|r| r.keys != card.keys)
    {
        return refuse(
            Code::CardMismatch,
            "the key object in force does not name this card",
        );
    }
    let binding = list.hash();
    for pairing in &request.pairings {
        if list.body.terminal(&pairing.terminal).is_none() {
            return refuse(
                Code::NotPaired,
                format!(
                    "terminal {} is not in the key object in force",
                    pairing.terminal.short()
                ),
            );
        }
        let signed = text::pair(&card.card, &pairing.terminal, &binding);
        if sign::verify(&card.keys.sig, &signed, &pairing.statement).is_err() {
            return refuse(
                Code::SignatureRefused,
                format!(
                    "the card did not accept terminal {} by this key object",
                    pairing.terminal.short()
                ),
            );
        }
    }
    let row = AddPairings {
        subscriber: peer.subscriber,
        card: card.card,
        binding,
        pairings: request
            .pairings
            .into_iter()
            .map(|p| (p.terminal, p.statement.as_der().to_vec()))
            .collect(),
        now: call.app.now(),
    };
    app.pairings().add_pairings(row).await.or_problem()?;
    reply::done()
}

/// `POST /v1/terminals/revoke`.
pub async fn revoke_terminal(call: &mut Call) -> Reply {
    let peer = call.peer().await?;
    let request: RevokeTerminalRequest = call.json().await?;
    // A terminal that left the vault and the card opens no session any more; its key is enough to give itself up.
    if request.terminal != peer.terminal {
        call.grant(&peer).await?;
    }
    let (by, now) = (Actor::Terminal(peer.terminal), call.app.now());
    call.app
        .pairings()
        .revoke_terminal(peer.subscriber, request.terminal, by, now)
        .await
        .or_problem()?;
    reply::done()
}

/// `POST /v1/cards/revoke`.
pub async fn revoke_card(call: &mut Call) -> Reply {
    let peer = call.peer().await?;
    let grant = call.grant(&peer).await?;
    let request: RevokeCardRequest = call.json().await?;
    if grant.session.card == request.card {
        return refuse(
            Code::BadRequest,
            "a card does not revoke itself: open a session with another card",
        );
    }
    let (by, now) = (Actor::Terminal(peer.terminal), call.app.now());
    call.app
        .pairings()
        .revoke_card(peer.subscriber, request.card, by, now)
        .await
        .or_problem()?;
    reply::done()
}
