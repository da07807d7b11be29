//! What pairing made: the terminal's key, sealed under the terminal PIN, its certificate, subscriber and server.

mod own;

use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use simsync_card::ids::{CardId, Hash, Point, ServerId, SubscriberId, TerminalId};
use simsync_card::sign::SecretKey;
use simsync_protocol::api::{B64, MovingTo};
use simsync_vault::keyobject::KeyObjectBody;
use zeroize::Zeroizing;

use crate::config::{ConfigError, read_json};
use crate::engine::TrustedCard;
use crate::paths::write_atomically;
pub use own::Identity;

/// Newest version of `terminal.json`.
pub const TERMINAL_VERSION: u32 = 1;
/// Shortest terminal PIN, in characters, while no TPM holds the key.
pub const TERMINAL_PIN_MIN: usize = 8;
/// Argon2id: memory in KiB, passes, lanes (RFC 9106, second recommendation).
const ARGON2: (u32, u32, u32) = (64 * 1024, 3, 4);
/// The most of each that is taken from a file: 1 GiB, and room for what later versions may choose.
const ARGON2_MAX: (u32, u32, u32) = (1024 * 1024, 64, 64);
/// Salt of a sealed key, in bytes.
const SALT: usize = 16;
/// Scalar and tag of a sealed key, in bytes.
const CIPHERTEXT: usize = 32 + 16;

/// A key at rest: Argon2id, then XChaCha20-Poly1305.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedKey {
    /// Memory that Argon2id takes, in KiB; more than 1 GiB is refused as damaged.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes that are computed side by side.
    pub lanes: u32,
    /// Salt of Argon2id, 16 random bytes.
    pub salt: B64,
    /// Nonce of XChaCha20-Poly1305, 24 random bytes.
    pub nonce: B64,
    /// The scalar and the tag.
    pub ciphertext: B64,
}

/// Why the terminal's key cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// The PIN does not open it.
    #[error("the terminal PIN is wrong")]
    WrongPin,
    /// A new PIN has fewer than [`TERMINAL_PIN_MIN`] characters.
    #[error("a terminal PIN has {TERMINAL_PIN_MIN} characters or more")]
    TooShort,
    /// The file is not what we wrote.
    #[error("the sealed terminal key is damaged: pair this terminal again with `simsync pair`")]
    Damaged,
}

/// `terminal.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terminal {
    /// [`TERMINAL_VERSION`].
    pub version: u32,
    /// The terminal's public key.
    pub point: Point,
    /// Its private key.
    pub key: SealedKey,
    /// Set once a card accepted it.
    pub pairing: Option<Pairing>,
}

/// With whom the terminal is paired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pairing {
    /// ID of the person, as the card told it; only their cards open sessions here.
    pub subscriber: SubscriberId,
    /// The card that paired it, with the keys read from itself.
    pub card: TrustedCard,
    /// What the person calls this terminal. None in files of before: the settings say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// `host` or `host:port`.
    pub server: String,
    /// The pin of the server's CA.
    pub ca_pin: Hash,
    /// The server's random number, which is part of every binding.
    pub server_id: ServerId,
    /// The terminal's certificate, DER.
    pub certificate: B64,
    /// The key object with this terminal was committed.
    pub complete: bool,
    /// The owner undid it, and the vault may name this terminal no more: card and server are still to be told.
    #[serde(default)]
    pub leaving: bool,
    /// The person's cards that have opened a session here.
    #[serde(default)]
    pub known_cards: Vec<KnownCard>,
    /// Where the server will be, as its operator announced and the owner agreed.
    #[serde(default)]
    pub next_server: Option<MovingTo>,
    /// Since the server moved: the cards that carry its new address. None if it never moved.
    #[serde(default)]
    pub told_cards: Option<Vec<CardId>>,
}

/// A card that has opened a session on this terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownCard {
    /// ID of the card, in one entry only.
    pub card: CardId,
    /// Number of the key object with which its slots were last compared.
    pub list_number: u32,
}

impl Pairing {
    /// The entry of a card; none if it opened no session here, or if a newer key object names it no more.
    pub fn known_card(&self, card: &CardId) -> Option<&KnownCard> {
        self.known_cards.iter().find(|k| k.card == *card)
    }

    /// The server is there now: every card is told at its next session.
    pub fn moved(&mut self, to: &MovingTo) {
        self.server = to.address.to_string();
        self.ca_pin = to.ca_pin;
        self.next_server = None;
        self.told_cards = Some(Vec::new());
    }

    /// The server's place.
    pub fn place(&self) -> Option<MovingTo> {
        let address = self.server.parse().ok()?;
        let ca_pin = self.ca_pin;
        Some(MovingTo { address, ca_pin })
    }

    /// This pairing takes the place of one with the same person: what the terminal knew goes on. `on_card` is where the
    /// card says that the server is.
    pub fn goes_on_from(&mut self, before: &Self, on_card: &MovingTo) {
        self.complete = before.complete;
        self.known_cards.clone_from(&before.known_cards);
        if self.server_id != before.server_id {
            return;
        }
        let place = self.place();
        if place == before.place() {
            self.next_server.clone_from(&before.next_server);
            self.told_cards.clone_from(&before.told_cards);
        } else {
            self.told_cards = Some(Vec::new());
        }
        let card = self.card.id;
        if place.as_ref() != Some(on_card) {
            // It moved, whoever found that out first.
            let told = self.told_cards.get_or_insert_default();
            told.retain(|c| *c != card);
        } else if let Some(told) = self.told_cards.as_mut().filter(|t| !t.contains(&card)) {
            told.push(card);
        }
    }

