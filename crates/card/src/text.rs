//! Texts that are signed: fields with 2-byte lengths, the first naming the domain, the second the card.

use crate::ids::{CardId, Hash, Point, ServerId, SubscriberId, TerminalId};
use sha2::{Digest, Sha256};

/// Concatenates fields, each preceded by its length in 2 bytes, big-endian.
///
/// Fields here are short and of known size; a field of 64 KiB or more would not fit and is cut at no
/// place in this crate: the length is checked by a debug assertion and saturates.
pub fn fields(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|p| p.len() + 2).sum());
    for p in parts {
        debug_assert!(p.len() <= usize::from(u16::MAX));
        out.extend_from_slice(&u16::try_from(p.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(p);
    }
    out
}

/// What a signature is for. One key never signs two meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// A card introduces its keys to the server.
    Enrol,
    /// A card shows its keys to a terminal.
    Keys,
    /// A card accepts a terminal.
    Pair,
    /// A card opens a session.
    Session,
    /// A card is still there.
    Renew,
    /// A key object, signed by a card or the recovery key.
    KeyObject,
    /// An erase order.
    Erase,
    /// A restored server is accepted.
    Restore,
    /// A terminal opens a session at the card.
    Terminal,
    /// A commit, signed by a terminal.
    Commit,
    /// A tail, signed by a terminal.
    Tail,
}

impl Domain {
    /// The domain's name as it stands in the text.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enrol => "enrol",
            Self::Keys => "keys",
            Self::Pair => "pair",
            Self::Session => "session",
            Self::Renew => "renew",
            Self::KeyObject => "keyobject",
            Self::Erase => "erase",
            Self::Restore => "restore",
            Self::Terminal => "terminal",
            Self::Commit => "commit",
            Self::Tail => "tail",
        }
    }

    /// The whole text: domain, card ID, further fields.
    pub fn text(self, card: &CardId, further: &[&[u8]]) -> Vec<u8> {
        let head = format!("simsync/1/{}", self.name());
        let mut parts: Vec<&[u8]> = vec![head.as_bytes(), card.as_bytes()];
        parts.extend_from_slice(further);
        fields(&parts)
    }
}

/// The card's two public keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CardKeys {
    /// Verifies the card's signatures (ECDSA with SHA-256).
    pub sig: Point,
    /// Agrees (ECDH).
    pub kem: Point,
}

/// "enrol": signed by the card over its keys and H(exporter ‖ server nonce).
pub fn enrol(card: &CardId, keys: &CardKeys, bytes: &[u8; 32]) -> Vec<u8> {
    Domain::Enrol.text(card, &[&keys.sig.0, &keys.kem.0, bytes])
}

/// "keys": signed by the card over its keys and the terminal's nonce.
pub fn keys(card: &CardId, keys: &CardKeys, nonce: &[u8; 32]) -> Vec<u8> {
    Domain::Keys.text(card, &[&keys.sig.0, &keys.kem.0, nonce])
}

/// "pair": signed by the card over the terminal that it stored and the binding.
pub fn pair(card: &CardId, terminal: &TerminalId, binding: &Hash) -> Vec<u8> {
    Domain::Pair.text(card, &[&terminal.0, &binding.0])
}

/// "session": signed by the card over the session number, terminal and binding.
pub fn session(card: &CardId, n: u32, terminal: &TerminalId, binding: &Hash) -> Vec<u8> {
    Domain::Session.text(card, &[&n.to_be_bytes(), &terminal.0, &binding.0])
}

/// "renew": as [`session`], for a session that goes on.
pub fn renew(card: &CardId, n: u32, terminal: &TerminalId, binding: &Hash) -> Vec<u8> {
    Domain::Renew.text(card, &[&n.to_be_bytes(), &terminal.0, &binding.0])
}

/// "terminal": signed by the terminal for the card.
pub fn terminal(card: &CardId, challenge: &[u8; 16], binding: &Hash, hpke: &Point) -> Vec<u8> {
    Domain::Terminal.text(card, &[challenge, &binding.0, &hpke.0])
}

/// H(exporter ‖ server ID ‖ server nonce ‖ H(certificate or CSR)), fields with 2-byte lengths.
///
/// Ties a card's signature to one TLS connection, one server, one nonce and one terminal.
pub fn binding(
    exporter: &[u8; 32],
    server: &ServerId,
    nonce: &[u8; 16],
    cert_or_csr: &Hash,
) -> Hash {
    Hash::of(&fields(&[exporter, &server.0, nonce, &cert_or_csr.0]))
}

/// The caller's 32 bytes of an enrolment: H(exporter ‖ server nonce), fields with 2-byte lengths.
pub fn enrol_bytes(exporter: &[u8; 32], nonce: &[u8; 16]) -> [u8; 32] {
    Hash::of(&fields(&[exporter, nonce])).0
}

/// What a card answers to SELECT instead of its name.
pub fn pseudonym(card: &CardId, subscriber: &SubscriberId, challenge: &[u8; 16]) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(fields(&[
        &card.0,
        subscriber.as_str().as_bytes(),
        challenge,
    ]))
    .into();
    let mut out = [0; 16];
    out.copy_from_slice(&digest[..16]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_session_text() {
        let text = session(&CardId([1; 16]), 7, &TerminalId([2; 32]), &Hash([3; 32]));
        let expected = format!(
            "0011{}0010{}0004000000070020{}0020{}",
            hex::encode("simsync/1/session"),
            "01".repeat(16),
            "02".repeat(32),
            "03".repeat(32)
        );
        assert_eq!(hex::encode(text), expected);
    }

    #[test]
    fn golden_binding_and_pseudonym() {
        let b = binding(&[1; 32], &ServerId([2; 16]), &[3; 16], &Hash([4; 32]));
        assert_eq!(
            b,
            Hash::of(
                &hex::decode(format!(
                    "0020{}0010{}0010{}0020{}",
                    "01".repeat(32),
                    "02".repeat(16),
                    "03".repeat(16),
                    "04".repeat(32)
                ))
                .unwrap()
            )
        );
        let sub: SubscriberId = "alice".parse().unwrap();
        assert_ne!(
            pseudonym(&CardId([1; 16]), &sub, &[0; 16]),
            pseudonym(&CardId([1; 16]), &sub, &[1; 16])
        );
    }

    #[test]
    fn no_two_domains_share_a_text() {
        use Domain::*;
        let all = [
            Enrol, Keys, Pair, Session, Renew, KeyObject, Erase, Restore, Terminal, Commit, Tail,
        ];
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert_ne!(a.text(&CardId::ZERO, &[]), b.text(&CardId::ZERO, &[]));
            }
        }
    }
}
