//! PIN, PUK, transport secret and session token: wiped from memory when dropped, never shown.

use zeroize::Zeroize;

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

/// Secret bytes on the heap: to move them moves a pointer, so that what is wiped once is wiped everywhere. Wiped when dropped,
/// clones when they are dropped; never shown.
macro_rules! secret {
    ($(#[$doc:meta])* $name:ident, $length:expr) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Box<[u8; $length]>);

        impl $name {
            /// To be written in place.
            fn blank(byte: u8) -> Self {
                Self(Box::new([byte; $length]))
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                self.0.zeroize();
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

secret! {
    /// The owner's PIN, padded with FF to 8 bytes.
    Pin, LENGTH
}
secret! {
    /// The owner's PUK, 8 bytes.
    Puk, LENGTH
}
secret! {
    /// The operator's secret of a card that is not enrolled yet, 16 bytes.
    TransportSecret, 16
}
secret! {
    /// What OPEN SESSION gives and RENEW and PUT HEAD ask for, 16 bytes.
    Token, 16
}

fn is_character(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// Whether these characters can be a PIN or PUK with this many at least.
fn fits(text: &[u8], least: usize) -> bool {
    (least..=LENGTH).contains(&text.len()) && text.iter().all(is_character)
}

/// Writes characters over the first bytes.
fn write(to: &mut [u8; LENGTH], text: &[u8]) {
    to.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
}

impl Pin {
    /// From what the owner typed, without a line end.
    pub fn parse(text: &[u8]) -> Result<Self, SecretError> {
        if !fits(text, PIN_LEAST) {
            return Err(SecretError::Pin);
        }
        let mut pin = Self::blank(PAD);
        write(&mut pin.0, text);
        Ok(pin)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &*self.0
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
        if !fits(text, LENGTH) {
            return Err(SecretError::Puk);
        }
        let mut puk = Self::blank(PAD);
        write(&mut puk.0, text);
        Ok(puk)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &*self.0
    }
}

impl TransportSecret {
    /// From its 16 bytes.
    pub fn new(mut bytes: [u8; 16]) -> Self {
        let mut secret = Self::blank(0);
        secret.0.copy_from_slice(&bytes);
        bytes.zeroize();
        secret
    }

    /// From 32 hexadecimal digits.
    pub fn parse(text: &[u8]) -> Result<Self, SecretError> {
        let mut secret = Self::blank(0);
        hex::decode_to_slice(text, &mut *secret.0).map_err(|_| SecretError::Transport)?;
        Ok(secret)
    }

    /// The 16 bytes, for the applet's install parameter.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Token {
    pub(crate) fn new(mut bytes: [u8; 16]) -> Self {
        let mut token = Self::blank(0);
        token.0.copy_from_slice(&bytes);
        bytes.zeroize();
        token
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &*self.0
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
