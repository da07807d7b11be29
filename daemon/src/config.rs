//! What the owner sets: `config.json`, all of it optional.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use simsync_card::sim::is_iccid;

/// Newest version of the file.
pub const CONFIG_VERSION: u32 = 1;

/// How a check of the login session is used (M6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginPolicy {
    /// Refuse when the session is inactive or locked; pass when nobody can tell.
    #[default]
    WhenKnown,
    /// Refuse unless it is known to be active and unlocked.
    Required,
    /// Do not look.
    Off,
}

/// What a registered SIM may set going. It never unlocks anything: its number can be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SimTrigger {
    /// No SIM sets anything going.
    #[default]
    Off,
    /// It starts, and its removal stops, what needs no key.
    TriggerOnly,
}

/// Whether the card's PIN is typed on a reader that has keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinPadPolicy {
    /// Where the reader says it has a PIN pad.
    #[default]
    WhenPresent,
    /// Never: the PIN is asked for.
    Off,
}

/// What stands in the settings file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// [`CONFIG_VERSION`].
    pub version: u32,
    /// What this terminal is called; its host name if empty.
    pub label: String,
    /// The check of the login session.
    pub login_session: LoginPolicy,
    /// PIN pads of readers.
    pub pin_pad: PinPadPolicy,
    /// Ask before anything is taken from the vault (M3).
    pub confirm_downloads: bool,
    /// Sync when the card comes.
    pub sync_on_insertion: bool,
    /// Upload when data changes.
    pub sync_on_change: bool,
    /// Download when another terminal wrote.
    pub sync_on_head_moved: bool,
    /// How long data must be quiet before it is uploaded, in milliseconds.
    pub change_delay_ms: u64,
    /// How often everything is looked at regardless of hints, in seconds.
    pub rescan_interval_s: u64,
    /// At most this long between two updates of the card's head record, in seconds.
    pub put_head_interval_s: u64,
    /// Fetch ciphertext before the card comes (B7).
    pub prefetch: bool,
    /// Size at which a pack is sent, in bytes.
    pub pack_target: usize,
    /// AT ports of modems that are simsync's alone, whose SIMs may hold the applet.
    pub modems: BTreeSet<PathBuf>,
    /// What a registered SIM may set going.
    pub sim_trigger: SimTrigger,
    /// ICCIDs of the SIMs that the owner registered; others do nothing.
    pub presence_sims: BTreeSet<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: CONFIG_VERSION,
            label: String::new(),
            login_session: LoginPolicy::default(),
            pin_pad: PinPadPolicy::default(),
            confirm_downloads: false,
            sync_on_insertion: true,
            sync_on_change: true,
            sync_on_head_moved: true,
            change_delay_ms: 2000,
            rescan_interval_s: 900,
            put_head_interval_s: 300,
            prefetch: true,
            pack_target: 8 << 20,
            modems: BTreeSet::new(),
            sim_trigger: SimTrigger::default(),
            presence_sims: BTreeSet::new(),
        }
    }
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not readable.
    #[error("{path} cannot be read: {source}")]
    Io {
        /// Path of the file, for people.
        path: String,
        /// What the system answered.
        source: std::io::Error,
    },
    /// Not what it should be.
    #[error("{path} is not valid: {why}; correct it or remove it to use the defaults")]
    Invalid {
        /// Path of the file, for people.
        path: String,
        /// The first thing that is wrong in it, for people.
        why: String,
    },
}

/// Most SIMs that can be registered.
const SIMS_MAX: usize = 16;

/// Most modems that can be set aside.
const MODEMS_MAX: usize = 4;

/// Largest file of ours that is read, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// Reads a JSON file of ours; none if it is not there. `newest` is the newest version that is understood.
pub fn read_json<T: serde::de::DeserializeOwned>(
    path: &Path,
    newest: u32,
) -> Result<Option<T>, ConfigError> {
    let name = || path.display().to_string();
    let invalid = |why: String| ConfigError::Invalid { path: name(), why };
    let meta = match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|source| ConfigError::Io {
            path: name(),
            source,
        })?,
    };
    if !meta.is_file() {
        // A FIFO would be waited for, and a device may never end.
        return Err(invalid("it is no regular file".to_owned()));
    }
    let too_large = || invalid(format!("it has more than {FILE_MAX} bytes"));
    if meta.len() > FILE_MAX {
        return Err(too_large());
    }
    let mut text = Vec::new();
    let read = std::fs::File::open(path).and_then(|f| f.take(FILE_MAX + 1).read_to_end(&mut text));
    let read = read.map_err(|source| ConfigError::Io {
        path: name(),
        source,
    })?;
    if read as u64 > FILE_MAX {
        return Err(too_large());
    }
    parse_json(&text, newest).map(Some).map_err(invalid)
}

