//! The card's statement that it opened a session for a terminal.

use serde::{Deserialize, Serialize};
use simsync_card::ids::{CardId, Hash, Point, TerminalId};
use simsync_card::sign::{self, Sig, SignError};
use simsync_card::text;

/// Signed by the card (domain "session"): session N of this terminal under this binding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatement {
    /// The card that signed.
    pub card: CardId,
    /// The card's session number, from 1.
    pub n: u32,
    /// The terminal that the session is for.
    pub terminal: TerminalId,
    /// H(exporter ‖ server ID ‖ server nonce ‖ H(certificate)).
    pub binding: Hash,
    /// The card's signature.
    pub sig: Sig,
}

impl SessionStatement {
    /// Checks the card's signature with the card's SIG key.
    pub fn verify(&self, card_sig_key: &Point) -> Result<(), SignError> {
        let text = text::session(&self.card, self.n, &self.terminal, &self.binding);
        sign::verify(card_sig_key, &text, &self.sig)
    }
}
