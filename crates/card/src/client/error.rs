//! Why a command has no result.

use super::format::VERSION;
use crate::status::Status;
use crate::transport::TransportError;

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// No answer came.
    #[error("the card could not be reached for {command}")]
    Transport {
        /// The command's name.
        command: &'static str,
        /// Why not.
        #[source]
        source: TransportError,
    },
    /// The card refused.
    #[error("the card refused {command}")]
    Refused {
        /// The command's name.
        command: &'static str,
        /// The status word of the answer.
        #[source]
        status: Status,
    },
    /// The answer is not what docs/card.md says.
    #[error(
        "the card's answer to {command} is malformed: {what}; is another applet or version on it?"
    )]
    Answer {
        /// The command's name.
        command: &'static str,
        /// What is wrong with the answer, as a clause for the sentence above: "it ends too early".
        what: &'static str,
    },
    /// The applet is of another major version.
    #[error(
        "the card's applet has version {major}.{minor} and this program knows {VERSION}; update the older one"
    )]
    Version {
        /// Major version of the applet.
        major: u8,
        /// Minor version of the applet.
        minor: u8,
    },
    /// A value that fits no command; nothing was sent.
    #[error("{what} takes {least} to {most} bytes, not {length}")]
    Length {
        /// Name of the value, with its article: "the card's label".
        what: &'static str,
        /// Shortest that is taken, in bytes.
        least: usize,
        /// Longest that is taken, in bytes.
        most: usize,
        /// Length of what was given, in bytes.
        length: usize,
    },
}

impl CardError {
    /// Why the card refused, if it did.
    pub fn status(&self) -> Option<Status> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether another program has reset the card or selected its own applet: SELECT and start over.
    pub fn is_session_lost(&self) -> bool {
        match self {
            Self::Transport { source, .. } => matches!(source, TransportError::ResetByOther),
            Self::Refused { status, .. } => {
                matches!(status, Status::NotUnderstood(_) | Status::Unexpected(_))
            }
            Self::Answer { .. } => true,
            _ => false,
        }
    }

    /// What happened on the way to the card, if it was that.
    pub fn transport(&self) -> Option<&TransportError> {
        match self {
            Self::Transport { source, .. } => Some(source),
            _ => None,
        }
    }
}
