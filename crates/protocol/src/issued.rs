//! The signed list of issued cards: `simsync-card provision --batch` writes it, `simsync-server card check` reads it.
//!
//! The list is JSON text within JSON, so that exactly the bytes that were signed are checked.

use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{HasPrivate, HasPublic, Id, PKey, PKeyRef, Private, Public};
use openssl::sign::{Signer, Verifier};
use serde::{Deserialize, Serialize};
use simsync_card::ids::{CardId, Hash, SubscriberId};
use simsync_card::text::fields;

/// Longest signed list, in bytes.
pub const MAX_BYTES: usize = 8 << 20;
const VERSION: u32 = 1;
const DOMAIN: &[u8] = b"simsync/1/issued";

/// A card that an operator finished, and whom it was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuedCard {
    /// ID of the person whose card it is.
    pub subscriber: SubscriberId,
    /// The operator's name for the person, 1 to 32 bytes, as in the list of people.
    pub label: String,
    /// The number that the card drew for itself when it was personalised.
    pub card: CardId,
    /// When it was finished, in seconds since 1970.
    pub at: u64,
}

/// The list inside a signed file: all cards that one batch finished, for one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuedList {
    /// The server: HOST or HOST:PORT, as on the cards.
    pub server: String,
    /// Finished cards only; people whose card is not finished are left out.
    pub cards: Vec<IssuedCard>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    version: u32,
    /// An [`IssuedList`] as JSON.
    list: String,
    /// Over [`DOMAIN`] and SHA-256 of `list`, in hexadecimal: Ed25519 (RFC 8032), or ECDSA P-256 with SHA-256 in DER.
    signature: String,
}

/// Why a list is not signed, or not believed.
#[derive(Debug, thiserror::Error)]
pub enum IssuedError {
    /// Not a PEM file with such a key.
    #[error(
        "this is no PEM file with a key; `openssl genpkey -algorithm ed25519` makes one, `openssl pkey -pubout` its public half"
    )]
    Key,
    /// A key of another kind.
    #[error("lists are signed with Ed25519 or P-256; this key is another one")]
    Kind,
    /// Not such a file.
    #[error("this is no signed list of issued cards")]
    Format,
    /// Written by a newer program.
    #[error("the list is of version {0}, this program knows {VERSION}; update it")]
    Newer(u32),
    /// Not by that key, or changed.
    #[error("the signature does not fit: the list was changed, or signed with another key")]
    Signature,
    /// OpenSSL failed to sign or to verify.
    #[error("OpenSSL failed")]
    Crypto(#[from] openssl::error::ErrorStack),
}

/// An operator's signing key, from PEM without a passphrase.
pub fn private_key(pem: &[u8]) -> Result<PKey<Private>, IssuedError> {
    // The callback keeps OpenSSL from asking on the terminal.
    let key = PKey::private_key_from_pem_callback(pem, |_| Ok(0)).map_err(|_| IssuedError::Key)?;
    digest(&key)?;
    Ok(key)
}

/// Its public half, from PEM.
pub fn public_key(pem: &[u8]) -> Result<PKey<Public>, IssuedError> {
    let key = PKey::public_key_from_pem(pem).map_err(|_| IssuedError::Key)?;
    digest(&key)?;
    Ok(key)
}

/// The digest that goes with a key; none for Ed25519.
fn digest<T: HasPublic>(key: &PKeyRef<T>) -> Result<Option<MessageDigest>, IssuedError> {
    let p256 = || {
        key.ec_key()
            .is_ok_and(|k| k.group().curve_name() == Some(Nid::X9_62_PRIME256V1))
    };
    match key.id() {
        Id::ED25519 => Ok(None),
        Id::EC if p256() => Ok(Some(MessageDigest::sha256())),
        _ => Err(IssuedError::Kind),
    }
}

