//! What went wrong, in words that tell what to do next.

use simsync_codes::{Code, Exit};

use crate::word::Word;

/// Prefix of the daemon's error names.
const ERROR_PREFIX: &str = "org.simsync.SimSync1.Error.";

/// A command that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Failure {
    /// Stable, for programs.
    pub code: Word<Code>,
    /// For people: what happened and what to do next.
    pub sentence: String,
}

/// Commands answer with this.
pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// A failure that this program found itself; for one of the daemon's there is `Self::told`.
    pub fn new(code: Code, sentence: impl Into<String>) -> Self {
        Self::told(Word::Known(code), sentence)
    }

    /// A failure that the daemon told of.
    pub fn told(code: Word<Code>, sentence: impl Into<String>) -> Self {
        Self {
            code,
            sentence: sentence.into(),
        }
    }

    /// simsyncd cannot be reached.
    pub fn no_daemon(why: impl std::fmt::Display) -> Self {
        Self::new(
            Code::NoDaemon,
            format!(
                "simsyncd cannot be reached ({why}); start it with `systemctl --user start simsyncd` and look with `simsync doctor`"
            ),
        )
    }

    /// What the process ends with.
    pub fn exit(&self) -> Exit {
        self.code.known().map_or(Exit::Failed, Code::exit)
    }
}

/// The code of an error by its name on the bus, which is the same words in CamelCase.
fn code_of(name: &str) -> Word<Code> {
    if let Some(code) = Code::of_bus_name(name) {
        return Word::Known(code);
    }
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    Word::Other(out)
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        match &error {
            zbus::Error::MethodError(name, text, _) => {
                let sentence = text.clone().unwrap_or_else(|| name.to_string());
                match name.as_str().strip_prefix(ERROR_PREFIX) {
                    Some(short) => Self::told(code_of(short), sentence),
                    None => Self::new(Code::Failed, sentence),
                }
            }
            zbus::Error::FDO(fdo) => match &**fdo {
                zbus::fdo::Error::ServiceUnknown(_)
                | zbus::fdo::Error::NameHasNoOwner(_)
                | zbus::fdo::Error::NoReply(_)
                | zbus::fdo::Error::Disconnected(_)
                | zbus::fdo::Error::SpawnFailed(_)
                | zbus::fdo::Error::SpawnChildExited(_) => Self::no_daemon("it does not run"),
                other => Self::new(Code::Failed, format!("simsyncd answered: {other}")),
            },
            zbus::Error::InputOutput(_) | zbus::Error::Connection(..) => {
                Self::no_daemon("the bus connection ended")
            }
            other => Self::new(Code::Failed, format!("the bus failed: {other}")),
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
        assert_eq!(code_of("PinIncorrect"), Word::Known(Code::PinIncorrect));
        assert_eq!(
            code_of("SomeNewThing"),
            Word::Other("some-new-thing".to_owned())
        );
        assert_eq!(code_of("Declined"), Word::Known(Code::Declined));
        assert_eq!(Failure::new(Code::Declined, "no").exit(), Exit::Declined);
        assert_eq!(Failure::no_daemon("gone").exit(), Exit::NoDaemon);
    }
}
