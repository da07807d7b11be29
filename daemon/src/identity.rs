//! What pairing made: the terminal's key, sealed under the terminal PIN, its certificate, subscriber and server.

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
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
    /// 16 bytes.
    pub salt: B64,
    /// 24 bytes.
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
    /// Too short.
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
    /// The subscriber.
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
    /// The server's ID.
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
    /// Its ID.
    pub card: CardId,
    /// Number of the key object with which its slots were last compared.
    pub list_number: u32,
}

impl Pairing {
    /// What is known of a card.
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
mod tests {
    use super::*;
    use crate::engine::fresh_rng;

    #[test]
    fn m6_the_terminal_key_opens_with_its_pin_only() {
        let (terminal, key) = Terminal::create("correct horse", &mut fresh_rng()).unwrap();
        assert_eq!(
            terminal.unseal("correct horse").unwrap().point(),
            key.point()
        );
        assert_eq!(
            terminal.unseal("wrong horse!").unwrap_err(),
            UnsealError::WrongPin
        );
        assert_eq!(
            Terminal::create("short", &mut fresh_rng()).unwrap_err(),
            UnsealError::TooShort
        );
        let mut damaged = terminal.clone();
        damaged.key.memory_kib = u32::MAX;
        assert_eq!(
            damaged.unseal("correct horse").unwrap_err(),
            UnsealError::Damaged
        );
        let mut other = terminal;
        other.point = SecretKey::from_bytes(&[3; 32]).unwrap().point();
        assert_eq!(
            other.unseal("correct horse").unwrap_err(),
            UnsealError::WrongPin
        );
    }

    /// Argon2id with the least that it takes, so that a test may run it often; nothing of ours is sealed so.
    fn cheap() -> Terminal {
        let (mut terminal, _) = Terminal::create("correct horse", &mut fresh_rng()).unwrap();
        (
            terminal.key.memory_kib,
            terminal.key.passes,
            terminal.key.lanes,
        ) = (8, 1, 1);
        terminal
    }

    #[test]
    fn w_8_what_a_key_file_asks_for_is_bounded_before_argon2_runs() {
        let why = |change: &dyn Fn(&mut SealedKey)| {
            let mut terminal = cheap();
            change(&mut terminal.key);
            terminal.unseal("correct horse").unwrap_err()
        };
        // Argon2 ran: it made another key, which does not open this.
        let ran = UnsealError::WrongPin;
        assert_eq!(why(&|_| {}), ran);
        assert_eq!(why(&|k| k.passes = ARGON2_MAX.1), ran);
        assert_eq!(
            why(&|k| (k.memory_kib, k.lanes) = (8 * ARGON2_MAX.2, ARGON2_MAX.2)),
            ran
        );
        let refused: [&dyn Fn(&mut SealedKey); 12] = [
            &|k| k.memory_kib = ARGON2_MAX.0 + 1,
            &|k| k.memory_kib = u32::MAX,
            &|k| k.passes = ARGON2_MAX.1 + 1,
            &|k| k.passes = u32::MAX,
            &|k| (k.memory_kib, k.lanes) = (8 * ARGON2_MAX.2 + 8, ARGON2_MAX.2 + 1),
            &|k| k.lanes = u32::MAX,
            // Less than Argon2 is defined for.
            &|k| k.memory_kib = 7,
            &|k| k.passes = 0,
            &|k| k.lanes = 0,
            // What is no key of ours needs no Argon2 to be seen.
            &|k| k.salt = B64(vec![0; SALT + 1]),
            &|k| k.nonce = B64(vec![0; 23]),
            &|k| k.ciphertext.0.push(0),
        ];
        for (i, change) in refused.iter().enumerate() {
            assert_eq!(why(change), UnsealError::Damaged, "{i}");
        }
    }