/// Signs a list; answers the file's text.
pub fn sign<T: HasPrivate + HasPublic>(
    list: &IssuedList,
    key: &PKeyRef<T>,
) -> Result<String, IssuedError> {
    let text = serde_json::to_string(list).map_err(|_| IssuedError::Format)?;
    let mut signer = match digest(key)? {
        Some(digest) => Signer::new(digest, key)?,
        None => Signer::new_without_digest(key)?,
    };
    let signature = signer.sign_oneshot_to_vec(&signed_text(&text))?;
    let envelope = Envelope {
        version: VERSION,
        list: text,
        signature: hex::encode(signature),
    };
    serde_json::to_string_pretty(&envelope).map_err(|_| IssuedError::Format)
}

/// Domain and hash of the list, as fields: these have lengths of 2 bytes, lists are longer.
fn signed_text(list: &str) -> Vec<u8> {
    fields(&[DOMAIN, &Hash::of(list.as_bytes()).0])
}

/// Checks a file's text and answers its list.
pub fn open(text: &[u8], key: &PKeyRef<Public>) -> Result<IssuedList, IssuedError> {
    if text.len() > MAX_BYTES {
        return Err(IssuedError::Format);
    }
    let envelope: Envelope = serde_json::from_slice(text).map_err(|_| IssuedError::Format)?;
    if envelope.version != VERSION {
        return Err(IssuedError::Newer(envelope.version));
    }
    let signature = hex::decode(&envelope.signature).map_err(|_| IssuedError::Format)?;
    let mut verifier = match digest(key)? {
        Some(digest) => Verifier::new(digest, key)?,
        None => Verifier::new_without_digest(key)?,
    };
    let signed = signed_text(&envelope.list);
    // Malformed signatures are errors to OpenSSL; to us they do not fit.
    if !verifier
        .verify_oneshot(&signature, &signed)
        .unwrap_or(false)
    {
        return Err(IssuedError::Signature);
    }
    serde_json::from_str(&envelope.list).map_err(|_| IssuedError::Format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::ec::{EcGroup, EcKey};

    fn list() -> IssuedList {
        IssuedList {
            server: "sync.example.org".to_owned(),
            cards: vec![IssuedCard {
                subscriber: "alice".parse().unwrap(),
                label: "Alice \u{1F600} <b>".to_owned(),
                card: CardId([7; 16]),
                at: 1_700_000_000,
            }],
        }
    }

    fn halves(key: &PKey<Private>) -> (PKey<Private>, PKey<Public>) {
        let private = private_key(&key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        (
            private,
            public_key(&key.public_key_to_pem().unwrap()).unwrap(),
        )
    }

    fn ec(curve: Nid) -> PKey<Private> {
        let group = EcGroup::from_curve_name(curve).unwrap();
        PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
    }

    #[test]
    fn both_kinds_of_keys_sign_and_any_change_is_noticed() {
        for key in [PKey::generate_ed25519().unwrap(), ec(Nid::X9_62_PRIME256V1)] {
            let (private, public) = halves(&key);
            let text = sign(&list(), &private).unwrap();
            assert_eq!(open(text.as_bytes(), &public).unwrap(), list());
            let changed = text.replace("alice", "alicf");
            assert!(matches!(
                open(changed.as_bytes(), &public),
                Err(IssuedError::Signature)
            ));
            let (_, other) = halves(&PKey::generate_ed25519().unwrap());
            assert!(matches!(
                open(text.as_bytes(), &other),
                Err(IssuedError::Signature)
            ));
            let newer = text.replace("\"version\": 1", "\"version\": 2");
            assert!(matches!(
                open(newer.as_bytes(), &public),
                Err(IssuedError::Newer(2))
            ));
            let empty = text.replace("\"signature\": \"", "\"signature\": \"00");
            assert!(matches!(
                open(empty.as_bytes(), &public),
                Err(IssuedError::Signature)
            ));
        }
    }

    #[test]
    fn other_keys_are_refused() {
        let other = ec(Nid::SECP384R1).private_key_to_pem_pkcs8().unwrap();
        assert!(matches!(private_key(&other), Err(IssuedError::Kind)));
        assert!(matches!(private_key(b"no key"), Err(IssuedError::Key)));
        assert!(matches!(public_key(b""), Err(IssuedError::Key)));
    }
}
