//! What was done, durable before what cannot be undone: one JSON object a line, appended and never changed. No secrets.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use simsync_card::ids::{CardId, Hash, SubscriberId};

use crate::error::ToolError;
use crate::secrets::sync_dir;

const VERSION: u32 = 1;
/// Longest journal, in bytes: 10,000 people, each begun many times.
const MAX_BYTES: u64 = 64 << 20;

/// The first line: what the batch is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    version: u32,
    /// The server's address on the cards.
    server: String,
    /// Fingerprint of the server's CA.
    ca_pin: Hash,
}

impl Header {
    /// The header of a new journal, in this program's version of the format.
    pub fn new(server: &str, ca_pin: Hash) -> Self {
        Self {
            version: VERSION,
            server: server.to_owned(),
            ca_pin,
        }
    }
}

/// How far somebody's card is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// A card is personalised next; which one is not known yet.
    Begun,
    /// It is this one; the server is told next.
    Card { card: CardId },
    /// The letter is durable; ENROLLED is next.
    Letter { card: CardId },
    /// ENROLLED was carried out: nothing is left to be done for this person.
    Done { card: CardId },
}

impl Step {
    /// The card, once it is known.
    pub fn card(&self) -> Option<CardId> {
        match self {
            Self::Begun => None,
            Self::Card { card } | Self::Letter { card } | Self::Done { card } => Some(*card),
        }
    }

    /// Whether it may come after `before`. A card once named stays; what is finished stays so.
    pub fn may_follow(&self, before: Option<&Self>) -> bool {
        match (before, self) {
            (None | Some(Self::Begun), Self::Begun | Self::Card { .. }) => true,
            (
                Some(Self::Card { card: before }),
                Self::Card { card: after } | Self::Letter { card: after },
            )
            | (
                Some(Self::Letter { card: before }),
                Self::Card { card: after }
                | Self::Letter { card: after }
                | Self::Done { card: after },
            ) => before == after,
            _ => false,
        }
    }
}

/// Any line after the header: one step of one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The subscriber for whom the card is.
    pub person: SubscriberId,
    /// The step that was done.
    #[serde(flatten)]
    pub step: Step,
    /// PC/SC name of the reader that the card was in.
    pub reader: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

/// An open journal, this program's alone.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    length: u64,
    /// A line may be half written and could not be taken back.
    broken: bool,
    /// Lines that are still written whole, then how many bytes of the next.
    #[cfg(test)]
    crash: Option<(usize, usize)>,
}

impl Journal {
    /// Opens or makes it; answers what it holds. A last line that was cut is taken back: nothing was done after it.
    pub fn open(path: &Path, header: &Header) -> Result<(Self, Vec<Entry>), ToolError> {
        let failed =
            |e: std::io::Error| ToolError::Other(format!("the journal {}: {e}", path.display()));
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            ToolError::Usage(format!(
                "another simsync-card works with the journal {}; wait for it, or end it",
                path.display()
            ))
        })?;
        let mut bytes = Vec::new();
        (&file)
            .take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        let bad = |why: String| {
            ToolError::Usage(format!(
                "{} {why}; name another journal with --journal",
                path.display()
            ))
        };
        if bytes.len() as u64 > MAX_BYTES {
            return Err(bad("is too long to be a journal".to_owned()));
        }
        let (found, whole) = parse(&bytes).map_err(|line| {
            bad(format!(
                "is no journal of a batch, or damaged at line {line}"
            ))
        })?;
        let mut journal = Self {
            file,
            path: path.to_owned(),
            length: whole as u64,
            broken: false,
            #[cfg(test)]
            crash: None,
        };
        if whole < bytes.len() {
            journal.file.set_len(journal.length).map_err(failed)?;
        }
        match found {
            Some((there, entries)) if there == *header => Ok((journal, entries)),
            Some((there, _)) if there.version != VERSION => Err(bad(format!(
                "is of version {}, this program knows {VERSION}",
                there.version
            ))),
            Some((there, _)) => Err(bad(format!(
                "belongs to a batch for the server {} with the CA fingerprint {}",
                there.server, there.ca_pin
            ))),
            None => {
                journal.line(header)?;
                let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
                File::open(folder.unwrap_or(Path::new(".")))
                    .and_then(|f| sync_dir(f.as_fd()))
                    .map_err(failed)?;
                Ok((journal, Vec::new()))
            }
        }
    }

    /// The program ends in the middle of a line.
    #[cfg(test)]
    pub fn crash_after(&mut self, lines: usize, bytes: usize) {
        self.crash = Some((lines, bytes));
    }

    /// Appends; answers when it is on the disk.
    pub fn append(&mut self, entry: &Entry) -> Result<(), ToolError> {
        self.line(entry)
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), ToolError> {
        let path = self.path.display().to_string();
        let failed = |e: &dyn std::fmt::Display| {
            ToolError::Other(format!(
                "the journal {path} cannot be written: {e}; nothing more is done. Make room, and run it again"
            ))
        };
        if self.broken {
            return Err(failed(&"an earlier line is half written"));
        }
        let mut bytes = serde_json::to_vec(value).map_err(|e| failed(&e))?;
        bytes.push(b'\n');
        let end = self.length;
        #[cfg(test)]
        if let Some((lines, part)) = &mut self.crash {
            if *lines == 0 {
                let part = (*part).min(bytes.len() - 1);
                self.broken = true;
                let _ = self.file.seek(SeekFrom::Start(end));
                let _ = self.file.write_all(&bytes[..part]);
                return Err(failed(&"crash"));
            }
            *lines -= 1;
        }
        let written = self
            .file
            .seek(SeekFrom::Start(end))
            .and_then(|_| self.file.write_all(&bytes))
            .and_then(|()| self.file.sync_data());
        if let Err(e) = written {
            self.broken = self.file.set_len(end).is_err();
            return Err(failed(&e));
        }
        self.length = end + bytes.len() as u64;
        Ok(())
    }
}

/// Header and entries of the whole lines, and how many bytes these are; else the first line that is wrong.
#[allow(clippy::type_complexity)]
fn parse(bytes: &[u8]) -> Result<(Option<(Header, Vec<Entry>)>, usize), usize> {
    let whole = bytes
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |at| at + 1);
    let mut lines = bytes[..whole].split_inclusive(|b| *b == b'\n');
    let Some(first) = lines.next() else {
        // A header that was cut, or something else without line ends.
        let cut = bytes.is_empty()
            || bytes.starts_with(
                b"{\"version\":"
                    .get(..bytes.len().min(11))
                    .unwrap_or_default(),
            );
        return if cut { Ok((None, 0)) } else { Err(1) };
    };
    let header: Header = serde_json::from_slice(first).map_err(|_| 1usize)?;
    let mut entries = Vec::new();
    for (at, line) in lines.enumerate() {
        entries.push(serde_json::from_slice(line).map_err(|_| at + 2)?);
    }
    Ok((Some((header, entries)), whole))
}
