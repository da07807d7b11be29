//! IDs on the command line, or their beginnings.

use std::str::FromStr;

/// Shortest beginning of an ID that is taken for it.
pub(super) const LEAST: usize = 4;
/// Hexadecimal digits of the longest ID.
const MOST: usize = 64;

/// An ID in hexadecimal digits, or its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPrefix(String);

impl FromStr for IdPrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if (LEAST..=MOST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(format!(
                "an ID, or its first {LEAST} hexadecimal digits or more"
            ))
        }
    }
}

impl IdPrefix {
    /// The digits, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_g3_four_to_sixty_four_digits_are_taken() {
        assert_eq!("ABCD".parse(), Ok(IdPrefix("abcd".to_owned())));
        for bad in ["abc", "zzzz", "", &"a".repeat(65)] {
            assert!(bad.parse::<IdPrefix>().is_err(), "{bad}");
        }
    }
}
