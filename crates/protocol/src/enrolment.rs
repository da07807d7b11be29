//! Enrolment codes: 128 random bits, typed in groups, kept as a hash only.

use simsync_card::ids::Hash;
use simsync_card::text::fields;

/// Crockford's alphabet: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// 26 characters hold 130 bits; the last two are zero.
const LENGTH: usize = 26;
/// A code as it is shown once.
pub struct EnrolmentCode([u8; 16]);

impl EnrolmentCode {
    /// From its bits, which are to be random.
    pub fn new(bits: [u8; 16]) -> Self {
        Self(bits)
    }

    /// SHA-256 over a domain and the code's 16 bytes: all that the server keeps of a code.
    pub fn hash(&self) -> Hash {
        Hash::of(&fields(&[b"simsync/1/enrolment-code", &self.0]))
    }

    /// As typed; case, spaces and dashes do not matter, O is 0, I and L are 1.
    pub fn parse(text: &str) -> Option<Self> {
        let mut value: u128 = 0;
        let mut count = 0;
        for c in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            let c = match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                c => c,
            };
            let digit = ALPHABET.iter().position(|a| char::from(*a) == c)? as u128;
            count += 1;
            value = match count {
                LENGTH if digit.is_multiple_of(4) => (value << 3) | (digit >> 2),
                n if n < LENGTH => (value << 5) | digit,
                _ => return None,
            };
        }
        (count == LENGTH).then(|| Self(value.to_be_bytes()))
    }
}

impl std::fmt::Display for EnrolmentCode {
    /// In groups, easy to read aloud: `XXXXX-XXXXX-XXXXX-XXXXX-XXXXXX`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = u128::from_be_bytes(self.0);
        for i in 0..LENGTH {
            if i % 5 == 0 && (5..25).contains(&i) {
                f.write_str("-")?;
            }
            // Bits 127-5i down; the last character has three bits and two zeros.
            let digit = match 123usize.checked_sub(5 * i) {
                Some(shift) => (value >> shift) & 31,
                None => (value & 7) << 2,
            };
            write!(f, "{}", char::from(ALPHABET[digit as usize & 31]))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_typed_as_people_type() {
        for bits in [[0; 16], [0xff; 16], [0x5a; 16], *b"0123456789abcdef"] {
            let code = EnrolmentCode(bits);
            let text = code.to_string();
            assert_eq!(text.len(), 30, "{text}");
            for typed in [
                text.clone(),
                text.to_lowercase(),
                text.replace('-', " "),
                text.replace('-', ""),
                text.replace('0', "o").replace('1', "l"),
            ] {
                assert_eq!(EnrolmentCode::parse(&typed).unwrap().0, bits, "{typed}");
            }
        }
        for bad in [
            "",
            "0",
            &"0".repeat(25),
            &"0".repeat(27),
            &"U".repeat(26),
            &format!("{}1", "0".repeat(25)),
        ] {
            assert!(EnrolmentCode::parse(bad).is_none(), "{bad}");
        }
    }
}
