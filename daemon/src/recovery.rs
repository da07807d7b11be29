//! The recovery code: 128 bits as words of one syllable each pair, with a checksum, for the day when no card is left.

use rand_core::CryptoRng;
use simsync_card::sign::SecretKey;
use simsync_card::text::CardKeys;
use simsync_vault::hpke::KemSecret;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// 128 random bits.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct RecoveryCode([u8; 16]);

/// Why typed words are not a recovery code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// A wrong number of words.
    #[error("a recovery code has nine words")]
    Length,
    /// A word that does not exist.
    #[error("word {0} is not one of a recovery code; look for a typing mistake")]
    Word(usize),
    /// All words exist, but do not belong together.
    #[error("the words do not belong together; look for a typing mistake or swapped words")]
    Checksum,
}

/// Consonants carry four bits and vowels two: sixteen bits a word of five letters.
const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
const VOWELS: &[u8; 4] = b"aiou";
const WORDS: usize = 9;

impl RecoveryCode {
    /// Draws a code.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    fn checksum(&self) -> u16 {
        let digest = blake3::keyed_hash(b"simsync/1/recovery-code/checksum", &self.0);
        u16::from_be_bytes([digest.as_bytes()[0], digest.as_bytes()[1]])
    }

    /// Nine pronounceable words of five letters; the last one is the checksum.
    pub fn words(&self) -> String {
        let (pairs, _) = self.0.as_chunks::<2>();
        let words: Vec<String> = pairs
            .iter()
            .map(|p| u16::from_be_bytes(*p))
            .chain([self.checksum()])
            .map(word)
            .collect();
        words.join(" ")
    }

    /// Reads what was typed: case and the kind of white space do not matter.
    pub fn parse(text: &str) -> Result<Self, RecoveryError> {
        let words: Vec<&str> = text
            .split(|c: char| c.is_whitespace() || c == '-')
            .filter(|w| !w.is_empty())
            .collect();
        if words.len() != WORDS {
            return Err(RecoveryError::Length);
        }
        let mut bytes = Zeroizing::new([0u8; 2 * WORDS]);
        for (i, w) in words.iter().enumerate() {
            let value = value(w).ok_or(RecoveryError::Word(i + 1))?;
            bytes[2 * i..2 * i + 2].copy_from_slice(&value.to_be_bytes());
        }
        let mut code = Self([0; 16]);
        code.0.copy_from_slice(&bytes[..16]);
        if code.checksum().to_be_bytes() == bytes[16..] {
            Ok(code)
        } else {
            Err(RecoveryError::Checksum)
        }
    }

    /// The public keys that stand in the key object.
    pub fn keys(&self) -> CardKeys {
        CardKeys {
            sig: self.signing_key().point(),
            kem: self.kem().1,
        }
    }

    /// The key that unwraps in the place of a card.
    pub fn kem_secret(&self) -> KemSecret {
        self.kem().0
    }

    fn kem(&self) -> (KemSecret, simsync_card::ids::Point) {
        KemSecret::derive(&self.derive(b"simsync/1/recovery-code/kem....."))
    }

    fn derive(&self, label: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(*blake3::keyed_hash(label, &self.0).as_bytes())
    }

    /// The key that signs in the place of a card.
    pub fn signing_key(&self) -> SecretKey {
        let mut seed = self.derive(b"simsync/1/recovery-code/sig.....");
        loop {
            if let Ok(key) = SecretKey::from_bytes(&seed) {
                return key;
            }
            // One in 2^32 values is no scalar of the curve: hash on.
            *seed = *blake3::hash(&*seed).as_bytes();
        }
    }
}

fn word(v: u16) -> String {
    let c = |shift: u16| char::from(CONSONANTS[usize::from((v >> shift) & 15)]);
    let w = |shift: u16| char::from(VOWELS[usize::from((v >> shift) & 3)]);
    [c(12), w(10), c(6), w(4), c(0)].into_iter().collect()
}

fn value(word: &str) -> Option<u16> {
    let word = word.to_ascii_lowercase();
    let [a, b, c, d, e] = *word.as_bytes() else {
        return None;
    };
    let con = |x: u8| {
        CONSONANTS
            .iter()
            .position(|k| *k == x)
            .and_then(|i| u16::try_from(i).ok())
    };
    let vow = |x: u8| {
        VOWELS
            .iter()
            .position(|k| *k == x)
            .and_then(|i| u16::try_from(i).ok())
    };
    Some(con(a)? << 12 | vow(b)? << 10 | con(c)? << 6 | vow(d)? << 4 | con(e)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fresh_rng;

    #[test]
    fn words_come_back_and_mistakes_are_found() {
        for _ in 0..100 {
            let code = RecoveryCode::generate(&mut fresh_rng());
            let words = code.words();
            assert_eq!(words.split(' ').count(), WORDS);
            let back = RecoveryCode::parse(&words.to_uppercase().replace(' ', "  ")).unwrap();
            assert_eq!(back.keys(), code.keys());
            let mut swapped: Vec<&str> = words.split(' ').collect();
            swapped.swap(0, 1);
            if swapped[0] != swapped[1] {
                assert_eq!(
                    RecoveryCode::parse(&swapped.join(" ")).err(),
                    Some(RecoveryError::Checksum)
                );
            }
        }
        assert_eq!(
            RecoveryCode::parse("babab").err(),
            Some(RecoveryError::Length)
        );
        assert_eq!(
            RecoveryCode::parse(&"xxxxx ".repeat(9)).err(),
            Some(RecoveryError::Word(1))
        );
    }
}
