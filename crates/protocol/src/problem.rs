//! Errors of the API: problem+json (RFC 9457) with stable codes.

use serde::{Deserialize, Serialize};

use crate::api::HeadInfo;

/// Stable codes; clients act on these, never on the sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// 400: the body or a parameter is not what it should be.
    BadRequest,
    /// 413: over a limit.
    TooLarge,
    /// 404: no such path.
    NotFound,
    /// 405: the path is right, the method is not one that it takes.
    MethodNotAllowed,
    /// 429: too many tries from this address, or too much of this terminal or subscriber at once.
    RateLimited,
    /// 401: a terminal's certificate is needed.
    CertificateRequired,
    /// 403: the certificate is not (or no longer) one of a paired terminal.
    NotPaired,
    /// 403: this terminal was revoked.
    TerminalRevoked,
    /// 403: this card was revoked, or is not enrolled.
    CardRevoked,
    /// 403: the subscriber is suspended or removed.
    SubscriberInactive,
    /// 403: the enrolment code is wrong, used or expired.
    CodeRefused,
    /// 403: the card belongs to somebody else, or has other keys.
    CardMismatch,
    /// 403: a signature does not verify.
    SignatureRefused,
    /// 403: the nonce is unknown, used, expired or of another connection.
    NonceRefused,
    /// 403: the binding is not of this connection.
    BindingRefused,
    /// 409: the session number is not above the last one.
    SessionNumberUsed,
    /// 401: no grant, or one that is unknown, expired, ended or of another connection.
    GrantRequired,
    /// 403: the grant was narrowed and does not cover this.
    GrantNarrowed,
    /// 403: the collection is not one of this terminal's.
    CollectionRefused,
    /// 404: the subscriber has no vault yet.
    NoVault,
    /// 404: no such pack, tail, session, terminal.
    NoSuchObject,
    /// 409: the head is another one; `head` tells which.
    HeadMoved,
    /// 409: a newer key object is in force.
    ListMoved,
    /// 409: a commit names a tail that is merged already.
    TailMerged,
    /// 409: a commit names a pack that was dropped; add it again.
    PackDropped,
    /// 409: a commit names a pack that is not durable here.
    PackMissing,
    /// 409: a pack of that name exists with other content.
    PackExists,
    /// 409: this session has a tail already, and it is another one.
    TailExists,
    /// 409: after N+1 of a card only the tail is valid for N.
    SessionSuperseded,
    /// 409: the commit or key object breaks a rule of the chain.
    ChainRefused,
    /// 409: a re-key is due before anything else is written.
    RekeyRequired,
    /// 507: the disk or quota is full.
    StorageFull,
    /// 500: our fault; see the server's log.
    Internal,
    /// 503: the server has too much under way at once.
    Overloaded,
    /// 503: the server is stopping.
    ShuttingDown,
    /// Any code that this version does not know: the other side is newer. Read only, never sent.
    #[serde(other, rename = "server-refused")]
    Unknown,
}

impl Code {
    /// The HTTP status that goes with the code.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::CertificateRequired | Self::GrantRequired => 401,
            Self::NotPaired
            | Self::TerminalRevoked
            | Self::CardRevoked
            | Self::SubscriberInactive
            | Self::CodeRefused
            | Self::CardMismatch
            | Self::SignatureRefused
            | Self::NonceRefused
            | Self::BindingRefused
            | Self::GrantNarrowed
            | Self::CollectionRefused => 403,
            Self::NotFound | Self::NoVault | Self::NoSuchObject => 404,
            Self::MethodNotAllowed => 405,
            Self::SessionNumberUsed
            | Self::HeadMoved
            | Self::ListMoved
            | Self::TailMerged
            | Self::PackDropped
            | Self::PackMissing
            | Self::PackExists
            | Self::TailExists
            | Self::SessionSuperseded
            | Self::ChainRefused
            | Self::RekeyRequired => 409,
            Self::TooLarge => 413,
            Self::RateLimited => 429,
            Self::Internal | Self::Unknown => 500,
            Self::Overloaded | Self::ShuttingDown => 503,
            Self::StorageFull => 507,
        }
    }
}

/// Body of every error answer, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// Repeats the HTTP status.
    pub status: u16,
    /// What a program acts on.
    pub code: Code,
    /// What a person reads: what happened and what to do next.
    pub detail: String,
    /// The present head, with [`Code::HeadMoved`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<HeadInfo>,
}

impl Problem {
    /// A problem with the code's own status. The sentence may repeat what a client sent: it is made fit to be shown.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            status: code.status(),
            code,
            detail: one_line(&detail.into()),
            head: None,
        }
    }

    /// The same with a sentence that is fit to be shown, whoever wrote it.
    pub(crate) fn shown(self) -> Self {
        Self {
            detail: one_line(&self.detail),
            ..self
        }
    }
}

/// Longest sentence that is passed on, in characters.
const SENTENCE_MAX: usize = 500;

/// Words of somebody else as one line of bounded length and without control characters: those would steer the person's
/// terminal, and D-Bus carries no NUL at all.
pub(crate) fn one_line(text: &str) -> String {
    let mut chars = text.chars();
    let shown = chars.by_ref().take(SENTENCE_MAX);
    let mut out: String = shown
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_become_one_short_line() {
        assert_eq!(one_line("as it is – ä"), "as it is – ä");
        assert_eq!(one_line("a\0b\nc\u{1b}[2J\u{9b}"), "a b c [2J ");
        assert_eq!(one_line(&"ä".repeat(500)), "ä".repeat(500));
        let cut = one_line(&"ä".repeat(1 << 20));
        assert_eq!(cut, "ä".repeat(500) + "…");
        assert_eq!(Problem::new(Code::BadRequest, "a\tb").detail, "a b");
    }
}
