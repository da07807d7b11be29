//! Modems whose AT port the owner set aside for simsync, and the way to the applet on their SIMs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use simsync_card::modem::{Deadlines, ModemCard};
use simsync_card::transport::TransportError;

/// The modems that are simsync's.
#[derive(Debug, Clone, Default)]
pub struct Modems {
    /// Their AT ports.
    pub devices: BTreeSet<PathBuf>,
    /// Folder in which the names of open channels are noted, for a daemon that ended without closing them.
    pub notes: PathBuf,
}

/// What a modem is called where readers are called by name.
pub fn reader_name(device: &Path) -> String {
    format!("modem {}", device.display())
}

/// A modem's AT port.
pub struct Port {
    device: PathBuf,
    note: PathBuf,
}

impl Port {
    /// The modem that is called so as a reader.
    pub fn find(modems: &Modems, reader: &str) -> Option<Self> {
        let device = modems.devices.iter().find(|d| reader_name(d) == reader)?;
        let file: String = device
            .to_string_lossy()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        Some(Self {
            device: device.clone(),
            note: modems.notes.join(file),
        })
    }

    /// Opens a channel to the applet.
    pub fn connect(&self) -> Result<ModemCard, TransportError> {
        let left = std::fs::read_to_string(&self.note).ok();
        let left = left.and_then(|text| text.trim().parse().ok());
        let card = ModemCard::open_after(&self.device, Deadlines::default(), left)?;
        let noted = self
            .note
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&self.note, card.session().to_string()));
        if let Err(error) = noted {
            tracing::warn!(%error, "an open channel is not noted: after a crash the modem may have to be started anew");
        }
        Ok(card)
    }

    /// Closes the channel.
    pub fn close(&self, card: ModemCard) {
        match card.close() {
            Ok(()) => {
                let _ = std::fs::remove_file(&self.note);
            }
            Err(error) => tracing::debug!(%error, "the logical channel is left to the modem"),
        }
    }
}
