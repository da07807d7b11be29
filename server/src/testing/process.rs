//! The server as a program of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use simsync_card::ids::{Hash, SubscriberId};
use simsync_protocol::{Client, ServerAddress};
use tempfile::TempDir;

/// `simsync-server serve` on a free port of 127.0.0.1. Killed when dropped.
pub struct ServerProcess {
    program: PathBuf,
    dir: TempDir,
    pin: Hash,
    child: Option<Child>,
    socket: Option<SocketAddr>,
}

impl ServerProcess {
    /// Makes a server for `localhost` by `program init`, and starts it.
    pub fn start(program: impl Into<PathBuf>) -> Self {
        let mut server = Self::init(program);
        server.serve();
        server
    }

    /// Makes a server, does not start it.
    pub fn init(program: impl Into<PathBuf>) -> Self {
        let mut server = Self {
            program: program.into(),
            dir: TempDir::new().unwrap(),
            pin: Hash::ZERO,
            child: None,
            socket: None,
        };
        let out = server.run(&["init", "--name", "localhost", "--listen", "127.0.0.1:0"]);
        server.pin = out["ca_pin"].as_str().unwrap().parse().unwrap();
        server
    }

    /// Starts it (again) and waits until it is ready.
    pub fn serve(&mut self) {
        let mut child = Command::new(&self.program)
            .args(["--json", "--dir"])
            .arg(self.dir())
            .args(["serve", "--open-per-minute", "1000000"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        self.child = Some(child);
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        self.socket = Some(ready["listen"].as_str().unwrap().parse().unwrap());
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM; answers whether it ended well.
    pub fn terminate(&mut self) -> bool {
        let mut child = self.child.take().expect("the server runs");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        child.wait().unwrap().success()
    }

    /// The most memory that it had in RAM so far, in KiB.
    pub fn peak_memory(&self) -> u64 {
        let child = self.child.as_ref().expect("the server runs");
        let path = format!("/proc/{}/status", child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let number = peak.unwrap().split_whitespace().next().unwrap();
        number.parse().unwrap()
    }

    /// The folder that it serves from.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().join("server")
    }

    /// A folder that goes with it.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// Where it listens.
    pub fn socket(&self) -> SocketAddr {
        self.socket.expect("the server was started")
    }

    /// `localhost:PORT`, as a card would carry it.
    pub fn address(&self) -> ServerAddress {
        ServerAddress::new("localhost", self.socket().port()).unwrap()
    }

    /// Fingerprint of its CA, as `init` printed it.
    pub fn ca_pin(&self) -> Hash {
        self.pin
    }

    /// A new client with its address and CA, which connects to its socket.
    pub fn client(&self) -> Client {
        Client::new(self.address(), self.pin).with_socket(self.socket())
    }

    /// Runs a command on its folder, whatever comes of it.
    pub fn output(&self, args: &[&str]) -> Output {
        Command::new(&self.program)
            .args(["--json", "--dir"])
            .arg(self.dir())
            .args(args)
            .output()
            .unwrap()
    }

    /// Runs a command that must succeed; answers its JSON.
    pub fn run(&self, args: &[&str]) -> serde_json::Value {
        let out = self.output(args);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            out.status.success(),
            "{args:?}: {text} {}",
            String::from_utf8_lossy(&out.stderr)
        );
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["schema_version"], 1);
        json
    }

    /// A new subscriber and its enrolment code.
    pub fn add_subscriber(&self, label: &str) -> (SubscriberId, String) {
        let out = self.run(&["subscriber", "add", "--label", label]);
        let text = |name: &str| out[name].as_str().unwrap().to_owned();
        (text("subscriber").parse().unwrap(), text("code"))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
