//! ECDSA P-256 with SHA-256: checking signatures of cards and terminals, and a terminal's own key.

use p256::ecdsa::{
    DerSignature, Signature, SigningKey, VerifyingKey,
    signature::{Signer, Verifier},
};
use serde::{Deserialize, Serialize};

use crate::ids::Point;

/// A DER-encoded ECDSA signature, at most 72 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SigRepr", into = "SigRepr")]
pub struct Sig(Vec<u8>);

/// Longest DER signature of P-256.
pub const SIG_MAX: usize = 72;

/// Why a signature or key was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Longer than 72 bytes, or no DER of two integers.
    #[error("the signature is not a DER-encoded P-256 signature")]
    Malformed,
    /// The point is not on the curve.
    #[error("the public key is not a point on P-256")]
    BadPoint,
    /// The signature is not of this key over this text.
    #[error("the signature does not match")]
    Mismatch,
}

impl Sig {
    /// Takes DER bytes; checks the length only, the rest is checked by [`verify`].
    pub fn from_der(bytes: &[u8]) -> Result<Self, SignError> {
        if bytes.len() < 8 || bytes.len() > SIG_MAX {
            return Err(SignError::Malformed);
        }
        Ok(Self(bytes.to_vec()))
    }

    /// The DER bytes.
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }
}

/// Hex in text formats, length-prefixed bytes in binary ones.
struct SigRepr(Vec<u8>);

impl TryFrom<SigRepr> for Sig {
    type Error = SignError;
    fn try_from(r: SigRepr) -> Result<Self, SignError> {
        Self::from_der(&r.0)
    }
}

impl From<Sig> for SigRepr {
    fn from(s: Sig) -> Self {
        Self(s.0)
    }
}

impl Serialize for SigRepr {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() {
            s.serialize_str(&hex::encode(&self.0))
        } else {
            self.0.serialize(s)
        }
    }
}

impl<'de> Deserialize<'de> for SigRepr {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        if d.is_human_readable() {
            let s = String::deserialize(d)?;
            if s.len() > 2 * SIG_MAX {
                return Err(D::Error::custom("signature too long"));
            }
            hex::decode(s).map(Self).map_err(D::Error::custom)
        } else {
            Vec::deserialize(d).map(Self)
        }
    }
}

/// Checks that `point` is on the curve.
pub fn check_point(point: &Point) -> Result<(), SignError> {
    VerifyingKey::from_sec1_bytes(&point.0)
        .map(|_| ())
        .map_err(|_| SignError::BadPoint)
}

#[cfg(feature = "verified-once")]
static VERDICTS: crate::verified::Verdicts<Result<(), SignError>> =
    crate::verified::Verdicts::new();

/// From now on, what was verified once in this process is not computed again.
#[cfg(feature = "verified-once")]
pub fn remember_verdicts() {
    VERDICTS.remember();
}

/// Checks `sig` over `text` (hashed once with SHA-256) by the key of `point`.
pub fn verify(point: &Point, text: &[u8], sig: &Sig) -> Result<(), SignError> {
    #[cfg(feature = "verified-once")]
    return VERDICTS.once(&[&point.0, sig.as_der(), text], || {
        compute(point, text, sig)
    });
    #[cfg(not(feature = "verified-once"))]
    compute(point, text, sig)
}

fn compute(point: &Point, text: &[u8], sig: &Sig) -> Result<(), SignError> {
    let key = VerifyingKey::from_sec1_bytes(&point.0).map_err(|_| SignError::BadPoint)?;
    let sig = DerSignature::from_bytes(&sig.0).map_err(|_| SignError::Malformed)?;
    key.verify(text, &sig).map_err(|_| SignError::Mismatch)
}

/// A P-256 signing key held in memory (a terminal's, the recovery key's). Zeroized when dropped.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// From 32 bytes, a scalar in 1..n-1.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, SignError> {
        SigningKey::from_slice(bytes)
            .map(Self)
            .map_err(|_| SignError::BadPoint)
    }

    /// The scalar, 32 bytes.
    pub fn to_bytes(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.0.to_bytes().into())
    }

    /// The public point.
    pub fn point(&self) -> Point {
        let mut out = [0; 65];
        let p = self.0.verifying_key().to_sec1_point(false);
        out.copy_from_slice(p.as_bytes());
        Point(out)
    }

    /// Signs `text`, hashed once with SHA-256 (deterministic nonce, RFC 6979).
    pub fn sign(&self, text: &[u8]) -> Sig {
        let sig: Signature = self.0.sign(text);
        Sig(sig.to_der().as_bytes().to_vec())
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_refuses() {
        let key = SecretKey::from_bytes(&[7; 32]).unwrap();
        let sig = key.sign(b"text");
        assert!(verify(&key.point(), b"text", &sig).is_ok());
        assert_eq!(
            verify(&key.point(), b"other", &sig),
            Err(SignError::Mismatch)
        );
        let other = SecretKey::from_bytes(&[8; 32]).unwrap();
        assert_eq!(
            verify(&other.point(), b"text", &sig),
            Err(SignError::Mismatch)
        );
        let mut bad = key.point();
        bad.0[40] ^= 1;
        assert_eq!(verify(&bad, b"text", &sig), Err(SignError::BadPoint));
        assert!(SecretKey::from_bytes(&[0; 32]).is_err());
        assert!(Sig::from_der(&[0x30; 73]).is_err());
        assert_eq!(
            verify(&key.point(), b"text", &Sig::from_der(&[0; 70]).unwrap()),
            Err(SignError::Malformed)
        );
    }

    #[test]
    fn signature_serializes() {
        let sig = SecretKey::from_bytes(&[7; 32]).unwrap().sign(b"x");
        let json = serde_json::to_string(&sig).unwrap();
        assert_eq!(serde_json::from_str::<Sig>(&json).unwrap(), sig);
        let raw = postcard::to_stdvec(&sig).unwrap();
        assert_eq!(postcard::from_bytes::<Sig>(&raw).unwrap(), sig);
        assert!(serde_json::from_str::<Sig>(&format!("\"{}\"", "30".repeat(100))).is_err());
    }

    #[cfg(feature = "verified-once")]
    #[test]
    fn a_verdict_is_of_one_key_one_text_and_one_signature() {
        remember_verdicts();
        let keys = [[1; 32], [2; 32]].map(|k| SecretKey::from_bytes(&k).unwrap());
        let [one, other] = keys.each_ref().map(|k| k.sign(b"text"));
        for _ in 0..2 {
            assert_eq!(verify(&keys[0].point(), b"text", &one), Ok(()));
            for (key, text, sig) in [
                (&keys[1], &b"text"[..], &one),
                (&keys[0], b"texts", &one),
                (&keys[0], b"text", &other),
            ] {
                let refused = verify(&key.point(), text, sig);
                assert_eq!(refused, Err(SignError::Mismatch));
            }
        }
    }
}
