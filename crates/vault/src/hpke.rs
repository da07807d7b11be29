//! HPKE (RFC 9180), base mode, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
//!
//! Sealing, and opening with a key in memory, are the `hpke` crate's. Opening with a Diffie-Hellman value that the card
//! computed is ours, since no library lets the private key stay elsewhere: it is RFC 9180's `Decap` and `KeySchedule`
//! from the point where the shared secret is known, and one AES-256-GCM opening with sequence number 0.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use hkdf::Hkdf;
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::DhP256HkdfSha256 as Kem;
use hpke::{Deserializable, Kem as _, OpModeR, OpModeS, Serializable};
use rand_core::CryptoRng;
use sha2::Sha256;
use simsync_card::ids::Point;
use zeroize::Zeroizing;

use crate::secret::Secret32;

/// Why HPKE did not work. Says no more on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HpkeError {
    /// A public key is not a point on the curve.
    #[error("a public key is not a point on P-256")]
    BadPoint,
    /// Wrong key, or the ciphertext or its context was changed.
    #[error("the sealed data cannot be opened with this key")]
    Open,
}

/// A KEM private key in memory: the outbox's or the recovery code's.
#[derive(Clone)]
pub struct KemSecret(Secret32);

impl KemSecret {
    /// Derives a key pair from 32 secret bytes (RFC 9180 `DeriveKeyPair`).
    pub fn derive(ikm: &[u8; 32]) -> (Self, Point) {
        let (sk, pk) = Kem::derive_keypair(ikm);
        let mut secret = Secret32::zeros();
        let scalar = Zeroizing::new(<[u8; 32]>::from(sk.to_bytes()));
        secret.bytes_mut().copy_from_slice(&*scalar);
        let mut point = [0; 65];
        point.copy_from_slice(&pk.to_bytes());
        (Self(secret), Point(point))
    }
}

impl std::fmt::Debug for KemSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KemSecret(..)")
    }
}

/// Seals `plain` to `recipient`. Answers the ephemeral point and the ciphertext with its tag.
pub fn seal(
    recipient: &Point,
    info: &[u8],
    aad: &[u8],
    plain: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<(Point, Vec<u8>), HpkeError> {
    let pk =
        <Kem as hpke::Kem>::PublicKey::from_bytes(&recipient.0).map_err(|_| HpkeError::BadPoint)?;
    let (enc, ciphertext) = hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, Kem>(
        &OpModeS::Base,
        &pk,
        info,
        plain,
        aad,
        rng,
    )
    .map_err(|_| HpkeError::BadPoint)?;
    let mut point = [0; 65];
    point.copy_from_slice(&enc.to_bytes());
    Ok((Point(point), ciphertext))
}

/// Opens with a key in memory.
pub fn open(
    key: &KemSecret,
    enc: &Point,
    info: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, HpkeError> {
    let sk =
        <Kem as hpke::Kem>::PrivateKey::from_bytes(&*key.0).map_err(|_| HpkeError::BadPoint)?;
    let enc =
        <Kem as hpke::Kem>::EncappedKey::from_bytes(&enc.0).map_err(|_| HpkeError::BadPoint)?;
    hpke::single_shot_open::<AesGcm256, HkdfSha256, Kem>(
        &OpModeR::Base,
        &sk,
        &enc,
        info,
        ciphertext,
        aad,
    )
    .map(Zeroizing::new)
    .map_err(|_| HpkeError::Open)
}

const KEM_SUITE: &[u8] = b"KEM\x00\x10";
const HPKE_SUITE: &[u8] = b"HPKE\x00\x10\x00\x01\x00\x02";

/// Opens with the x-coordinate that the card's ECDH gave for `enc`; `recipient` is the card's KEM point.
pub fn open_with_dh(
    dh: &[u8],
    enc: &Point,
    recipient: &Point,
    info: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, HpkeError> {
    let kem_context = [&enc.0[..], &recipient.0].concat();
    let eae_prk = labeled_extract(KEM_SUITE, &[], b"eae_prk", dh);
    let shared = labeled_expand::<32>(KEM_SUITE, &eae_prk, b"shared_secret", &kem_context)?;

    let psk_id_hash = labeled_extract(HPKE_SUITE, &[], b"psk_id_hash", &[]);
    let info_hash = labeled_extract(HPKE_SUITE, &[], b"info_hash", info);
    let schedule = [&[0u8][..], psk_id_hash.as_slice(), info_hash.as_slice()].concat();
    let secret = labeled_extract(HPKE_SUITE, &*shared, b"secret", &[]);
    let key = labeled_expand::<32>(HPKE_SUITE, &secret, b"key", &schedule)?;
    let nonce = labeled_expand::<12>(HPKE_SUITE, &secret, b"base_nonce", &schedule)?;

    let key: &Key<Aes256Gcm> = (&*key).into();
    let nonce: &Nonce<_> = (&*nonce).into();
    Aes256Gcm::new(key)
        .decrypt(
            nonce,
            Payload {
                msg: ciphertext,
                aad,
            },
        )
        .map(Zeroizing::new)
        .map_err(|_| HpkeError::Open)
}

fn labeled_extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> Zeroizing<[u8; 32]> {
    let labeled = Zeroizing::new([b"HPKE-v1", suite, label, ikm].concat());
    let (prk, _) = Hkdf::<Sha256>::extract(Some(salt), &labeled);
    Zeroizing::new(prk.into())
}

fn labeled_expand<const N: usize>(
    suite: &[u8],
    prk: &[u8; 32],
    label: &[u8],
    info: &[u8],
) -> Result<Zeroizing<[u8; N]>, HpkeError> {
    let length = u16::try_from(N).map_err(|_| HpkeError::Open)?.to_be_bytes();
    let labeled = [&length[..], b"HPKE-v1", suite, label, info].concat();
    let mut out = Zeroizing::new([0; N]);
    Hkdf::<Sha256>::from_prk(prk)
        .map_err(|_| HpkeError::Open)?
        .expand(&labeled, &mut *out)
        .map_err(|_| HpkeError::Open)?;
    Ok(out)
}