    #[test]
    fn w_8_a_key_file_that_no_simsync_wrote_is_refused_with_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("terminal.json");
        let (terminal, _) = Terminal::create("correct horse", &mut fresh_rng()).unwrap();
        let right = serde_json::to_value(&terminal).unwrap();
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Terminal::load(&path)
        };
        let with = |field: &str, value: serde_json::Value| {
            let mut changed = right.clone();
            changed[field] = value;
            load(&changed.to_string()).unwrap_err().to_string()
        };
        assert_eq!(load(&right.to_string()).unwrap(), Some(terminal));
        for (field, value, word) in [
            ("version", 0.into(), "version 0"),
            ("version", 2.into(), "update simsync"),
            ("version", (-1).into(), "not valid"),
            ("version", "1".into(), "not valid"),
            ("point", "04".into(), "not valid"),
            ("key", "".into(), "not valid"),
            ("more", 1.into(), "more"),
        ] {
            let error = with(field, value);
            assert!(error.contains(word), "{field}: {error}");
            assert!(error.contains("terminal.json"), "{error}");
        }
        let long = format!("{right}{}", " ".repeat(1 << 20));
        let error = load(&long).unwrap_err().to_string();
        assert!(error.contains("more than 1048576 bytes"), "{error}");
    }

    #[test]
    fn m19_a_terminal_that_pairs_again_knows_what_it_knew_of_the_move() {
        let place = |address: &str| MovingTo {
            address: address.parse().unwrap(),
            ca_pin: Hash([5; 32]),
        };
        let point = SecretKey::from_bytes(&[3; 32]).unwrap().point();
        let card = |id| TrustedCard {
            id: CardId([id; 16]),
            keys: simsync_card::text::CardKeys {
                sig: point,
                kem: point,
            },
        };
        let pairing = |address: &str, with: u8| Pairing {
            subscriber: "alice".parse().unwrap(),
            card: card(with),
            label: None,
            server: address.to_owned(),
            ca_pin: Hash([5; 32]),
            server_id: ServerId([6; 16]),
            certificate: B64(Vec::new()),
            complete: false,
            leaving: false,
            known_cards: Vec::new(),
            next_server: None,
            told_cards: None,
        };
        let (old, new) = (place("a:1"), place("b:1"));
        let go_on = |before: &Pairing, address: &str, on_card: &MovingTo| {
            let mut after = pairing(address, 2);
            after.goes_on_from(before, on_card);
            let news = [1, 2, 3].map(|c| after.has_news_for(&CardId([c; 16])));
            (after, news)
        };
        // Nothing moved: what was agreed to waits on, and nobody is told anything.
        let mut before = pairing("a:1", 1);
        (before.complete, before.next_server) = (true, Some(new.clone()));
        let (after, news) = go_on(&before, "a:1", &old);
        assert!(after.complete && after.next_server == Some(new.clone()));
        assert_eq!(news, [false; 3]);
        // It was where the owner agreed to look, or the card said so: the others are told.
        let (after, news) = go_on(&before, "b:1", &old);
        assert_eq!((after.next_server, news), (None, [true; 3]));
        let (after, news) = go_on(&before, "b:1", &new);
        assert_eq!((after.next_server, news), (None, [true, false, true]));
        // The terminal knew of the move, and has told one card, or this one, or none since it was paired there.
        before = pairing("b:1", 1);
        before.told_cards = Some(vec![CardId([1; 16])]);
        assert_eq!(go_on(&before, "b:1", &old).1, [false, true, true]);
        assert_eq!(go_on(&before, "b:1", &new).1, [false, false, true]);
        before.told_cards = Some(vec![CardId([2; 16])]);
        assert_eq!(go_on(&before, "b:1", &old).1, [true, true, true]);
        before.told_cards = None;
        assert_eq!(go_on(&before, "b:1", &old).1, [true, true, true]);
        assert_eq!(go_on(&before, "b:1", &new).1, [false; 3]);
        // Another server has nothing to do with it.
        before.server_id = ServerId([7; 16]);
        before.told_cards = Some(Vec::new());
        assert_eq!(go_on(&before, "a:1", &old).1, [false; 3]);
    }

    #[test]
    fn the_file_survives_and_a_newer_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("terminal.json");
        assert_eq!(Terminal::load(&path).unwrap(), None);
        let (terminal, _) = Terminal::create("correct horse", &mut fresh_rng()).unwrap();
        terminal.save(&path).unwrap();
        assert_eq!(Terminal::load(&path).unwrap(), Some(terminal));
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replace("\"version\": 1", "\"version\": 2");
        std::fs::write(&path, text).unwrap();
        assert!(
            Terminal::load(&path)
                .unwrap_err()
                .to_string()
                .contains("update simsync")
        );
    }
}
