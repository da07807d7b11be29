//! Keys of a security domain: wiped from memory when dropped, never shown.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What is no key. Does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Of another length.
    #[error("a key has 16, 24 or 32 bytes, not {0}")]
    Length(usize),
    /// Not hexadecimal.
    #[error("a key is written in hexadecimal digits, 32, 48 or 64 of them")]
    Hex,
    /// Keys of different lengths in one set.
    #[error("the keys ENC, MAC and DEK are of one length; these have {enc}, {mac} and {dek} bytes")]
    Mixed {
        /// Bytes of ENC.
        enc: usize,
        /// Bytes of MAC.
        mac: usize,
        /// Bytes of DEK.
        dek: usize,
    },
}

/// The secure channel protocol that a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scp {
    /// SCP02: 3DES (GPCS, appendix E).
    Scp02,
    /// SCP03: AES (Amd D).
    Scp03,
}

impl std::fmt::Display for Scp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Scp02 => "SCP02",
            Self::Scp03 => "SCP03",
        })
    }
}

/// One key: AES of 16, 24 or 32 bytes, or 3DES of 16.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key(Vec<u8>);

impl Key {
    /// From its bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        match bytes.len() {
            16 | 24 | 32 => Ok(Self(bytes.to_vec())),
            other => Err(KeyError::Length(other)),
        }
    }

    /// From hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new(vec![0; text.len() / 2]);
        hex::decode_to_slice(text, &mut bytes).map_err(|_| KeyError::Hex)?;
        Self::new(&bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({} bytes)", self.0.len())
    }
}

/// The three keys of a key version: encryption, MAC, data encryption.
#[derive(Clone, Debug)]
pub struct KeySet {
    pub(crate) enc: Key,
    pub(crate) mac: Key,
    pub(crate) dek: Key,
}

impl KeySet {
    /// Three keys of one length.
    pub fn new(enc: Key, mac: Key, dek: Key) -> Result<Self, KeyError> {
        let [e, m, d] = [&enc, &mac, &dek].map(|k| k.bytes().len());
        if e != m || m != d {
            return Err(KeyError::Mixed {
                enc: e,
                mac: m,
                dek: d,
            });
        }
        Ok(Self { enc, mac, dek })
    }

    /// One key in all three places, as masters that are diversified often are.
    pub fn same(key: Key) -> Self {
        Self {
            enc: key.clone(),
            mac: key.clone(),
            dek: key,
        }
    }

    /// The test keys 40 41 … 4F, printed in the data sheets of most development cards. They protect nothing.
    pub fn public_test_keys() -> Self {
        Self::same(Key((0x40..=0x4F).collect()))
    }

    /// Length of each key, in bytes.
    pub fn key_length(&self) -> usize {
        self.enc.bytes().len()
    }
}

/// How a card's keys are made from the issuer's master keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Diversification {
    /// AES-CMAC in counter mode (NIST SP 800-108): label 00 00 00 and the key's number, then 00, then the data. SCP03.
    Kdf3,
    /// EMV CPS 1.1: 3DES of the data's last 6 bytes with F0, and with 0F. SCP02.
    Emv,
    /// VISA 2: 3DES of the data's bytes 0, 1, 4 to 7 with F0, and with 0F. SCP02.
    Visa2,
}

impl std::fmt::Display for Diversification {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kdf3 => "kdf3",
            Self::Emv => "emv",
            Self::Visa2 => "visa2",
        })
    }
}

impl Diversification {
    /// The protocol whose keys it makes.
    pub fn scp(self) -> Scp {
        match self {
            Self::Kdf3 => Scp::Scp03,
            Self::Emv | Self::Visa2 => Scp::Scp02,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        assert_eq!(Key::parse("404").unwrap_err(), KeyError::Hex);
        assert_eq!(Key::parse("zz").unwrap_err(), KeyError::Hex);
        assert_eq!(Key::parse("77").unwrap_err(), KeyError::Length(1));
        assert_eq!(Key::new(&[7; 17]).unwrap_err(), KeyError::Length(17));
        let [short, long] = [Key::new(&[7; 16]).unwrap(), Key::new(&[7; 32]).unwrap()];
        let error = KeySet::new(short.clone(), long, short).unwrap_err();
        assert!(error.to_string().contains("16, 32 and 16"), "{error}");
    }

    #[test]
    fn keys_are_never_shown() {
        let shown = format!("{:?}", KeySet::same(Key::new(&[0x77; 16]).unwrap()));
        assert!(!shown.contains("77") && !shown.contains("119"), "{shown}");
    }
}