/// Reads the text of such a file; else why not.
pub fn parse_json<T: serde::de::DeserializeOwned>(text: &[u8], newest: u32) -> Result<T, String> {
    let value: serde_json::Value = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    // Of a list serde would take the values in the order of our fields, and no version would be looked at.
    if !value.is_object() {
        return Err("it is no JSON object".to_owned());
    }
    let version = value
        .get("version")
        .and_then(serde_json::Value::as_u64)
        .unwrap_or(1);
    if version > u64::from(newest) {
        return Err(format!(
            "it has version {version}, this simsync knows up to {newest}: update simsync"
        ));
    }
    serde_json::from_value(value).map_err(|e| e.to_string())
}

impl Config {
    /// How long data has to be quiet before it is synced.
    pub fn change_delay(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.change_delay_ms)
    }

    /// Reads the file, or gives the defaults.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config: Self = read_json(path, CONFIG_VERSION)?.unwrap_or_default();
        config.checked().map_err(|why| ConfigError::Invalid {
            path: path.display().to_string(),
            why: why.to_owned(),
        })
    }

    /// With the terminal's name, if it may be used at all; else why not.
    pub fn checked(mut self) -> Result<Self, &'static str> {
        if !(64 << 10..=48 << 20).contains(&self.pack_target) {
            return Err("pack_target must lie between 65536 and 50331648");
        }
        if self.rescan_interval_s == 0 {
            // It would do nothing else.
            return Err("rescan_interval_s must be 1 at least");
        }
        if self.presence_sims.len() > SIMS_MAX {
            return Err("presence_sims holds more than 16 SIMs");
        }
        if !self.presence_sims.iter().all(|n| is_iccid(n)) {
            return Err("presence_sims must hold ICCIDs, 18 to 20 digits each, without spaces");
        }
        if self.modems.len() > MODEMS_MAX {
            return Err("modems holds more than 4 AT ports");
        }
        if !self.modems.iter().all(|m| m.is_absolute()) {
            return Err("modems must hold the whole paths of AT ports, for example /dev/ttyUSB2");
        }
        if self.label.is_empty() {
            let name = rustix::system::uname();
            self.label = name.nodename().to_string_lossy().into_owned();
        }
        // The card keeps 24 bytes of it.
        while self.label.len() > 24 {
            self.label.pop();
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w_7_what_is_no_regular_file_is_refused_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        for path in [fifo.as_path(), &link, dir.path()] {
            let error = Config::load(path).unwrap_err().to_string();
            assert!(error.contains("no regular file"), "{error}");
        }
    }

    #[test]
    fn missing_is_default_and_nonsense_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        assert_eq!(Config::load(&path).unwrap().change_delay_ms, 2000);
        for (text, word) in [
            ("{", "EOF"),
            (r#"{"version": 9}"#, "update simsync"),
            ("[9]", "no JSON object"),
            (r#"{"no_such_thing": 1}"#, "no_such_thing"),
            (r#"{"pack_target": 1}"#, "pack_target"),
            (r#"{"rescan_interval_s": 0}"#, "rescan_interval_s"),
            (r#"{"sim_trigger": "unlock"}"#, "unlock"),
            (r#"{"presence_sims": ["89 01"]}"#, "ICCID"),
            (r#"{"presence_sims": ["89010000000000000000x"]}"#, "ICCID"),
            (r#"{"pin_pad": "on"}"#, "when-present"),
            (r#"{"modems": ["ttyUSB2"]}"#, "whole paths"),
            (
                r#"{"modems": ["/a", "/b", "/c", "/d", "/e"]}"#,
                "more than 4",
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Config::load(&path).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        std::fs::write(&path, vec![b' '; 2 << 20]).unwrap();
        assert!(
            Config::load(&path)
                .unwrap_err()
                .to_string()
                .contains("bytes")
        );
    }
}
