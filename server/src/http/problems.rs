//! What a refusal of the rules is to a client: a stable code for its program, the sentence for the person.

use simsync_protocol::problem::{Code, Problem};
use simsync_vault::signed::FormatError;

use crate::rules::Refusal;

/// The problem that a client is told.
pub(super) fn of(refusal: &Refusal) -> Problem {
    let mut problem = Problem::new(code(refusal), refusal.to_string());
    if let Refusal::HeadMoved(head) = refusal {
        problem.head = *head;
    }
    problem
}

fn code(refusal: &Refusal) -> Code {
    use Refusal as R;
    match refusal {
        R::Format(error) => format_code(error),
        R::SubscriberExists(_) | R::PackHole(_) => Code::BadRequest,
        R::NoSubscriber(_) | R::NoCard(..) | R::NoTerminal(..) => Code::NoSuchObject,
        R::NoSession(_) | R::NoTail(_) => Code::NoSuchObject,
        R::SubscriberRemoved(_) | R::RemovedForGood(_) | R::SubscriberInactive => {
            Code::SubscriberInactive
        }
        R::CodeRefused => Code::CodeRefused,
        R::NotTheirCard | R::OtherCardEnrolled | R::RecipientKeys(_) | R::RecipientUnknown(_) => {
            Code::CardMismatch
        }
        R::CardRevoked | R::NoRecipient | R::RecipientRevoked(_) => Code::CardRevoked,
        R::TerminalRevoked | R::AcceptedTerminalRevoked(_) | R::TerminalKeyRevoked => {
            Code::TerminalRevoked
        }
        R::EntryRevoked(_) => Code::TerminalRevoked,
        R::TerminalOfOther | R::NotPairedWithCard | R::NotInKeyObject => Code::NotPaired,
        R::EntryUnknown(_) | R::TailTerminalUnknown | R::TailNotPaired => Code::NotPaired,
        R::PairingsOfOldList | R::ListMoved(_) => Code::ListMoved,
        R::SessionNumberUsed { .. } => Code::SessionNumberUsed,
        R::SessionEnded | R::GrantUnknown => Code::GrantRequired,
        R::SessionSuperseded => Code::SessionSuperseded,
        R::SessionNarrowed | R::CardGone | R::GrantOfRemovedCard => Code::GrantNarrowed,
        R::RekeyRequired => Code::RekeyRequired,
        R::CommitOfOther | R::TailOfOther => Code::SignatureRefused,
        R::HeadMoved(_) => Code::HeadMoved,
        R::CollectionOther(_) | R::PackOfOther(_) => Code::CollectionRefused,
        R::TailMerged(_) => Code::TailMerged,
        R::TailExists => Code::TailExists,
        R::NoVault => Code::NoVault,
        R::PackExists => Code::PackExists,
        R::PackMissing(_) | R::TailPackMissing(_) => Code::PackMissing,
        R::PackDropped(_) | R::TailPackDropped(_) => Code::PackDropped,
        R::CommitSessionUnknown
        | R::CommitSessionOther
        | R::SessionClosed
        | R::OtherVault
        | R::FirstListMissing
        | R::ListOther
        | R::EpochOther { .. }
        | R::OutboxRoot
        | R::PackTwice(_)
        | R::PackCommitted(_)
        | R::PackOther(_)
        | R::PackNotLive(_)
        | R::WrapsOther
        | R::TailSessionOther
        | R::TailOfOtherVault
        | R::TailReplacesOther => Code::ChainRefused,
    }
}

/// A broken rule of the format is the chain's.
fn format_code(error: &FormatError) -> Code {
    match error {
        FormatError::TooLarge { .. } => Code::TooLarge,
        FormatError::Damaged(_) | FormatError::Newer { .. } => Code::BadRequest,
        FormatError::Signature(_) => Code::SignatureRefused,
        FormatError::Rule { .. } => Code::ChainRefused,
    }
}
