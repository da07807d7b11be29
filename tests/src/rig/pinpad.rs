//! A reader's PIN pad, and the fingers on it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use simsync_test_ifd::{KEYS, WIRE};

use super::{DEADLINE, Result, program, wait_for};

/// The PIN pad of a terminal's reader.
#[derive(Debug, Clone)]
pub struct PinPad {
    folder: PathBuf,
}

/// A finger that waits until the pad asks for a PIN.
pub struct Finger {
    keys: BufReader<UnixStream>,
}

impl PinPad {
    /// Its driver, which pcscd loads.
    pub(super) fn driver() -> Result<PathBuf> {
        program("libsimsync_test_ifd.so")
    }

    /// Its folder, below a terminal's.
    pub(super) fn prepare(terminal: &Path) -> Result<Self> {
        let folder = terminal.join("pad");
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(Self { folder })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Everything that crossed between the reader and the computer, in hexadecimal, a line each.
    pub fn wire(&self) -> Result<String> {
        let path = self.folder.join(WIRE);
        std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// How many lines of [`Self::wire`] begin so.
    pub fn count(&self, beginning: &str) -> Result<usize> {
        let wire = self.wire()?;
        Ok(wire.lines().filter(|l| l.starts_with(beginning)).count())
    }

    /// Lays a finger on the keys.
    pub fn finger(&self) -> Result<Finger> {
        let socket = self.folder.join(KEYS);
        let stream = wait_for("the reader's keys", DEADLINE, || {
            UnixStream::connect(&socket).ok()
        })?;
        stream
            .set_read_timeout(Some(DEADLINE))
            .map_err(|e| e.to_string())?;
        Ok(Finger {
            keys: BufReader::new(stream),
        })
    }

    /// Presses these (digits and ` ok`, `cancel`, or `timeout`) as soon as the pad asks for a PIN.
    pub fn press(&self, keys: &str) -> Result<()> {
        let mut finger = self.finger()?;
        finger.wait()?;
        finger.press(keys)
    }

    /// A PIN, and OK.
    pub fn type_pin(&self, pin: &str) -> Result<()> {
        self.press(&format!("{pin} ok"))
    }
}

impl Finger {
    /// Waits until the pad asks for a PIN.
    pub fn wait(&mut self) -> Result<()> {
        let mut line = String::new();
        match self.keys.read_line(&mut line) {
            Ok(_) if line == "ready\n" => Ok(()),
            Ok(_) => Err(format!("the pad said {line:?}")),
            Err(e) => Err(format!("the pad did not ask for a PIN: {e}")),
        }
    }

    /// Presses these.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        writeln!(self.keys.get_mut(), "{keys}").map_err(|e| format!("the pad: {e}"))
    }
}
