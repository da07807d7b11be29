//! Failures as typed D-Bus errors.

use zbus::message::{Header, Message};
use zbus::names::ErrorName;

use super::names::ERROR_PREFIX;
use super::text::carried;
use crate::api::Failure;

/// Codes whose name on the bus is that of another code.
const ALIASES: &[(&str, &str)] = &[("pin-declined", "declined")];
/// What a failure without a usable code is called.
const FAILED: &str = "Failed";
/// Longest code that becomes a name; D-Bus allows 255 bytes for all of it.
const CODE_MAX: usize = 64;

/// The last element of the error's name on the bus: the code in CamelCase, as docs/errors.md lists it.
pub fn error_name(code: &str) -> String {
    let code = ALIASES
        .iter()
        .find(|(alias, _)| *alias == code)
        .map_or(code, |(_, code)| code);
    let plain = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    if code.len() > CODE_MAX || !code.split('-').all(plain) {
        return FAILED.to_owned();
    }
    code.split('-')
        .flat_map(|word| {
            let mut chars = word.chars();
            let first = chars.next().map(|c| c.to_ascii_uppercase());
            first.into_iter().chain(chars)
        })
        .collect()
}

/// What the methods of our objects answer when they fail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct BusError {
    name: String,
    sentence: String,
}

/// Methods of our objects answer with this.
pub type BusResult<T> = Result<T, BusError>;

impl BusError {
    /// An argument that cannot be used.
    pub fn bad_argument(sentence: impl Into<String>) -> Self {
        Failure::new("bad-argument", sentence).into()
    }
}

impl From<Failure> for BusError {
    fn from(failure: Failure) -> Self {
        let short = error_name(&failure.code);
        Self {
            name: format!("{ERROR_PREFIX}.{short}"),
            sentence: carried(&failure.sentence),
        }
    }
}

impl From<zbus::Error> for BusError {
    fn from(error: zbus::Error) -> Self {
        Failure::new("bus", format!("the bus failed: {error}")).into()
    }
}

impl zbus::DBusError for BusError {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        Message::error(call, self.name()).build(&(&self.sentence,))
    }

    fn name(&self) -> ErrorName<'_> {
        // Made above from valid parts only.
        ErrorName::from_str_unchecked(&self.name)
    }

    fn description(&self) -> Option<&str> {
        Some(&self.sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::DBusError;

    #[test]
    fn a_code_is_the_name_and_nonsense_is_failed() {
        let error = BusError::from(Failure::new("pin-incorrect", "why"));
        assert_eq!(
            error.name().as_str(),
            "org.simsync.SimSync1.Error.PinIncorrect"
        );
        assert_eq!(error.description(), Some("why"));
        assert_eq!(error_name("pin-declined"), "Declined");
        let long = "a".repeat(CODE_MAX + 1);
        for nonsense in ["", "-", "a--b", "Ä", "a.b", "1a", long.as_str()] {
            assert_eq!(error_name(nonsense), FAILED, "{nonsense}");
        }
    }

    /// docs/errors.md lists every code with its name on the bus.
    #[test]
    fn names_are_those_of_the_document() {
        let text =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md"))
                .unwrap();
        let mut rows = 0;
        for line in text.lines().filter(|l| l.starts_with("| `")) {
            let cells: Vec<&str> = line
                .split('|')
                .map(|c| c.trim().trim_matches('`'))
                .collect();
            let (code, name) = (cells[1], cells[5]);
            if name == "–" {
                continue;
            }
            assert_eq!(error_name(code), name, "{code}");
            let full = format!("{ERROR_PREFIX}.{name}");
            assert!(ErrorName::try_from(full.as_str()).is_ok());
            rows += 1;
        }
        assert!(rows > 40, "{rows} rows");
    }
}
