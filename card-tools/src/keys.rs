//! Keys of the card manager: from a file that nobody else may read, a descriptor, a prompt; never from arguments.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Deserialize;
use simsync_globalplatform::keys::Diversification;
use simsync_globalplatform::keys::{Key, KeyError, KeySet};
use simsync_globalplatform::session::Access;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::cli::{Diversify, Keys};
use crate::error::ToolError;
use crate::output::Output;
use crate::secrets;

/// Longest text with keys, in bytes.
const MAX: u64 = 4096;

#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct JsonKeys {
    enc: String,
    mac: String,
    dek: String,
}

/// Keys, read or still to be asked for.
pub struct Source<'a> {
    args: &'a Keys,
    read: Option<KeySet>,
}

impl<'a> Source<'a> {
    /// Reads file or descriptor now, so that what is wrong with them is said before a card is touched.
    pub fn open(args: &'a Keys, out: &Output) -> Result<Self, ToolError> {
        let read = if let Some(path) = &args.keys_file {
            Some(parse(&read_file(path)?)?)
        } else if let Some(fd) = args.keys_fd {
            let name = format!("descriptor {fd}");
            Some(parse(&read_text(secrets::duplicate(fd)?, &name)?)?)
        } else if args.default_test_keys {
            out.step("Using the test keys 404142…4F. Anybody knows them: change them before the card is given away.");
            Some(KeySet::public_test_keys())
        } else {
            None
        };
        Ok(Self { args, read })
    }

    /// The keys; asks for them if nothing else was named.
    pub fn get(&mut self) -> Result<Access<'_>, ToolError> {
        let keys = match self.read.take() {
            Some(keys) => keys,
            None => ask()?,
        };
        Ok(Access {
            keys: self.read.insert(keys),
            key_version: self.args.kvn,
            diversification: match self.args.diversify {
                Diversify::None => None,
                Diversify::Kdf3 => Some(Diversification::Kdf3),
                Diversify::Emv => Some(Diversification::Emv),
                Diversify::Visa2 => Some(Diversification::Visa2),
            },
        })
    }
}

/// A challenge for the card.
pub fn host_challenge() -> [u8; 8] {
    rand::random()
}

fn ask() -> Result<KeySet, ToolError> {
    let enc = secrets::read(None, "Card manager's key ENC (hexadecimal)")?;
    let mac = secrets::read(None, "Key MAC (Enter: the same)")?;
    let dek = secrets::read(None, "Key DEK (Enter: the same)")?;
    let or = |text: &Zeroizing<String>| {
        if text.is_empty() {
            enc.clone()
        } else {
            text.clone()
        }
    };
    set(&enc, &or(&mac), &or(&dek))
}

fn read_file(path: &Path) -> Result<Zeroizing<String>, ToolError> {
    let name = path.display().to_string();
    let cannot = |e: std::io::Error| ToolError::Usage(format!("{name} cannot be read: {e}"));
    let file = std::fs::File::open(path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if !about.is_file() {
        return Err(ToolError::Usage(format!("{name} is not a file")));
    }
    if about.mode() & 0o077 != 0 {
        return Err(ToolError::Usage(format!(
            "{name} holds keys and can be read by others; make it yours alone: chmod 600 {name}"
        )));
    }
    read_text(file, &name)
}

fn read_text(file: std::fs::File, name: &str) -> Result<Zeroizing<String>, ToolError> {
    let bad = |what: &str| ToolError::Usage(format!("{name} {what}"));
    // Reserved at once: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(8192));
    let read = file.take(MAX + 1).read_to_string(&mut text);
    if read.map_err(|_| bad("cannot be read as text"))? as u64 > MAX {
        return Err(bad("is too long to be keys"));
    }
    Ok(text)
}

/// One key, three lines, or JSON. Errors do not repeat the text.
fn parse(text: &str) -> Result<KeySet, ToolError> {
    if text.trim_start().starts_with('{') {
        let keys: JsonKeys = serde_json::from_str(text).map_err(|_| {
            ToolError::Usage(
                "the keys begin like JSON and are not {\"enc\": \"…\", \"mac\": \"…\", \"dek\": \"…\"}".to_owned(),
            )
        })?;
        return set(&keys.enc, &keys.mac, &keys.dek);
    }
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
        .collect();
    match lines[..] {
        [one] => set(one, one, one),
        [enc, mac, dek] => set(enc, mac, dek),
        _ => Err(ToolError::Usage(format!(
            "keys are one line, or three for ENC, MAC and DEK; here are {}",
            lines.len()
        ))),
    }
}

fn set(enc: &str, mac: &str, dek: &str) -> Result<KeySet, ToolError> {
    let usage = |e: KeyError| ToolError::Usage(e.to_string());
    let one = |text: &str| Key::parse(text.trim()).map_err(usage);
    KeySet::new(one(enc)?, one(mac)?, one(dek)?).map_err(usage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    const A: &str = "404142434445464748494A4B4C4D4E4F";
    const B: &str = "505152535455565758595a5b5c5d5e5f";

    #[test]
    fn keys_in_their_forms() {
        for (text, good) in [
            (A.to_owned(), true),
            (format!("# card 7\n{A}\n{B}\n\n{B}\n"), true),
            (
                format!("{{\"enc\": \"{A}\", \"mac\": \"{B}\", \"dek\": \"{B}\"}}"),
                true,
            ),
            (format!("{A}\n{B}"), false),
            (String::new(), false),
            ("{\"enc\": 7}".to_owned(), false),
            (format!("{{\"enc\": \"{A}\", \"mac\": \"{B}\"}}"), false),
            (format!("{A}00"), false),
            ("not hexadecimal at all, no, no..".to_owned(), false),
        ] {
            match parse(&text) {
                Ok(_) => assert!(good, "{text}"),
                Err(e) => {
                    assert!(!good, "{text}: {e}");
                    assert!(
                        !e.to_string().contains(A) && !e.to_string().contains(B),
                        "{e}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{A}").unwrap();
        for (mode, good) in [
            (0o600, true),
            (0o400, true),
            (0o640, false),
            (0o604, false),
            (0o666, false),
        ] {
            file.as_file()
                .set_permissions(std::fs::Permissions::from_mode(mode))
                .unwrap();
            let result = read_file(file.path());
            assert_eq!(result.is_ok(), good, "{mode:o}");
            if let Err(e) = result {
                assert!(e.to_string().contains("chmod 600"), "{e}");
            }
        }
        assert!(read_file(Path::new("/")).is_err());
    }

    #[test]
    fn a_text_without_end_is_refused() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[b'4'; 5000]).unwrap();
        let error = read_file(file.path()).unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }
}
