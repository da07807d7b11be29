//! The companion server.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::Value;

use super::{Guarded, Result, program};

/// The name under which terminals know the server; each resolves it to an address of its own.
pub const HOST: &str = "server.simsync.test";

/// A running server.
pub struct Server {
    /// The folder that it serves; `Self::move_away` changes it.
    pub dir: PathBuf,
    /// The port on which it really listens, on 127.0.0.1.
    pub port: u16,
    /// The port that cards and terminals are told; a proxy of each terminal leads from it to [`Self::port`].
    pub public_port: u16,
    /// Fingerprint of its CA, in hex, as `init` printed it.
    pub ca_pin: String,
    process: Option<Guarded>,
    log: PathBuf,
}

/// What an operator hands to the desk.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// Subscriber ID.
    pub subscriber: String,
    /// Enrolment code.
    pub code: String,
}

/// Ports for servers lie below those that the system gives to outgoing connections: one of these could take a port between the
/// look here and the start of the server. Those of virtual readers lie above.
const PORTS: std::ops::Range<u16> = 10_000..19_000;

/// A port that nobody listens on and nobody else of this process was given.
fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(PORTS.start);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if !PORTS.contains(&port) {
            return Err("there are no more ports for servers".to_owned());
        }
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
}

impl Server {
    /// Makes and starts one below `dir`.
    pub fn start(dir: &Path, public_port: u16) -> Result<Self> {
        let folder = dir.join("server");
        let port = free_port()?;
        let mut server = Self {
            dir: folder,
            port,
            public_port,
            ca_pin: String::new(),
            process: None,
            log: dir.join("server.log"),
        };
        let listen = format!("127.0.0.1:{port}");
        let made = server.admin(&["init", "--name", HOST, "--listen", &listen])?;
        server.ca_pin = made["ca_pin"]
            .as_str()
            .ok_or("init printed no CA pin")?
            .to_owned();
        server.serve()?;
        Ok(server)
    }

    /// Its process ID, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Guarded::pid)
    }

    /// The operator moves it: stopped, its folder copied, and served from there on another port. Terminals need a wire to it.
    pub fn move_away(&mut self, public_port: u16) -> Result<()> {
        self.stop()?;
        let folder = self.dir.with_extension(public_port.to_string());
        let copied = Command::new("cp")
            .arg("-a")
            .arg(&self.dir)
            .arg(&folder)
            .status();
        if !copied.map_err(|e| e.to_string())?.success() {
            return Err("the server's folder cannot be copied".to_owned());
        }
        self.dir = folder;
        self.port = free_port()?;
        self.public_port = public_port;
        let listen = format!("127.0.0.1:{}", self.port);
        self.admin(&["move", "arrive", "--name", HOST, "--listen", &listen])?;
        self.serve()
    }

    /// Starts serving; answers when it is ready.
    pub fn serve(&mut self) -> Result<()> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(|e| e.to_string())?;
        let mut command = Command::new(program("simsync-server")?);
        command
            .arg("--dir")
            .arg(&self.dir)
            .args([
                "serve",
                "--open-per-minute",
                "10000",
                "--connections-per-address",
                "1000",
            ])
            .env("SIMSYNC_LOG", "info,simsync_server=debug")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut process = Guarded::spawn("simsync-server", command)?;
        let out = process.stdout().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(out)
            .read_line(&mut line)
            .map_err(|e| e.to_string())?;
        if !line.contains("ready") {
            return Err(format!(
                "the server did not start: {line}; see {}",
                self.log.display()
            ));
        }
        self.process = Some(process);
        Ok(())
    }

    /// Ends it at once (SIGKILL) and waits.
    pub fn kill(&mut self) {
        if let Some(mut p) = self.process.take() {
            p.kill();
        }
    }

    /// It hangs (SIGSTOP): connections stay, and nothing is answered. Or goes on (SIGCONT).
    pub fn hang(&self, hangs: bool) -> Result<()> {
        match &self.process {
            Some(p) => p.hang(hangs),
            None => Err("no server runs".to_owned()),
        }
    }

    /// SIGTERM, and waits.
    pub fn stop(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut p) => p.terminate(),
            None => Ok(()),
        }
    }

    /// An operator's command; its JSON.
    pub fn admin(&self, args: &[&str]) -> Result<Value> {
        let out = Command::new(program("simsync-server")?)
            .arg("--dir")
            .arg(&self.dir)
            .arg("--json")
            .args(args)
            .output()
            .map_err(|e| e.to_string())?;
        if !out.status.success() {
            return Err(format!(
                "simsync-server {}: {}",
                args.join(" "),
                String::from_utf8_lossy(&out.stderr)
            ));
        }
        serde_json::from_slice(&out.stdout)
            .map_err(|e| format!("simsync-server {}: {e}", args.join(" ")))
    }

    /// Adds a subscriber.
    pub fn subscriber(&self, label: &str) -> Result<Enrolment> {
        let v = self.admin(&["subscriber", "add", "--label", label])?;
        let text = |key: &str| {
            v[key]
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| format!("no {key} in {v}"))
        };
        Ok(Enrolment {
            subscriber: text("subscriber")?,
            code: text("code")?,
        })
    }

    /// How often this path was asked for since the beginning, whatever was answered: one line of the log each. A path that
    /// ends with `/` stands for every path below it.
    pub fn requests(&self, path: &str) -> usize {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let end = if path.ends_with('/') { "" } else { "\"" };
        let word = format!("path=\"{path}{end}");
        log.lines().filter(|l| l.contains(&word)).count()
    }

    /// Number of packs that are durable here.
    pub fn packs(&self) -> usize {
        packs_below(&self.dir)
    }
}

/// Number of packs that are durable in a server's folder.
pub fn packs_below(server: &Path) -> usize {
    let Ok(subscribers) = std::fs::read_dir(server.join("blobs/packs")) else {
        return 0;
    };
    subscribers
        .flatten()
        .filter_map(|s| std::fs::read_dir(s.path()).ok())
        .map(Iterator::count)
        .sum()
}
