//! PIN, PUK, transport secret and session token: wiped from memory when dropped, never shown.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Characters that cannot be a PIN or PUK. Does not repeat them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Not 4 to 8 ASCII digits or letters.
    #[error("a PIN is 4 to 8 digits or letters (A to Z, a to z)")]
    Pin,
    /// Not 8 ASCII digits or letters.
    #[error("a PUK is 8 digits or letters (A to Z, a to z)")]
    Puk,
    /// Not 32 hexadecimal digits.
    #[error("a transport secret is 16 bytes, written as 32 hexadecimal digits")]
    Transport,
}

const LENGTH: usize = 8;
const PIN_LEAST: usize = 4;
const PAD: u8 = 0xFF;

macro_rules! opaque {
    ($name:ident) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

/// The owner's PIN, padded with FF to 8 bytes.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Pin([u8; LENGTH]);
opaque!(Pin);

/// The owner's PUK, 8 bytes.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Puk([u8; LENGTH]);
opaque!(Puk);

/// The operator's secret of a card that is not enrolled yet, 16 bytes.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct TransportSecret([u8; 16]);
opaque!(TransportSecret);

/// What OPEN SESSION gives and RENEW and PUT HEAD ask for, 16 bytes.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Token([u8; 16]);
opaque!(Token);

fn is_character(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn padded(text: &[u8], least: usize) -> Option<[u8; LENGTH]> {
    let fits = (least..=LENGTH).contains(&text.len()) && text.iter().all(is_character);
    fits.then(|| {
        let mut bytes = [PAD; LENGTH];
        bytes
            .iter_mut()
            .zip(text)
            .for_each(|(to, from)| *to = *from);
        bytes
    })
}

impl Pin {
    /// From what the owner typed, without a line end.
    pub fn parse(text: &[u8]) -> Result<Self, SecretError> {
        padded(text, PIN_LEAST).map(Self).ok_or(SecretError::Pin)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Takes as long whatever is different.
fn is_same(a: &[u8; LENGTH], b: &[u8; LENGTH]) -> bool {
    a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

impl PartialEq for Pin {
    fn eq(&self, other: &Self) -> bool {
        is_same(&self.0, &other.0)
    }
}

impl PartialEq for Puk {
    fn eq(&self, other: &Self) -> bool {
        is_same(&self.0, &other.0)
    }
}

impl Puk {
    /// From what the owner typed, without a line end.
    pub fn parse(text: &[u8]) -> Result<Self, SecretError> {
        padded(text, LENGTH).map(Self).ok_or(SecretError::Puk)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TransportSecret {
    /// From its 16 bytes.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// From 32 hexadecimal digits.
    pub fn parse(text: &[u8]) -> Result<Self, SecretError> {
        let mut bytes = Zeroizing::new([0; 16]);
        hex::decode_to_slice(text, &mut *bytes).map_err(|_| SecretError::Transport)?;
        Ok(Self(*bytes))
    }

    /// The 16 bytes, for the applet's install parameter.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Token {
    pub(crate) fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_padded() {
        assert_eq!(
            Pin::parse(b"1234").unwrap().bytes(),
            [b'1', b'2', b'3', b'4', 0xFF, 0xFF, 0xFF, 0xFF]
        );
        assert_eq!(Pin::parse(b"AZaz0189").unwrap().bytes(), b"AZaz0189");
        assert_eq!(Puk::parse(b"12345678").unwrap().bytes(), b"12345678");
    }

    #[test]
    fn what_is_no_pin_is_refused() {
        for bad in [
            &b""[..],
            b"123",
            b"123456789",
            b"12 4",
            b"1234\n",
            b"12:4",
            b"12/4",
            b"12@4",
            b"12[4",
            b"12`4",
            b"12{4",
            "PÏN1".as_bytes(),
            &[b'1', b'2', b'3', b'4', 0xFF],
        ] {
            assert!(Pin::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Puk::parse(b"1234567").is_err());
        assert!(Puk::parse(b"123456789").is_err());
        assert!(TransportSecret::parse(b"00").is_err());
        assert!(TransportSecret::parse(&[b'g'; 32]).is_err());
        assert_eq!(
            TransportSecret::parse(&[b'1'; 32]).unwrap().as_bytes(),
            &[0x11; 16]
        );
    }

    #[test]
    fn secrets_are_never_shown() {
        let shown = format!(
            "{:?} {:?} {:?} {:?}",
            Pin::parse(b"7777").unwrap(),
            Puk::parse(b"77777777").unwrap(),
            TransportSecret::new([7; 16]),
            Token::new([7; 16])
        );
        assert!(!shown.contains('7'), "{shown}");
    }
}
