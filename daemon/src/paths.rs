//! Where things are: the XDG folders, or below one folder for a test or a second terminal on one machine.

use std::path::{Path, PathBuf};

/// Folders and files of one terminal.
#[derive(Debug, Clone)]
pub struct Paths {
    /// `config.json`: what the owner sets.
    pub config: PathBuf,
    /// `terminal.json`: what pairing made.
    pub terminal: PathBuf,
    /// `spare.json`: a card whose keys were read to be added; no secrets.
    pub spare: PathBuf,
    /// The local database.
    pub database: PathBuf,
    /// Names of channels that are open in modems.
    pub channels: PathBuf,
    /// Sealed tails that wait for the network.
    pub outbox: PathBuf,
    /// Packs until they were applied.
    pub packs: PathBuf,
}

impl Paths {
    /// Everything below one folder.
    pub fn below(home: &Path) -> Self {
        Self::of(
            &home.join("config"),
            &home.join("state"),
            &home.join("cache"),
        )
    }

    /// `$XDG_CONFIG_HOME/simsync` and so on, with the specification's defaults.
    pub fn from_environment() -> Result<Self, String> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let dir = |variable: &str, default: &str| {
            std::env::var_os(variable)
                .map(PathBuf::from)
                .filter(|p| p.is_absolute())
                .or_else(|| home.as_ref().map(|h| h.join(default)))
                .map(|p| p.join("simsync"))
                .ok_or_else(|| format!("neither {variable} nor HOME is set: set one of them"))
        };
        Ok(Self::of(
            &dir("XDG_CONFIG_HOME", ".config")?,
            &dir("XDG_STATE_HOME", ".local/state")?,
            &dir("XDG_CACHE_HOME", ".cache")?,
        ))
    }

    fn of(config: &Path, state: &Path, cache: &Path) -> Self {
        Self {
            config: config.join("config.json"),
            terminal: state.join("terminal.json"),
            spare: state.join("spare.json"),
            database: state.join("state.db"),
            channels: state.join("channels"),
            outbox: state.join("outbox"),
            packs: cache.join("packs"),
        }
    }

    /// Makes the folders, for the owner alone.
    pub fn prepare(&self) -> std::io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        for dir in [
            self.config.parent(),
            self.terminal.parent(),
            Some(self.outbox.as_path()),
            Some(self.packs.as_path()),
        ]
        .into_iter()
        .flatten()
        {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)?;
        }
        Ok(())
    }
}

/// Writes a file so that after a crash the old or the new content is there, readable by the owner alone.
pub fn write_atomically(path: &Path, data: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let temp = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temp)?;
    file.write_all(data)?;
    file.sync_all()?;
    std::fs::rename(&temp, path)?;
    if let Some(dir) = path.parent() {
        std::fs::File::open(dir)?.sync_all()?;
    }
    Ok(())
}
