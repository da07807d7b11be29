//! Who ours is compared with: rsync's daemon on loopback, in the namespace of the rig; and two `tar` with a pipe between them.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use simsync_rig::rig::{DEADLINE, Guarded, Result, wait_for};

use super::measure::settle;

/// A running daemon with one module.
pub struct Rsync {
    port: u16,
    module: PathBuf,
    _process: Guarded,
}

/// rsync as a user without privileges. In a user namespace of its own: as the root of the rig's it would want to change
/// groups, which such namespaces refuse.
fn rsync() -> Command {
    let mut c = Command::new("unshare");
    c.args(["--user", "--map-user=1000", "--map-group=1000", "rsync"]);
    c
}

impl Rsync {
    /// Starts it with its module below `dir`.
    pub fn start(dir: &Path) -> Result<Self> {
        let module = dir.join("module");
        std::fs::create_dir_all(&module).map_err(|e| format!("{}: {e}", module.display()))?;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
        let port = free.local_addr().map_err(|e| e.to_string())?.port();
        drop(free);
        let config = dir.join("rsyncd.conf");
        let text = format!(
            "use chroot = no\nreverse lookup = no\n[bench]\npath = {}\nread only = no\n",
            module.display()
        );
        std::fs::write(&config, text).map_err(|e| format!("{}: {e}", config.display()))?;
        let mut command = rsync();
        command
            .args([
                "--daemon",
                "--no-detach",
                "--address",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--config",
            ])
            .arg(&config)
            .stdin(Stdio::null());
        let mut process = Guarded::start("rsync's daemon", command, &dir.join("rsyncd.log"))?;
        wait_for("rsync's daemon", DEADLINE, || {
            (!process.is_running() || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())
                .then_some(())
        })?;
        if !process.is_running() {
            let log = std::fs::read_to_string(dir.join("rsyncd.log")).unwrap_or_default();
            return Err(format!("rsync's daemon did not start: {log}"));
        }
        Ok(Self {
            port,
            module,
            _process: process,
        })
    }

    fn url(&self, name: &str) -> String {
        format!("rsync://127.0.0.1:{}/bench/{name}/", self.port)
    }

    /// Makes the daemon's copy equal to `from`.
    pub fn push(&self, from: &Path, name: &str) -> Result<()> {
        let from = format!("{}/", from.display());
        call(&["-a", "--delete", &from, &self.url(name)])
    }

    /// Makes `to` equal to the daemon's copy.
    pub fn pull(&self, name: &str, to: &Path) -> Result<()> {
        let to = format!("{}/", to.display());
        call(&["-a", "--delete", &self.url(name), &to])
    }

    /// Where the daemon keeps a copy.
    pub fn copy(&self, name: &str) -> PathBuf {
        self.module.join(name)
    }
}

fn call(args: &[&str]) -> Result<()> {
    let out = rsync()
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("rsync: {e}"))?;
    if out.status.success() {
        return Ok(());
    }
    Err(format!(
        "rsync {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&out.stderr)
    ))
}

/// Copies a folder into another one, and makes it durable: no network, no encryption, nothing remembered.
pub fn tar(from: &Path, to: &Path) -> Result<()> {
    let out = Command::new("sh")
        .args([
            "-ec",
            "tar -c -C \"$1\" . | tar -x --no-same-owner -C \"$2\"",
            "sh",
        ])
        .args([from, to])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("tar: {e}"))?;
    if !out.status.success() {
        let why = String::from_utf8_lossy(&out.stderr);
        return Err(format!("tar: {why}"));
    }
    settle(to)
}
