//! What went wrong, in words that tell what to do next.

use crate::exit::{Exit, exit_of};

/// Prefix of the daemon's error names.
const ERROR_PREFIX: &str = "org.simsync.SimSync1.Error.";

/// A command that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Failure {
    /// Stable, for programs.
    pub code: String,
    /// For people: what happened and what to do next.
    pub sentence: String,
}

/// Commands answer with this.
pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// A failure.
    pub fn new(code: &str, sentence: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            sentence: sentence.into(),
        }
    }

    /// simsyncd cannot be reached.
    pub fn no_daemon(why: impl std::fmt::Display) -> Self {
        Self::new(
            "no-daemon",
            format!(
                "simsyncd cannot be reached ({why}); start it with `systemctl --user start simsyncd` and look with `simsync doctor`"
            ),
        )
    }

    /// What the process ends with.
    pub fn exit(&self) -> Exit {
        exit_of(&self.code)
    }
}

/// `PinIncorrect` is `pin-incorrect`: names on the bus and codes are the same words.
fn code_of(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        match &error {
            zbus::Error::MethodError(name, text, _) => {
                let sentence = text.clone().unwrap_or_else(|| name.to_string());
                match name.as_str().strip_prefix(ERROR_PREFIX) {
                    Some(short) => Self::new(&code_of(short), sentence),
                    None => Self::new("failed", sentence),
                }
            }
            zbus::Error::FDO(fdo) => match &**fdo {
                zbus::fdo::Error::ServiceUnknown(_)
                | zbus::fdo::Error::NameHasNoOwner(_)
                | zbus::fdo::Error::NoReply(_)
                | zbus::fdo::Error::Disconnected(_)
                | zbus::fdo::Error::SpawnFailed(_)
                | zbus::fdo::Error::SpawnChildExited(_) => Self::no_daemon("it does not run"),
                other => Self::new("failed", format!("simsyncd answered: {other}")),
            },
            zbus::Error::InputOutput(_) | zbus::Error::Connection(..) => {
                Self::no_daemon("the bus connection ended")
            }
            other => Self::new("failed", format!("the bus failed: {other}")),
        }
    }
}

impl From<zbus::fdo::Error> for Failure {
    fn from(error: zbus::fdo::Error) -> Self {
        match error {
            zbus::fdo::Error::ZBus(inner) => inner.into(),
            other => zbus::Error::from(other).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_bus_become_codes() {
        assert_eq!(code_of("PinIncorrect"), "pin-incorrect");
        assert_eq!(code_of("Declined"), "declined");
        assert_eq!(Failure::new("declined", "no").exit(), Exit::Declined);
        assert_eq!(Failure::no_daemon("gone").exit(), Exit::NoDaemon);
    }
}