    /// Whether a card is to be told where the server is now.
    pub fn has_news_for(&self, card: &CardId) -> bool {
        self.told_cards.as_ref().is_some_and(|t| !t.contains(card))
    }

    /// Notes that a card's slots are what this key object says. Cards that it no longer names are forgotten.
    pub fn note_card(&mut self, card: &CardId, newest: &KeyObjectBody) {
        self.known_cards
            .retain(|k| k.card != *card && newest.recipient(&k.card).is_some());
        self.known_cards.push(KnownCard {
            card: *card,
            list_number: newest.list_number,
        });
    }
}

impl Terminal {
    /// Makes a key and seals it.
    pub fn create(pin: &str, rng: &mut impl CryptoRng) -> Result<(Self, SecretKey), UnsealError> {
        let key = loop {
            let mut bytes = Zeroizing::new([0; 32]);
            rng.fill_bytes(&mut *bytes);
            // One in 2^32 draws is no scalar of the curve.
            if let Ok(key) = SecretKey::from_bytes(&bytes) {
                break key;
            }
        };
        let terminal = Self {
            version: TERMINAL_VERSION,
            point: key.point(),
            key: seal(&key, pin, rng)?,
            pairing: None,
        };
        Ok((terminal, key))
    }

    /// The terminal's ID.
    pub fn id(&self) -> TerminalId {
        TerminalId::of(&self.point)
    }

    /// Opens the key. Takes about a tenth of a second and 64 MiB on purpose.
    pub fn unseal(&self, pin: &str) -> Result<SecretKey, UnsealError> {
        let s = &self.key;
        let nonce: [u8; 24] = s
            .nonce
            .0
            .as_slice()
            .try_into()
            .map_err(|_| UnsealError::Damaged)?;
        if s.salt.0.len() != SALT || s.ciphertext.0.len() != CIPHERTEXT {
            return Err(UnsealError::Damaged);
        }
        let cipher = cipher(pin, &s.salt.0, (s.memory_kib, s.passes, s.lanes))?;
        let plain = cipher
            .decrypt(
                <&XNonce>::from(&nonce),
                Payload {
                    msg: &s.ciphertext.0,
                    aad: &self.point.0,
                },
            )
            .map(Zeroizing::new)
            .map_err(|_| UnsealError::WrongPin)?;
        let bytes: &[u8; 32] = plain
            .as_slice()
            .try_into()
            .map_err(|_| UnsealError::Damaged)?;
        let key = SecretKey::from_bytes(bytes).map_err(|_| UnsealError::Damaged)?;
        if key.point() == self.point {
            Ok(key)
        } else {
            Err(UnsealError::Damaged)
        }
    }

    /// Seals the key under another PIN.
    pub fn reseal(
        &mut self,
        key: &SecretKey,
        pin: &str,
        rng: &mut impl CryptoRng,
    ) -> Result<(), UnsealError> {
        self.key = seal(key, pin, rng)?;
        Ok(())
    }

    /// Reads the file; none before the first pairing.
    pub fn load(path: &Path) -> Result<Option<Self>, ConfigError> {
        let read: Option<Self> = read_json(path, TERMINAL_VERSION)?;
        read.map(Self::checked)
            .transpose()
            .map_err(|why| ConfigError::Invalid {
                path: path.display().to_string(),
                why: why.to_owned(),
            })
    }

    /// The same, if a simsync wrote it; else why that cannot be.
    pub fn checked(self) -> Result<Self, &'static str> {
        if self.version == 0 {
            return Err("it has version 0, which no simsync wrote");
        }
        Ok(self)
    }

    /// Writes the file durably.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::other)?;
        write_atomically(path, &text)
    }
}

fn seal(key: &SecretKey, pin: &str, rng: &mut impl CryptoRng) -> Result<SealedKey, UnsealError> {
    if pin.chars().count() < TERMINAL_PIN_MIN {
        return Err(UnsealError::TooShort);
    }
    let (mut salt, mut nonce) = ([0; SALT], [0; 24]);
    rng.fill_bytes(&mut salt);
    rng.fill_bytes(&mut nonce);
    let cipher = cipher(pin, &salt, ARGON2)?;
    let plain = key.to_bytes();
    let ciphertext = cipher
        .encrypt(
            <&XNonce>::from(&nonce),
            Payload {
                msg: &*plain,
                aad: &key.point().0,
            },
        )
        .map_err(|_| UnsealError::Damaged)?;
    Ok(SealedKey {
        memory_kib: ARGON2.0,
        passes: ARGON2.1,
        lanes: ARGON2.2,
        salt: B64(salt.to_vec()),
        nonce: B64(nonce.to_vec()),
        ciphertext: B64(ciphertext),
    })
}

fn cipher(
    pin: &str,
    salt: &[u8],
    (memory, passes, lanes): (u32, u32, u32),
) -> Result<XChaCha20Poly1305, UnsealError> {
    // Limits before memory is taken: the file may be anybody's.
    let most = ARGON2_MAX;
    if memory > most.0 || passes > most.1 || lanes > most.2 {
        return Err(UnsealError::Damaged);
    }
    let params = Params::new(memory, passes, lanes, Some(32)).map_err(|_| UnsealError::Damaged)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(pin.as_bytes(), salt, &mut *key)
        .map_err(|_| UnsealError::Damaged)?;
    Ok(XChaCha20Poly1305::new((&*key).into()))
}

#[cfg(test)]
mod tests;
