//! Failures of card, server and engine, as the owner reads them and as the rules act on them.

use simsync_card::status::{Pad, Status};
use simsync_card::transport::TransportError;
use simsync_protocol::client::ClientError;
use simsync_protocol::problem::Code as ServerCode;
use simsync_vault::head::Verdict;

use crate::api::Reason;
use crate::card::CardError;
use crate::core::{CARD_BUSY, OpenFailure, Outcome};
use crate::engine::EngineError;
use crate::outstanding::Code;

/// What it is called that no answer came from the card.
fn no_answer(e: &CardError) -> &'static str {
    match e.transport() {
        _ if e.is_removal() => "card-removed",
        Some(TransportError::Modem(_)) => "no-channel",
        _ => CARD_BUSY,
    }
}

/// A failure of the card as the owner reads it.
pub fn card_reason(e: &CardError) -> Reason {
    let CardError::Client(inner) = e else {
        return Reason::new(no_answer(e), e.to_string());
    };
    let (code, sentence) = match (inner.status(), inner.transport()) {
        (Some(s), _) => {
            let code = match s {
                Status::Wrong { .. } => "pin-incorrect",
                Status::Blocked(_) => "pin-blocked",
                Status::PinMustBeChanged => "pin-must-change",
                Status::NotFound => "terminal-not-on-card",
                Status::Full => "card-full",
                Status::Pad(Pad::Cancelled) => "pin-declined",
                Status::Pad(Pad::TimedOut) => "pin-timeout",
                Status::Pad(Pad::Length) => "pin-format",
                Status::Pad(Pad::Differ) => "pins-differ",
                Status::Pad(Pad::Refused) => "pin-pad-refused",
                _ => "card-refused",
            };
            let way_out = match s {
                Status::Pad(Pad::Refused) => ": set `pin_pad` to `off` in config.json",
                _ => "",
            };
            (code, format!("{s}{way_out}"))
        }
        (None, Some(t)) => (no_answer(e), t.to_string()),
        (None, None) => ("card-refused", inner.to_string()),
    };
    Reason::new(code, sentence)
}

/// A failure of the server as the owner reads it.
pub fn server_reason(e: &ClientError) -> Reason {
    match e.code() {
        Some(code) => {
            let name = serde_json::to_value(code)
                .ok()
                .and_then(|v| v.as_str().map(str::to_owned));
            Reason::new(
                &name.unwrap_or_else(|| "server-refused".to_owned()),
                e.to_string(),
            )
        }
        None if e.is_transient() => Reason::new("offline", e.to_string()),
        None => Reason::new("server-not-trusted", e.to_string()),
    }
}

pub(super) fn server_failure(e: &ClientError) -> OpenFailure {
    if e.is_transient() {
        OpenFailure::Offline(server_reason(e))
    } else {
        OpenFailure::Refused(server_reason(e))
    }
}

pub(super) fn engine_failure(e: &EngineError) -> OpenFailure {
    match e {
        EngineError::Server(e) => server_failure(e),
        EngineError::Cancelled => OpenFailure::Gone,
        e => OpenFailure::Refused(engine_reason(e)),
    }
}

pub(super) fn card_failure(e: &CardError) -> OpenFailure {
    if e.is_removal() {
        OpenFailure::Gone
    } else {
        OpenFailure::Refused(card_reason(e))
    }
}

/// A card's record that nothing proves.
pub const UNPROVEN: &str = "record-unproven";

/// A failure of the engine as the owner reads it.
pub fn engine_reason(e: &EngineError) -> Reason {
    let code = match e {
        EngineError::Cancelled => "cancelled",
        EngineError::Server(e) => return server_reason(e),
        EngineError::Store(_) => "store",
        EngineError::Head(Verdict::Fork { .. }) => "server-forked",
        EngineError::Head(Verdict::Unproven { .. }) => UNPROVEN,
        EngineError::Head(_) => "server-rolled-back",
        EngineError::Format(_)
        | EngineError::Key(_)
        | EngineError::Pack(_)
        | EngineError::Seal(_)
        | EngineError::Tree(_)
        | EngineError::BadPath(_)
        | EngineError::Reserved(_)
        | EngineError::NotThis
        | EngineError::TooMuch
        | EngineError::TailDamaged(_)
        | EngineError::BadItem(_)
        | EngineError::WrongSize(_) => "vault-damaged",
        EngineError::TooDeep(_) => "too-deep",
        EngineError::ListingTooLarge(_) => "listing-too-large",
        EngineError::MissingObject(_) => "vault-incomplete",
        EngineError::Io { .. } => "cannot-write",
        // These are of one collection: no sync ends with them, they are listed.
        EngineError::Guard { .. } | EngineError::Scan(_) | EngineError::Apply(_) => {
            e.of_one_collection().map_or("cannot-write", Code::as_str)
        }
        EngineError::Declined => "declined",
        EngineError::Busy => "busy",
        EngineError::CardBusy => CARD_BUSY,
        EngineError::NotInVault => "pairing-incomplete",
        EngineError::Rule(_) => "rule",
    };
    Reason::new(code, e.to_string())
}

/// How work ended that ended with this error.
pub fn outcome_of(e: &EngineError) -> Outcome {
    let reason = engine_reason(e);
    match e {
        EngineError::Cancelled => Outcome::Cancelled,
        EngineError::Head(_) => Outcome::Distrusted(reason),
        e if e.code().is_some_and(is_session_over) => Outcome::SessionOver(reason),
        e if e.is_transient() => Outcome::Later(reason),
        _ => Outcome::Failed(reason),
    }
}

/// Whether a code means that the session has to be opened anew.
pub fn is_session_over(code: ServerCode) -> bool {
    matches!(
        code,
        ServerCode::GrantRequired | ServerCode::GrantNarrowed | ServerCode::SessionSuperseded
    )
}
