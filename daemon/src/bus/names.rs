//! Names on the bus and paths of objects.

use std::fmt::Write;

use zbus::{ObjectPath, OwnedObjectPath};

/// The well-known name on the session bus.
pub const BUS_NAME: &str = "org.simsync.SimSync1";
/// The manager's path; it is the object manager of everything below it too.
pub const ROOT: &str = "/org/simsync/SimSync1";
/// Prefix of every error name.
pub const ERROR_PREFIX: &str = "org.simsync.SimSync1.Error";
/// The interface that agents implement.
pub const AGENT_INTERFACE: &str = "org.simsync.SimSync1.Agent";

/// Kinds of objects below [`ROOT`], as their paths name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A card reader, by its name.
    Reader,
    /// A card, by the name of the reader that it is in.
    Card,
    /// A terminal of the person, by its ID.
    Terminal,
    /// A collection, by its ID.
    Collection,
    /// A job, by its number.
    Job,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Reader => "readers",
            Self::Card => "cards",
            Self::Terminal => "terminals",
            Self::Collection => "collections",
            Self::Job => "jobs",
        }
    }

    /// The path of one object of this kind. Whatever its name holds, the path is valid and no two names share one.
    pub fn path(self, name: &str) -> OwnedObjectPath {
        let path = format!("{ROOT}/{}/{}", self.folder(), escape(name));
        // Escaping leaves letters, digits and underscores only, and never nothing.
        ObjectPath::from_string_unchecked(path).into()
    }
}

/// Makes any text one element of an object path: what is no letter or digit becomes `_` and two hex digits a byte.
fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "_{byte:02x}");
        }
    }
    if out.is_empty() {
        out.push('_');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_makes_a_valid_path_of_its_own() {
        let names = ["", "_", "a b", "a_b", "Virtual PCD 00 00", "ä", "a/b", "0"];
        let paths: std::collections::BTreeSet<String> = names
            .iter()
            .map(|n| {
                let path = Kind::Reader.path(n).to_string();
                assert!(ObjectPath::try_from(path.as_str()).is_ok(), "{path}");
                path
            })
            .collect();
        assert_eq!(paths.len(), names.len());
        assert_eq!(
            Kind::Card.path("Virtual PCD 00").as_str(),
            "/org/simsync/SimSync1/cards/Virtual_20PCD_2000"
        );
    }
}
