//! Words of the daemon's: codes and states.

use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A word that this version knows, or another one, of a newer daemon's: it is shown, and nothing hangs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word<T> {
    /// A word that this version has a meaning for.
    Known(T),
    /// The word as the daemon sent it; it equals no word of this version's.
    Other(String),
}

impl<T: Copy> Word<T> {
    /// The word, if it is known.
    pub fn known(&self) -> Option<T> {
        match self {
            Self::Known(word) => Some(*word),
            Self::Other(_) => None,
        }
    }
}

impl<T: FromStr> From<String> for Word<T> {
    fn from(text: String) -> Self {
        text.parse().map_or(Self::Other(text), Self::Known)
    }
}

impl<T: PartialEq> PartialEq<T> for Word<T> {
    fn eq(&self, other: &T) -> bool {
        matches!(self, Self::Known(word) if word == other)
    }
}

impl<T: Default> Default for Word<T> {
    fn default() -> Self {
        Self::Known(T::default())
    }
}

impl<T: std::fmt::Display> std::fmt::Display for Word<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known(word) => word.fmt(f),
            Self::Other(text) => f.pad(text),
        }
    }
}

impl<T: std::fmt::Display> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use simsync_codes::State;

    #[test]
    fn a_word_that_is_not_known_is_shown_all_the_same() {
        let known = Word::<State>::from("synced".to_owned());
        assert!(known == State::Synced && known.known() == Some(State::Synced));
        let other = Word::<State>::from("dreaming".to_owned());
        assert_eq!(
            (other.known(), other.to_string()),
            (None, "dreaming".to_owned())
        );
        assert_eq!(serde_json::to_string(&other).unwrap(), "\"dreaming\"");
    }
}
