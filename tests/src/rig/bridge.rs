//! The bridge: cards in jCardSim, put into virtual readers.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{DEADLINE, Guarded, Reader, Result, repository, wait_for};

/// How long a card may go unseen before it is put in once more.
const BLIND_AFTER: Duration = Duration::from_secs(12);
/// How often that is done.
const PATIENCE: u32 = 5;

/// What a card was asked since the last reset of the counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CardStats {
    /// Commands (APDUs) to it.
    pub apdus: u64,
    /// Bytes in both directions.
    pub bytes: u64,
}

/// A running bridge.
pub struct Bridge {
    control: BufReader<UnixStream>,
    _process: Guarded,
}

impl Bridge {
    /// Starts it with its control socket below `dir`.
    pub fn start(dir: &Path) -> Result<Self> {
        let jar = repository().join("javacard-applet/target/simsync-bridge.jar");
        if !jar.is_file() {
            return Err("the bridge is not built: run `make build` first".to_owned());
        }
        let socket = dir.join("bridge");
        let mut command = Command::new("java");
        command
            .args([
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-Xshare:auto",
                "-jar",
            ])
            .arg(&jar)
            .arg("--control")
            .arg(&socket)
            .stdin(Stdio::null());
        let process = Guarded::start("the bridge", command, &dir.join("bridge.log"))?;
        let stream = wait_for("the bridge's socket", DEADLINE, || {
            UnixStream::connect(&socket).ok()
        })?;
        stream
            .set_read_timeout(Some(Duration::from_secs(90)))
            .map_err(|e| e.to_string())?;
        Ok(Self {
            control: BufReader::new(stream),
            _process: process,
        })
    }

    /// One request of the control protocol; the reply without its `ok`.
    pub fn call(&mut self, request: &str) -> Result<String> {
        let io = |e: std::io::Error| format!("the bridge: {e}");
        writeln!(self.control.get_mut(), "{request}").map_err(io)?;
        let mut line = String::new();
        self.control.read_line(&mut line).map_err(io)?;
        match line.trim_end().strip_prefix("ok") {
            Some(rest) => Ok(rest.trim().to_owned()),
            None => Err(format!(
                "the bridge, asked to {request}: {}",
                line.trim_end()
            )),
        }
    }

    /// A new card; answers its transport secret.
    pub fn blank(&mut self, name: &str) -> Result<String> {
        let secret: String = (0..16)
            .map(|_| format!("{:02x}", rand::random::<u8>()))
            .collect();
        self.call(&format!("blank {name} {secret}"))?;
        Ok(secret)
    }

    /// Puts a card into the reader at a port; the port may need a moment after pcscd's start.
    pub fn insert(&mut self, name: &str, port: u16) -> Result<()> {
        let mut why = String::new();
        let done = wait_for(
            &format!("{name} in the reader at port {port}"),
            DEADLINE,
            || match self.call(&format!("insert {name} {port}")) {
                Ok(_) => Some(()),
                Err(e) => {
                    why = e;
                    None
                }
            },
        );
        done.map_err(|e| format!("{e}: {why}"))
    }

    /// Puts a card in until it is seen: pcscd 1.9.9 can lose sight of one that comes just after another one went, and
    /// then says "empty" while its driver talks to the card. A person puts it in once more.
    pub fn insert_until<T>(
        &mut self,
        name: &str,
        port: u16,
        mut seen: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        for _ in 0..PATIENCE {
            self.insert(name, port)?;
            if let Ok(found) = wait_for("a card that is seen", BLIND_AFTER, &mut seen) {
                return Ok(found);
            }
            self.eject(name)?;
        }
        Err(format!("{name} is not seen at port {port}"))
    }

    /// Puts a card into a reader that is the caller; it is out again when that is dropped.
    pub fn lend(&mut self, name: &str) -> Result<Reader> {
        Reader::receive(|port| self.insert(name, port))
    }

    /// Takes a card out, whatever it is doing.
    pub fn eject(&mut self, name: &str) -> Result<()> {
        self.call(&format!("eject {name}")).map(|_| ())
    }

    /// Takes a card out that may be out already: a yank that was asked for can come at any moment, also between two questions.
    pub fn take_out(&mut self, name: &str) -> Result<()> {
        match self.eject(name) {
            Err(why) if self.is_in(name)? => Err(why),
            _ => Ok(()),
        }
    }

    /// The cards that are in a reader, and its port.
    pub fn inserted(&mut self) -> Result<Vec<(String, u16)>> {
        let line = self.call("cards")?;
        let cards = line.split_whitespace().filter_map(|c| {
            let mut parts = c.split(':');
            let name = parts.next()?;
            Some((name.to_owned(), parts.next()?.parse().ok()?))
        });
        Ok(cards.collect())
    }

    /// Whether a card is in a reader.
    pub fn is_in(&mut self, name: &str) -> Result<bool> {
        let line = self.call("cards")?;
        let mut cards = line.split_whitespace().map(|c| c.split(':'));
        let found = cards.find_map(|mut c| (c.next() == Some(name)).then(|| c.next() != Some("-")));
        found.ok_or_else(|| format!("no card {name} in {line:?}"))
    }

    /// Begins counting anew.
    pub fn reset_stats(&mut self, name: &str) -> Result<()> {
        self.call(&format!("stats-reset {name}")).map(|_| ())
    }

    /// What the card was asked.
    pub fn stats(&mut self, name: &str) -> Result<CardStats> {
        let line = self.call(&format!("stats {name}"))?;
        let value = |key: &str| {
            line.split_whitespace()
                .find_map(|w| w.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
                .ok_or_else(|| format!("no {key} in {line:?}"))
        };
        Ok(CardStats {
            apdus: value("apdus")?,
            bytes: value("bytes")?,
        })
    }
}
