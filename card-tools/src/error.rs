//! Failures, as people and scripts see them.

use simsync_card::client::CardError;
use simsync_card::status::Status;
use simsync_card::transport::TransportError;
use simsync_protocol::client::ClientError;

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// Wrong arguments, found out late.
    #[error("{0}")]
    Usage(String),
    /// No pcscd, or no reader.
    #[error("{0}")]
    Reader(String),
    /// No card of ours.
    #[error("{0}")]
    NoCard(String),
    /// What the card said.
    #[error("{}", card_sentence(.0))]
    Card(#[from] CardError),
    /// What the reader said.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// What the server said.
    #[error(transparent)]
    Server(#[from] ClientError),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// The command's own cause says what happened and what to do.
fn card_sentence(e: &CardError) -> String {
    match (e.status(), e.transport()) {
        (Some(status), _) => status.to_string(),
        (None, Some(transport)) => transport.to_string(),
        (None, None) => e.to_string(),
    }
}

impl ToolError {
    /// As documented in `--help`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Reader(_) => 3,
            Self::NoCard(_) => 4,
            Self::Card(e) => match (e.status(), e.transport()) {
                (Some(Status::Wrong { .. } | Status::Blocked(_) | Status::PinMustBeChanged), _) => {
                    5
                }
                (None, Some(t)) => transport_code(t),
                _ => 1,
            },
            Self::Transport(t) => transport_code(t),
            Self::Server(_) => 6,
            Self::Other(_) => 1,
        }
    }

    /// Stable, for scripts.
    pub fn code(&self) -> &'static str {
        match self.exit_code() {
            2 => "usage",
            3 => "no-reader",
            4 => "no-card",
            5 => "pin",
            6 => "server",
            _ => "failed",
        }
    }
}

fn transport_code(t: &TransportError) -> u8 {
    match t {
        TransportError::ServiceGone | TransportError::ReaderGone => 3,
        TransportError::RemovedCard | TransportError::NoAnswer(_) | TransportError::BrokenOff => 4,
        _ => 1,
    }
}
