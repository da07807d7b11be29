//! The letter with PIN and PUK: one page of text, written durably before the card is handed over.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::ToolError;
use crate::secrets::sync_dir;

/// What the letter says.
pub struct Letter<'a> {
    /// Whose card it is.
    pub subscriber: &'a str,
    /// What the card is called.
    pub label: &'a str,
    /// The card's ID.
    pub card: &'a str,
    /// The server.
    pub server: &'a str,
    /// The first PIN.
    pub pin: &'a str,
    /// The PUK.
    pub puk: &'a str,
    /// The PIN must be changed at first use.
    pub change: bool,
}

const TITLE: &str = "Your simsync card";

impl Letter<'_> {
    fn text(&self) -> Zeroizing<String> {
        let first = if self.change {
            "The card asks you to choose a PIN of your own at its first use. You get a new PUK then:\nkeep that one, this one ends."
        } else {
            "Change the PIN when you like: simsync pin change"
        };
        Zeroizing::new(format!(
            "{TITLE}\n\nSubscriber  {}\nCard        {}  {}\nServer      {}\n\nPIN         {}\nPUK         {}\n\n{first}\n\n\
             Put the card into your terminal and run: simsync pair\n\
             Three wrong PINs block the card; the PUK unblocks it: simsync-card pin unblock\n\
             Keep this letter apart from the card.\n",
            self.subscriber, self.card, self.label, self.server, self.pin, self.puk
        ))
    }

    /// Writes it, readable by its owner alone, and answers only when it is on the disk.
    pub fn write(&self, path: &Path) -> Result<(), ToolError> {
        let failed = |e: std::io::Error| {
            ToolError::Other(format!(
                "the letter {} cannot be written: {e}",
                path.display()
            ))
        };
        check_free(path)?;
        let temp = path.with_extension("part");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temp)
            .map_err(failed)?;
        file.write_all(self.text().as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        std::fs::rename(&temp, path).map_err(failed)?;
        let dir = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let dir = std::fs::File::open(dir).map_err(failed)?;
        sync_dir(dir.as_fd()).map_err(failed)
    }
}

/// A file that is no letter of ours is not overwritten.
pub fn check_free(path: &Path) -> Result<(), ToolError> {
    match std::fs::read(path) {
        Err(_) => Ok(()),
        Ok(text) if text.starts_with(TITLE.as_bytes()) => Ok(()),
        Ok(_) => Err(ToolError::Usage(format!(
            "{} exists and is no letter of this tool; choose another file",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_replaces_a_letter_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("letter.txt");
        let letter = Letter {
            subscriber: "s",
            label: "l",
            card: "c",
            server: "h",
            pin: "123456",
            puk: "87654321",
            change: true,
        };
        letter.write(&path).unwrap();
        letter.write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("123456") && text.contains("87654321"));
        std::fs::write(&path, "something else").unwrap();
        assert!(letter.write(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "something else");
    }
}
