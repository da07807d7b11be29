//! Who did what.

use simsync_card::ids::{CardId, SubscriberId, TerminalId};

use super::time::Seconds;

/// Who did something, for the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The operator, through the local socket or the command line.
    Operator,
    /// A terminal, known by the certificate of its connection.
    Terminal(TerminalId),
    /// A card, by its signature: it was enrolled or accepted a terminal.
    Card(CardId),
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Operator => f.write_str("operator"),
            Self::Terminal(id) => write!(f, "terminal {id}"),
            Self::Card(id) => write!(f, "card {id}"),
        }
    }
}

/// An entry for the audit log.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// About whom; `None` for the server itself.
    pub subscriber: Option<SubscriberId>,
    /// Who did it; stored as the text of its `Display`.
    pub actor: Actor,
    /// What, in a few words with dashes.
    pub action: &'static str,
    /// Further facts; never a secret.
    pub detail: serde_json::Value,
    /// Time of the call, in seconds since 1970.
    pub now: Seconds,
}
