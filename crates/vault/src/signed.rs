//! A body with its signature. The hash of a thing is the hash of its body, without the signature.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use simsync_card::ids::Hash;
use simsync_card::sign::Sig;

/// Longest body that is read from outside, in bytes.
pub const BODY_MAX: usize = 4 << 20;

/// Why bytes from outside are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Larger than anything that we write.
    #[error("{what} is larger than {max} bytes")]
    TooLarge {
        /// What was read, with its article: "a commit".
        what: &'static str,
        /// Most bytes that are read.
        max: usize,
    },
    /// Truncated or not of this format.
    #[error("{0} is damaged: it does not have the expected form")]
    Damaged(&'static str),
    /// Written by a newer simsync.
    #[error(
        "{what} has format version {found}; this simsync knows up to {known}: update simsync on this terminal"
    )]
    Newer {
        /// What was read, with its article: "a commit".
        what: &'static str,
        /// Version that stands in the bytes.
        found: u8,
        /// The newest that we know.
        known: u8,
    },
    /// A signature is missing or wrong.
    #[error("{0} is not signed as it must be")]
    Signature(&'static str),
    /// Formally right, but against a rule.
    #[error("{what} breaks a rule: {why}")]
    Rule {
        /// What was read, with its article: "a commit".
        what: &'static str,
        /// What is wrong, as a clause for the sentence above: "it belongs to another vault".
        why: String,
    },
}

/// Postcard bytes of a body, and the signature over a text that holds their hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The body as it was signed. Its first byte is the format version.
    pub body: Vec<u8>,
    /// Who signed, and over which text, depends on the body's kind.
    pub sig: Sig,
}

impl Signed {
    /// SHA-256 of the body.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.body)
    }

    /// The wire form.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads the wire form.
    pub fn from_bytes(what: &'static str, bytes: &[u8]) -> Result<Self, FormatError> {
        decode(what, bytes)
    }
}

/// Serializes one of our types.
#[allow(
    clippy::expect_used,
    reason = "lengths are known and memory is there: these types cannot fail; nothing must be signed in place of them"
)]
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("our own types serialize")
}

/// The same, into a vector that has this much room from the beginning, in bytes.
#[allow(clippy::expect_used, reason = "as above")]
pub(crate) fn encode_with_room<T: Serialize>(value: &T, room: usize) -> Vec<u8> {
    postcard::to_extend(value, Vec::with_capacity(room)).expect("our own types serialize")
}

/// Reads one value that must fill `bytes` exactly, in the one form in which it is written; the length is checked first.
pub(crate) fn decode<T: DeserializeOwned + Serialize>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, FormatError> {
    match decode_front(what, bytes)? {
        (value, []) => Ok(value),
        _ => Err(FormatError::Damaged(what)),
    }
}

/// Reads one value from the beginning of `bytes`, in the one form in which it is written, and answers the rest; the length of
/// all is checked first.
pub(crate) fn decode_front<'a, T: DeserializeOwned + Serialize>(
    what: &'static str,
    bytes: &'a [u8],
) -> Result<(T, &'a [u8]), FormatError> {
    if bytes.len() > BODY_MAX {
        return Err(FormatError::TooLarge {
            what,
            max: BODY_MAX,
        });
    }
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|_| FormatError::Damaged(what))?;
    // Postcard reads numbers with idle bytes, too: then two bodies, with two hashes, would say the same.
    let read = bytes.strip_suffix(rest);
    if read.is_some_and(|read| encode(&value) == read) {
        Ok((value, rest))
    } else {
        Err(FormatError::Damaged(what))
    }
}

/// Reads a versioned body: the first byte is checked before the rest is looked at.
pub(crate) fn decode_versioned<T: DeserializeOwned + Serialize>(
    what: &'static str,
    known: u8,
    bytes: &[u8],
) -> Result<T, FormatError> {
    match bytes.first() {
        None | Some(0) => Err(FormatError::Damaged(what)),
        Some(&found) if found > known => Err(FormatError::Newer { what, found, known }),
        Some(_) => decode(what, bytes),
    }
}
