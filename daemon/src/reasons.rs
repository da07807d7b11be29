//! Failures of card, server and engine, as the owner reads them and as the rules act on them.

use simsync_card::status::{Pad, Status};
use simsync_card::transport::TransportError;
use simsync_codes::Code;
use simsync_protocol::client::ClientError;
use simsync_protocol::problem::Code as ServerCode;
use simsync_vault::head::Verdict;

use crate::api::{AgentError, Failure, Reason};
use crate::card::CardError;
use crate::engine::EngineError;
use crate::rules::{OpenFailure, Outcome};

/// A reason for an agent that gave nothing.
pub fn agent_reason(e: AgentError) -> Reason {
    let code = match e {
        AgentError::NoAgent => Code::NoAgent,
        AgentError::Declined => Code::PinDeclined,
        AgentError::TimedOut => Code::PinTimeout,
    };
    Reason::new(code, e.to_string())
}

/// What it is called that no answer came from the card.
fn no_answer(e: &CardError) -> Code {
    match e.transport() {
        _ if e.is_removal() => Code::CardRemoved,
        Some(TransportError::Modem(_)) => Code::NoChannel,
        _ => Code::CardBusy,
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
                Status::Wrong { .. } => Code::PinIncorrect,
                Status::Blocked(_) => Code::PinBlocked,
                Status::PinMustBeChanged => Code::PinMustChange,
                Status::NotFound => Code::TerminalNotOnCard,
                Status::Full => Code::CardFull,
                Status::Pad(Pad::Cancelled) => Code::PinDeclined,
                Status::Pad(Pad::TimedOut) => Code::PinTimeout,
                Status::Pad(Pad::Length) => Code::PinFormat,
                Status::Pad(Pad::Differ) => Code::PinsDiffer,
                Status::Pad(Pad::Refused) => Code::PinPadRefused,
                _ => Code::CardRefused,
            };
            let way_out = match s {
                Status::Pad(Pad::Refused) => ": set `pin_pad` to `off` in config.json",
                _ => "",
            };
            (code, format!("{s}{way_out}"))
        }
        (None, Some(t)) => (no_answer(e), t.to_string()),
        (None, None) => (Code::CardRefused, inner.to_string()),
    };
    Reason::new(code, sentence)
}

/// What a code of the server is called here: the same, where it is known.
fn of_server(code: ServerCode) -> Code {
    match code {
        ServerCode::BadRequest => Code::BadRequest,
        ServerCode::TooLarge => Code::TooLarge,
        ServerCode::NotFound => Code::NotFound,
        ServerCode::MethodNotAllowed => Code::MethodNotAllowed,
        ServerCode::RateLimited => Code::RateLimited,
        ServerCode::CertificateRequired => Code::CertificateRequired,
        ServerCode::NotPaired => Code::NotPaired,
        ServerCode::TerminalRevoked => Code::TerminalRevoked,
        ServerCode::CardRevoked => Code::CardRevoked,
        ServerCode::SubscriberInactive => Code::SubscriberInactive,
        ServerCode::CodeRefused => Code::CodeRefused,
        ServerCode::CardMismatch => Code::CardMismatch,
        ServerCode::SignatureRefused => Code::SignatureRefused,
        ServerCode::NonceRefused => Code::NonceRefused,
        ServerCode::BindingRefused => Code::BindingRefused,
        ServerCode::SessionNumberUsed => Code::SessionNumberUsed,
        ServerCode::GrantRequired => Code::GrantRequired,
        ServerCode::GrantNarrowed => Code::GrantNarrowed,
        ServerCode::CollectionRefused => Code::CollectionRefused,
        ServerCode::NoVault => Code::NoVault,
        ServerCode::NoSuchObject => Code::NoSuchObject,
        ServerCode::HeadMoved => Code::HeadMoved,
        ServerCode::ListMoved => Code::ListMoved,
        ServerCode::TailMerged => Code::TailMerged,
        ServerCode::PackDropped => Code::PackDropped,
        ServerCode::PackMissing => Code::PackMissing,
        ServerCode::PackExists => Code::PackExists,
        ServerCode::TailExists => Code::TailExists,
        ServerCode::SessionSuperseded => Code::SessionSuperseded,
        ServerCode::ChainRefused => Code::ChainRefused,
        ServerCode::RekeyRequired => Code::RekeyRequired,
        ServerCode::StorageFull => Code::StorageFull,
        ServerCode::Internal => Code::Internal,
        ServerCode::Overloaded => Code::Overloaded,
        ServerCode::ShuttingDown => Code::ShuttingDown,
        ServerCode::Unknown => Code::ServerRefused,
    }
}

/// A failure of the server as the owner reads it.
pub fn server_reason(e: &ClientError) -> Reason {
    let code = match e.code() {
        Some(code) => of_server(code),
        None if e.is_transient() => Code::Offline,
        None => Code::ServerNotTrusted,
    };
    Reason::new(code, e.to_string())
}

/// The same, as an opening's failure: a server that cannot be reached is tried again.
pub fn server_failure(e: &ClientError) -> OpenFailure {
    if e.is_transient() {
        OpenFailure::Offline(server_reason(e))
    } else {
        OpenFailure::Refused(server_reason(e))
    }
}

/// A failure of the engine, as an opening's.
pub fn engine_failure(e: impl Into<EngineError>) -> OpenFailure {
    match e.into() {
        EngineError::Server(e) => server_failure(&e),
        EngineError::Cancelled => OpenFailure::Gone,
        e => OpenFailure::Refused(engine_reason(&e)),
    }
}

/// A failure of the card, as an opening's: none where the card is out.
pub fn card_failure(e: &CardError) -> OpenFailure {
    if e.is_removal() {
        OpenFailure::Gone
    } else {
        OpenFailure::Refused(card_reason(e))
    }
}

/// A failure of the engine as the owner reads it.
pub fn engine_reason(e: &EngineError) -> Reason {
    let code = match e {
        EngineError::Cancelled => Code::Cancelled,
        EngineError::Server(e) => return server_reason(e),
        EngineError::Store(_) => Code::Store,
        EngineError::Head(Verdict::Fork { .. }) => Code::ServerForked,
        EngineError::Head(Verdict::Unproven { .. }) => Code::RecordUnproven,
        EngineError::Head(_) => Code::ServerRolledBack,
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
        | EngineError::WrongSize(_) => Code::VaultDamaged,
        EngineError::MissingObject(_) => Code::VaultIncomplete,
        EngineError::Io { .. } => Code::CannotWrite,
        // These are of one collection: no sync ends with them, they are listed.
        EngineError::Guard { .. }
        | EngineError::Scan(_)
        | EngineError::Apply(_)
        | EngineError::TooDeep(_)
        | EngineError::ListingTooLarge(_) => {
            e.of_one_collection().map_or(Code::CannotWrite, Code::from)
        }
        EngineError::Declined => Code::Declined,
        EngineError::Busy => Code::Busy,
        EngineError::CardBusy => Code::CardBusy,
        EngineError::NotInVault => Code::PairingIncomplete,
        EngineError::Rule(_) => Code::Rule,
    };
    Reason::new(code, e.to_string())
}

/// The same, as a command's failure.
pub fn failure(e: impl Into<EngineError>) -> Failure {
    engine_reason(&e.into()).into()
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
