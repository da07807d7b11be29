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
/// AES-256-GCM in RFC 9180's table of AEADs.
const AES_256_GCM: u8 = 2;

/// Opens with the x-coordinate that the card's ECDH gave for `enc`; `recipient` is the card's KEM point.
pub fn open_with_dh(
    dh: &[u8],
    enc: &Point,
    recipient: &Point,
    info: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, HpkeError> {
    let shared = shared_secret(dh, enc, recipient)?;
    let (key, nonce) = key_schedule::<32>(AES_256_GCM, &shared, info)?;

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

/// `Decap` from the Diffie-Hellman value on (RFC 9180, section 4.1).
fn shared_secret(
    dh: &[u8],
    enc: &Point,
    recipient: &Point,
) -> Result<Zeroizing<[u8; 32]>, HpkeError> {
    let kem_context = [&enc.0[..], &recipient.0].concat();
    let eae_prk = labeled_extract(KEM_SUITE, &[], b"eae_prk", dh);
    labeled_expand::<32>(KEM_SUITE, &eae_prk, b"shared_secret", &kem_context)
}

/// `KeySchedule` in base mode (RFC 9180, section 5.1): key and base nonce for an AEAD with keys of `KEY` bytes.
#[allow(clippy::type_complexity, reason = "two secrets, each wiped")]
fn key_schedule<const KEY: usize>(
    aead: u8,
    shared: &[u8; 32],
    info: &[u8],
) -> Result<(Zeroizing<[u8; KEY]>, Zeroizing<[u8; 12]>), HpkeError> {
    let suite = &[b'H', b'P', b'K', b'E', 0, 0x10, 0, 1, 0, aead];
    let psk_id_hash = labeled_extract(suite, &[], b"psk_id_hash", &[]);
    let info_hash = labeled_extract(suite, &[], b"info_hash", info);
    let context = [&[0u8][..], psk_id_hash.as_slice(), info_hash.as_slice()].concat();
    let secret = labeled_extract(suite, shared, b"secret", &[]);
    let key = labeled_expand::<KEY>(suite, &secret, b"key", &context)?;
    let nonce = labeled_expand::<12>(suite, &secret, b"base_nonce", &context)?;
    Ok((key, nonce))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What RFC 9180 prints for one cipher suite. Test vectors, not keys of anybody.
    struct Printed {
        aead: u8,
        recipient_secret: &'static str,
        recipient: &'static str,
        enc: &'static str,
        shared: &'static str,
        key: &'static str,
        base_nonce: &'static str,
    }

    const INFO: &str = "4f6465206f6e2061204772656369616e2055726e";

    /// RFC 9180, appendix A.3.1: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-128-GCM.
    const A_3_1: Printed = Printed {
        aead: 1,
        recipient_secret: "f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2",
        recipient: "04fe8c19ce0905191ebc298a9245792531f26f0cece2460639e8bc39cb7f706a82\
                    6a779b4cf969b8a0e539c7f62fb3d30ad6aa8f80e30f1d128aafd68a2ce72ea0",
        enc: "04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac9\
              8536d7b61a1af4b78e5b7f951c0900be863c403ce65c9bfcb9382657222d18c4",
        shared: "c0d26aeab536609a572b07695d933b589dcf363ff9d93c93adea537aeabb8cb8",
        key: "868c066ef58aae6dc589b6cfdd18f97e",
        base_nonce: "4e0bc5018beba4bf004cca59",
    };

    /// RFC 9180, appendix A.5.1: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305.
    const A_5_1: Printed = Printed {
        aead: 3,
        recipient_secret: "a4d1c55836aa30f9b3fbb6ac98d338c877c2867dd3a77396d13f68d3ab150d3b",
        recipient: "04a697bffde9405c992883c5c439d6cc358170b51af72812333b015621dc0f40ba\
                    d9bb726f68a5c013806a790ec716ab8669f84f6b694596c2987cf35baba2a006",
        enc: "04c07836a0206e04e31d8ae99bfd549380b072a1b1b82e563c935c095827824fc1\
              559eac6fb9e3c70cd3193968994e7fe9781aa103f5b50e934b5b2f387e381291",
        shared: "806520f82ef0b03c823b7fc524b6b55a088f566b9751b89551c170f4113bd850",
        key: "a8f45490a92a3b04d1dbf6cf2c3939ad8bfc9bfcb97c04bffe116730c9dfe3fc",
        base_nonce: "726b4390ed2209809f58c693",
    };

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    fn point(text: &str) -> Point {
        Point(bytes(text).try_into().unwrap())
    }

    fn check<const KEY: usize>(printed: &Printed) {
        let secret = p256::SecretKey::from_slice(&bytes(printed.recipient_secret)).unwrap();
        let enc = p256::PublicKey::from_sec1_bytes(&bytes(printed.enc)).unwrap();
        let dh = p256::ecdh::diffie_hellman(secret.to_nonzero_scalar(), enc.as_affine());
        let dh = dh.raw_secret_bytes();
        let shared = shared_secret(dh, &point(printed.enc), &point(printed.recipient)).unwrap();
        assert_eq!(hex::encode(*shared), printed.shared);
        let (key, nonce) = key_schedule::<KEY>(printed.aead, &shared, &bytes(INFO)).unwrap();
        assert_eq!(hex::encode(*key), printed.key);
        assert_eq!(hex::encode(*nonce), printed.base_nonce);
    }

    /// The RFC prints no vector for our AEAD beside this KEM and KDF; everything before the AEAD is the same code for
    /// all of them, and that the AEAD is the right one is held against the `hpke` crate (tests/vault.rs).
    #[test]
    fn b1_decap_and_key_schedule_give_what_rfc_9180_prints() {
        check::<16>(&A_3_1);
        check::<32>(&A_5_1);
    }
}
