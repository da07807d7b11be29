//! Text as the bus carries it.

/// Whoever sends a NUL in a text is thrown off the bus. Labels, names and sentences come from other terminals, cards and
/// servers, so every text goes through here on its way out.
pub fn carried(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// The same, and empty for none.
pub fn carried_or_empty(text: Option<&String>) -> String {
    text.map(|t| carried(t)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_keeps_a_nul() {
        assert_eq!(carried("desk – ä\n"), "desk – ä\n");
        assert_eq!(carried("\0a\0b"), "\u{FFFD}a\u{FFFD}b");
        assert_eq!(carried_or_empty(None), "");
        assert_eq!(carried_or_empty(Some(&"\0".to_owned())), "\u{FFFD}");
    }
}
