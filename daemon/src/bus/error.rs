//! Failures as typed D-Bus errors.

use simsync_codes::Code;
use zbus::message::{Header, Message};
use zbus::names::ErrorName;

use super::names::ERROR_PREFIX;
use super::text::carried;
use crate::api::Failure;

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
        Failure::new(Code::BadArgument, sentence).into()
    }
}

impl From<Failure> for BusError {
    fn from(failure: Failure) -> Self {
        let short = failure.code.bus_name();
        Self {
            name: format!("{ERROR_PREFIX}.{short}"),
            sentence: carried(&failure.sentence),
        }
    }
}

impl From<zbus::Error> for BusError {
    fn from(error: zbus::Error) -> Self {
        Failure::new(Code::Bus, format!("the bus failed: {error}")).into()
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
    fn every_code_makes_a_name() {
        for code in Code::ALL {
            let error = BusError::from(Failure::new(*code, "why"));
            let name = error.name().to_string();
            assert_eq!(name, format!("{ERROR_PREFIX}.{}", code.bus_name()));
            assert_eq!(error.description(), Some("why"));
        }
    }
}
