//! Open paths: health, nonce, enrolling a card, pairing a terminal.

use std::time::Instant;

use simsync_card::ids::{Hash, TerminalId};
use simsync_card::{sign, text};
use simsync_protocol::api::{
    B64, EnrolAnswer, EnrolRequest, HealthAnswer, Nonce, NonceAnswer, PairAnswer, PairRequest,
};
use simsync_protocol::problem::{Code, Problem};

use crate::ca;
use crate::http::reply::{self, OrProblem as _, refuse};
use crate::http::{Call, Reply};
use crate::rules;
use crate::store::types::{Enrol, Pair};
use simsync_protocol::enrolment::EnrolmentCode;

/// Longest label, in bytes.
const LABEL_MAX: usize = 64;
/// Most attributes of one terminal.
const ATTRIBUTES_MAX: usize = 64;
/// Longest certificate request.
const CSR_MAX: usize = 4 << 10;

/// `GET /v1/health`.
pub fn health() -> Reply {
    reply::json(&HealthAnswer {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        status: "ok".to_owned(),
    })
}

fn limit_rate(call: &Call) -> Result<(), Problem> {
    if call.app.open_rate.take(call.conn.address, Instant::now()) {
        return Ok(());
    }
    refuse(
        Code::RateLimited,
        "too many tries from this address: wait a minute",
    )
}

/// Uses the nonce up before anything else is looked at.
pub fn take_nonce(call: &Call, nonce: &Nonce) -> Result<(), Problem> {
    if call.conn.take_nonce(nonce, call.app.now()) {
        return Ok(());
    }
    refuse(
        Code::NonceRefused,
        "the nonce is unknown, used, too old or of another connection: ask for another one",
    )
}

/// `POST /v1/nonce`.
pub async fn nonce(call: &mut Call) -> Reply {
    if call.conn.certificate.is_none() {
        limit_rate(call)?;
    }
    let nonce = call
        .conn
        .new_nonce(call.app.now())
        .map_err(|e| reply::internal(&e))?;
    reply::json(&NonceAnswer {
        server: call.app.server,
        nonce,
        moving: call.app.moving().moving().await.or_problem()?,
    })
}

fn check_label(label: &str) -> Result<(), Problem> {
    if label.len() > LABEL_MAX || label.chars().any(char::is_control) {
        return refuse(
            Code::BadRequest,
            format!("a label is at most {LABEL_MAX} bytes of text"),
        );
    }
    Ok(())
}

/// `POST /v1/enrol`.
pub async fn enrol(call: &mut Call) -> Reply {
    limit_rate(call)?;
    let request: EnrolRequest = call.open_json().await?;
    check_label(&request.label)?;
    take_nonce(call, &request.nonce)?;
    let bytes = text::enrol_bytes(&call.conn.exporter, &request.nonce.0);
    let signed = text::enrol(&request.card, &request.keys, &bytes);
    let proof = sign::verify(&request.keys.sig, &signed, &request.signature)
        .and_then(|()| sign::check_point(&request.keys.kem));
    if let Err(e) = proof {
        return refuse(
            Code::SignatureRefused,
            format!("the card's enrolment is not accepted: {e}"),
        );
    }
    let Some(code) = EnrolmentCode::parse(&request.code) else {
        return refuse(
            Code::CodeRefused,
            "this is no enrolment code: type all its groups as printed",
        );
    };
    let already = call
        .app
        .pairings()
        .enrol(Enrol {
            subscriber: request.subscriber,
            code: code.hash(),
            card: request.card,
            label: request.label,
            keys: request.keys,
            now: call.app.now(),
        })
        .await
        .or_problem()?;
    reply::json(&EnrolAnswer { already })
}

/// `POST /v1/pair`.
pub async fn pair(call: &mut Call) -> Reply {
    limit_rate(call)?;
    let request: PairRequest = call.open_json().await?;
    check_label(&request.label)?;
    request.attributes.iter().try_for_each(|a| check_label(a))?;
    if request.attributes.len() > ATTRIBUTES_MAX || request.csr.0.len() > CSR_MAX {
        return refuse(
            Code::TooLarge,
            "too many attributes, or too long a certificate request",
        );
    }
    take_nonce(call, &request.nonce)?;
    let Some(csr) = ca::read_request(&request.csr.0) else {
        return refuse(
            Code::SignatureRefused,
            "the certificate request is not signed by its own P-256 key",
        );
    };
    let app = &call.app;
    let card = app
        .pairings()
        .card(request.subscriber.clone(), request.card)
        .await
        .or_problem()?;
    let card = rules::pairing::own_card(card).or_problem()?;
    let terminal = TerminalId::of(&csr.key);
    let csr_hash = Hash::of(&request.csr.0);
    let binding = text::binding(
        &call.conn.exporter,
        &app.server,
        &request.nonce.0,
        &csr_hash,
    );
    let signed = text::pair(&request.card, &terminal, &binding);
    if sign::verify(&card.keys.sig, &signed, &request.statement).is_err() {
        return refuse(
            Code::SignatureRefused,
            "the card did not accept this terminal on this connection",
        );
    }
    let certificate = ca::terminal_certificate(&app.ca, &request.subscriber, &csr)
        .map_err(|e| reply::internal(&e))?;
    let certificate = app
        .pairings()
        .pair(Pair {
            subscriber: request.subscriber,
            card: request.card,
            key: csr.key,
            label: request.label,
            attributes: request.attributes,
            certificate,
            binding,
            statement: request.statement.as_der().to_vec(),
            now: app.now(),
        })
        .await
        .or_problem()?;
    reply::json(&PairAnswer {
        certificate: B64(certificate),
    })
}
