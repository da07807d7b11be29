//! One rig: a server, a bridge with cards, terminals.

mod bridge;
mod modem;
mod monitor;
mod other;
mod pinpad;
mod process;
mod proxy;
mod reader;
mod relay;
mod server;
mod terminal;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use bridge::{Bridge, CardStats};
pub use modem::{Manner, Modem};
pub use other::Other;
pub use pinpad::{Finger, PinPad};
pub use process::Guarded;
pub use proxy::Proxy;
pub use reader::Reader;
pub use relay::Relay;
pub use server::{Enrolment, Server, packs_below};
pub use terminal::{CliResult, ReaderKind, Secrets, Terminal, mark};

/// What goes wrong in a rig is told and ends the test.
pub type Result<T> = std::result::Result<T, String>;

/// How long anything may take before it counts as failed.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for a condition, looking often; `what` says what was waited for.
pub fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = condition() {
            return Ok(found);
        }
        if Instant::now() > end {
            return Err(format!("waited {} s in vain: {what}", deadline.as_secs()));
        }
        std::thread::park_timeout(Duration::from_millis(4));
    }
}

/// Root folder of the repository, the parent of this crate's.
pub fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// A program of ours, built beside the running one.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    // target/PROFILE/demo, or target/PROFILE/deps/test-…
    own.ancestors()
        .skip(1)
        .map(|dir| dir.join(name))
        .find(|p| p.is_file())
        .ok_or_else(|| format!("{name} is not built: run `make build` first"))
}

/// Refuses to run where it could touch the machine's own pcscd or network.
pub fn require_namespace() -> Result<()> {
    if std::env::var_os("SIMSYNC_NAMESPACE").is_some() {
        Ok(())
    } else {
        Err(
            "this runs in namespaces of its own: use `make test` or `make demo`, or tests/enter"
                .to_owned(),
        )
    }
}

/// Server, bridge and a folder for everything.
pub struct Rig {
    /// Everything of this rig is below it.
    pub dir: tempfile::TempDir,
    /// The process with the simulated cards.
    pub bridge: Bridge,
    /// The server's process.
    pub server: Server,
    first_channel: u16,
    next_channel: u16,
}

/// Ports of the virtual readers: below those that the kernel gives to outgoing connections (32768 on), since one of
/// these could hold a port just when pcscd wants to listen on it, and pcscd then goes on without the reader.
const FIRST_CHANNEL: u16 = 20_000;
/// Rigs so far: each has ports of its own, since a wire of an earlier one may still listen.
static RIGS: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);

impl Rig {
    /// Starts server and bridge.
    pub fn start() -> Result<Self> {
        Self::start_in(&std::env::temp_dir())
    }

    /// The same, with everything of it below a folder: one on another file system, for example.
    pub fn start_in(folder: &Path) -> Result<Self> {
        require_namespace()?;
        let number = RIGS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let first_channel = FIRST_CHANNEL + 64 * number;
        let mut dir = tempfile::Builder::new()
            .prefix("simsync-")
            .tempdir_in(folder)
            .map_err(|e| e.to_string())?;
        // For whoever wants to read the logs of a failure.
        dir.disable_cleanup(std::env::var_os("SIMSYNC_KEEP").is_some());
        let bridge = Bridge::start(dir.path())?;
        let server = Server::start(dir.path(), 7443 + number)?;
        Ok(Self {
            dir,
            bridge,
            server,
            first_channel,
            next_channel: first_channel,
        })
    }

    /// A new terminal with a reader of its own.
    pub fn terminal(&mut self, name: &str) -> Result<Terminal> {
        self.terminal_with(name, &serde_json::json!({}))
    }

    /// The same, with settings of its own.
    pub fn terminal_with(&mut self, name: &str, settings: &serde_json::Value) -> Result<Terminal> {
        self.terminal_of(name, settings, ReaderKind::Plain)
    }

    /// A terminal whose reader has a PIN pad, with settings of its own.
    pub fn terminal_with_pad(
        &mut self,
        name: &str,
        settings: &serde_json::Value,
    ) -> Result<Terminal> {
        self.terminal_of(name, settings, ReaderKind::PinPad)
    }

    fn terminal_of(
        &mut self,
        name: &str,
        settings: &serde_json::Value,
        reader: ReaderKind,
    ) -> Result<Terminal> {
        let port = self.next_channel;
        self.next_channel += 4;
        let host = 2 + u8::try_from((port - self.first_channel) / 4).unwrap_or(0);
        Terminal::start(
            self.dir.path(),
            (name, settings),
            reader,
            (port, host),
            &self.server,
        )
    }
}
