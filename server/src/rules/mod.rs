//! Rules of the chain as pure functions over facts that a store gathered in its transaction. No store repeats them.

pub mod commit;
pub mod facts;
pub mod keyobject;
pub mod tail;

use simsync_protocol::problem::{Code, Problem};
use simsync_vault::signed::FormatError;

/// A refusal.
pub(crate) fn refuse<T>(code: Code, detail: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::new(code, detail))
}

/// What a [`FormatError`] means to a client, where a broken rule is the chain's.
pub fn format_problem(error: &FormatError) -> Problem {
    let code = match error {
        FormatError::TooLarge { .. } => Code::TooLarge,
        FormatError::Damaged(_) | FormatError::Newer { .. } => Code::BadRequest,
        FormatError::Signature(_) => Code::SignatureRefused,
        FormatError::Rule { .. } => Code::ChainRefused,
    };
    let detail = match error {
        // The sentence of the type speaks to a terminal; here the server is the one that is behind.
        FormatError::Newer { what, found, known } => format!(
            "{what} has format version {found}; this server knows up to {known}: ask the operator to update simsync-server"
        ),
        other => other.to_string(),
    };
    Problem::new(code, detail)
}
