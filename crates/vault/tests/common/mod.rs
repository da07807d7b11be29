//! Keys and makers that the vault's tests share. Fixed keys: test vectors, not anybody's.
#![allow(dead_code, reason = "not every test needs all of it")]

use rand_core::{CryptoRng, Infallible, TryCryptoRng, TryRng};
use simsync_card::ids::{CardId, Hash, TerminalId};
use simsync_card::sign::SecretKey;
use simsync_card::text::{self, CardKeys};
use simsync_vault::hpke::KemSecret;
use simsync_vault::ids::VaultId;
use simsync_vault::keyobject::{KeyObject, KeyObjectBody, Recipient, TerminalEntry};
use simsync_vault::keys::{KeyRing, VaultKey};
use simsync_vault::statement::SessionStatement;

/// A counter run through BLAKE3: reproducible, for tests only.
struct TestRng(u64);

impl TryRng for TestRng {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut b = [0; 4];
        self.try_fill_bytes(&mut b)?;
        Ok(u32::from_le_bytes(b))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut b = [0; 8];
        self.try_fill_bytes(&mut b)?;
        Ok(u64::from_le_bytes(b))
    }
    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        self.0 += 1;
        blake3::Hasher::new()
            .update(&self.0.to_le_bytes())
            .finalize_xof()
            .fill(dst);
        Ok(())
    }
}
impl TryCryptoRng for TestRng {}

/// Always the same numbers.
pub fn rng() -> impl CryptoRng {
    rng_from(1)
}

/// The numbers that `start` stands for.
pub fn rng_from(start: u64) -> impl CryptoRng {
    TestRng(start)
}

pub const VAULT: VaultId = VaultId([0x11; 16]);
pub const CARD: CardId = CardId([0x22; 16]);

pub fn card_sig() -> SecretKey {
    SecretKey::from_bytes(&[5; 32]).unwrap()
}

pub fn terminal() -> SecretKey {
    SecretKey::from_bytes(&[6; 32]).unwrap()
}

/// A first key object for [`CARD`], whose KEM key is derived from [7; 32].
pub fn key_object(vk: &VaultKey) -> (KeyObject, simsync_vault::keyobject::Wrap, KemSecret) {
    let (kem_secret, kem) = KemSecret::derive(&[7; 32]);
    let wrap = vk.wrap(&VAULT, 1, &CARD, &kem, &mut rng()).unwrap();
    let body = KeyObjectBody {
        version: 1,
        vault: VAULT,
        list_number: 1,
        epoch: 1,
        recipients: vec![Recipient {
            id: CARD,
            keys: CardKeys {
                sig: card_sig().point(),
                kem,
            },
            wrap_hash: wrap.hash(),
        }],
        check: vk.check(),
        outbox_key: vk.outbox().1,
        previous_key: Vec::new(),
        terminals: vec![TerminalEntry {
            key: terminal().point(),
            label: "desk".into(),
            collections: vec![],
        }],
        flags: 0,
        previous: Hash::ZERO,
        signer: CARD,
    };
    let (_, hash) = body.to_sign();
    let sig = card_sig().sign(&text::Domain::KeyObject.text(&CARD, &[&hash.0]));
    (KeyObject::from_parts(body, sig), wrap, kem_secret)
}

pub fn ring() -> KeyRing {
    let vk = VaultKey::generate(&mut rng());
    let (object, ..) = key_object(&vk);
    KeyRing::new(vk, &[object]).unwrap()
}

pub fn statement() -> SessionStatement {
    let t = TerminalId::of(&terminal().point());
    let binding = Hash([8; 32]);
    SessionStatement {
        card: CARD,
        n: 3,
        terminal: t,
        binding,
        sig: card_sig().sign(&text::session(&CARD, 3, &t, &binding)),
    }
}
