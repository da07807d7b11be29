//! Identifiers and hashes of fixed length, and the subscriber ID.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};

/// Text that should have been an identifier and is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {what}: {why}")]
pub struct ParseIdError {
    what: &'static str,
    why: String,
}

impl ParseIdError {
    /// `what` names the identifier, `why` says what is wrong with it.
    pub fn new(what: &'static str, why: impl Into<String>) -> Self {
        Self {
            what,
            why: why.into(),
        }
    }
}

/// Defines a newtype over `[u8; N]`: hex in text formats (JSON, `Display`), raw bytes in binary ones.
#[macro_export]
macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;
            /// All zero bytes.
            pub const ZERO: Self = Self([0; $len]);

            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// From a slice of exactly [`Self::LEN`] bytes.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, $crate::ids::ParseIdError> {
                bytes.try_into().map(Self).map_err(|_| {
                    $crate::ids::ParseIdError::new(
                        $what,
                        format!("{} bytes instead of {}", bytes.len(), $len),
                    )
                })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::ids::ParseIdError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                $crate::ids::unhex(s)
                    .map(Self)
                    .map_err(|why| $crate::ids::ParseIdError::new($what, why))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                $crate::ids::serialize_bytes(&self.0, s)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                $crate::ids::deserialize_bytes(d).map(Self)
            }
        }
    };
}

byte_id!(
    /// The card's own number, drawn by the card at personalisation.
    CardId, 16, "card ID"
);
byte_id!(
    /// SHA-256 of the terminal's uncompressed P-256 point.
    TerminalId, 32, "terminal ID"
);
byte_id!(
    /// The server's random number, made by `simsync-server init`.
    ServerId, 16, "server ID"
);
byte_id!(
    /// SHA-256 of some bytes. All zeros stand where nothing is to be hashed, such as before the first commit.
    Hash, 32, "SHA-256 hash"
);
byte_id!(
    /// An uncompressed P-256 point (04 ‖ X ‖ Y). Not checked to be on the curve.
    Point, 65, "P-256 point"
);

impl Hash {
    /// SHA-256 of `data`.
    pub fn of(data: &[u8]) -> Self {
        Self(Sha256::digest(data).into())
    }
}

impl TerminalId {
    /// The ID of the terminal that holds the key of this point.
    pub fn of(point: &Point) -> Self {
        Self(Sha256::digest(point.0).into())
    }

    /// The first four bytes in hex: enough to tell terminals apart in a list.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

/// A subscriber's ID: 1 to 32 of `A-Z a-z 0-9 . _ -`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriberId(String);

impl SubscriberId {
    /// Longest ID, in bytes.
    pub const MAX: usize = 32;

    /// The ID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SubscriberId {
    type Err = ParseIdError;
    fn from_str(s: &str) -> Result<Self, ParseIdError> {
        let fits = (1..=Self::MAX).contains(&s.len());
        let chars = s
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if fits && chars {
            Ok(Self(s.to_owned()))
        } else {
            Err(ParseIdError::new(
                "subscriber ID",
                "use 1 to 32 letters, digits, '.', '_' or '-'",
            ))
        }
    }
}

impl fmt::Display for SubscriberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SubscriberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubscriberId({})", self.0)
    }
}

impl Serialize for SubscriberId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SubscriberId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

/// Decodes exactly `N` bytes of hex; the error says what is wrong.
#[doc(hidden)]
pub fn unhex<const N: usize>(s: &str) -> Result<[u8; N], String> {
    if s.len() != 2 * N {
        return Err(format!("{} characters instead of {}", s.len(), 2 * N));
    }
    let mut out = [0; N];
    hex::decode_to_slice(s, &mut out).map_err(|_| "not hexadecimal".to_owned())?;
    Ok(out)
}

#[doc(hidden)]
pub fn serialize_bytes<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
    if s.is_human_readable() {
        s.serialize_str(&hex::encode(bytes))
    } else {
        use serde::ser::SerializeTuple;
        let mut t = s.serialize_tuple(bytes.len())?;
        for b in bytes {
            t.serialize_element(b)?;
        }
        t.end()
    }
}

#[doc(hidden)]
pub fn deserialize_bytes<'de, D: Deserializer<'de>, const N: usize>(
    d: D,
) -> Result<[u8; N], D::Error> {
    struct Bytes<const N: usize>;
    impl<'de, const N: usize> serde::de::Visitor<'de> for Bytes<N> {
        type Value = [u8; N];
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{N} bytes")
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<[u8; N], A::Error> {
            let mut out = [0; N];
            for (i, b) in out.iter_mut().enumerate() {
                *b = seq
                    .next_element()?
                    .ok_or_else(|| A::Error::invalid_length(i, &self))?;
            }
            Ok(out)
        }
        fn visit_str<E: serde::de::Error>(self, s: &str) -> Result<[u8; N], E> {
            unhex(s).map_err(E::custom)
        }
    }
    if d.is_human_readable() {
        d.deserialize_str(Bytes)
    } else {
        d.deserialize_tuple(N, Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hex_in_json_and_raw_in_binary() {
        let id = CardId([0xab; 16]);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{}\"", "ab".repeat(16)));
        assert_eq!(serde_json::from_str::<CardId>(&json).unwrap(), id);
        let raw = postcard::to_stdvec(&id).unwrap();
        assert_eq!(raw, [0xab; 16]);
        assert_eq!(postcard::from_bytes::<CardId>(&raw).unwrap(), id);
        assert!(postcard::from_bytes::<CardId>(&raw[..15]).is_err());
    }

    #[test]
    fn bad_ids_are_refused_with_a_reason() {
        assert!(
            "xy".parse::<CardId>()
                .unwrap_err()
                .to_string()
                .contains("2 characters")
        );
        assert!("zz".repeat(16).parse::<CardId>().is_err());
        assert!("".parse::<SubscriberId>().is_err());
        assert!("a b".parse::<SubscriberId>().is_err());
        assert!("x".repeat(33).parse::<SubscriberId>().is_err());
        assert_eq!(
            "alice-1".parse::<SubscriberId>().unwrap().as_str(),
            "alice-1"
        );
    }
}
