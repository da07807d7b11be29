//! A terminal: a reader with a pcscd of its own, a session bus, the daemon; driven by the command-line tool as a person
//! would.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use rustix::pipe::PipeFlags;
use serde_json::Value;

use super::server::HOST;
use super::{
    DEADLINE, Guarded, PinPad, Proxy, Result, Server, monitor, program, repository, wait_for,
};

/// Secrets that a command is given or gives, by option.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// Read by the command.
    pub given: Vec<(&'static str, String)>,
    /// Written by the command.
    pub taken: Vec<&'static str>,
}

impl Secrets {
    /// One that the command reads from `option`.
    pub fn give(option: &'static str, secret: &str) -> Self {
        Self::default().and(option, secret)
    }

    /// One more that the command reads, from `option`.
    #[must_use]
    pub fn and(mut self, option: &'static str, secret: &str) -> Self {
        self.given.push((option, secret.to_owned()));
        self
    }

    /// One that the command writes.
    #[must_use]
    pub fn take(mut self, option: &'static str) -> Self {
        self.taken.push(option);
        self
    }
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct CliResult {
    /// Exit code.
    pub code: i32,
    /// Its JSON (the last object, if there were several).
    pub json: Value,
    /// Standard error.
    pub stderr: String,
    /// Secrets that it wrote, by option.
    pub secrets: BTreeMap<&'static str, String>,
}

impl CliResult {
    /// An error unless it ended well.
    pub fn ok(self, what: &str) -> Result<Self> {
        if self.code == 0 {
            Ok(self)
        } else {
            Err(format!(
                "{what}: exit code {}: {} {}",
                self.code,
                self.stderr.trim(),
                self.json
            ))
        }
    }
}

/// What kind of reader a terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReaderKind {
    /// Without keys.
    Plain,
    /// With keys: a PIN can be typed on it.
    PinPad,
}

/// A terminal: a mount namespace with readers, pcscd, bus, daemon and wire of its own.
pub struct Terminal {
    /// Its name and label.
    pub name: String,
    /// Port of its first reader.
    pub port: u16,
    /// The daemon's folder.
    pub home: PathBuf,
    /// Folder for collections.
    pub data: PathBuf,
    /// The wire to the server.
    pub wire: Proxy,
    host: u8,
    /// The keys of its reader, if it has any.
    pub pad: Option<PinPad>,
    /// Whether the daemon is started without any capability, as a plain user's is: with them no permission stops it.
    pub plain_user: bool,
    dir: PathBuf,
    /// Keeps the mount namespace, which outlives a pcscd.
    namespace: Guarded,
    pcscd: Option<Guarded>,
    _bus: Guarded,
    daemon: Option<Guarded>,
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

fn driver() -> Result<PathBuf> {
    let root = repository().join("target/vpcd");
    let dir = root.join("usr/lib/pcsc/drivers/serial");
    let found = std::fs::read_dir(&dir)
        .map_err(|_| {
            format!(
                "the virtual reader's driver is not in {}: run `make setup` first",
                dir.display()
            )
        })?
        .flatten()
        .map(|e| e.path())
        .find(|p| p.to_string_lossy().contains("libifdvpcd.so"));
    found.ok_or_else(|| "the virtual reader's driver is missing: run `make setup` first".to_owned())
}

const BUS_CONFIG: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=@PATH@</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

impl Terminal {
    /// A wire to where the server is now.
    pub fn wire_to(&mut self, server: &Server) -> Result<()> {
        self.wire = Proxy::start(self.host, server.public_port, server.port)?;
        Ok(())
    }

    /// Starts reader, bus and daemon.
    pub fn start(
        rig: &Path,
        (name, settings): (&str, &Value),
        reader: ReaderKind,
        (port, host): (u16, u8),
        server: &Server,
    ) -> Result<Self> {
        let dir = rig.join(name);
        let (home, data, readers) = (dir.join("home"), dir.join("data"), dir.join("readers"));
        for d in [&home, &data, &readers] {
            std::fs::create_dir_all(d).map_err(|e| format!("{}: {e}", d.display()))?;
        }
        let (device, driver, pad) = match reader {
            ReaderKind::Plain => (Path::new("/dev/null").to_owned(), driver()?, None),
            ReaderKind::PinPad => {
                let pad = PinPad::prepare(&dir)?;
                (pad.folder().to_owned(), PinPad::driver()?, Some(pad))
            }
        };
        let reader = format!(
            "FRIENDLYNAME \"Terminal {name}\"\nDEVICENAME {}:{port:#x}\nLIBPATH {}\nCHANNELID {port:#x}\n",
            device.display(),
            driver.display()
        );
        write(&readers.join("reader.conf"), &reader)?;
        write(
            &dir.join("hosts"),
            &format!("127.0.0.1 localhost\n127.0.0.{host} {HOST}\n"),
        )?;
        write(
            &dir.join("bus.conf"),
            &BUS_CONFIG.replace("@PATH@", &dir.join("bus").to_string_lossy()),
        )?;
        let wire = Proxy::start(host, server.public_port, server.port)?;

        let ready = dir.join("namespace");
        let mut namespace = Command::new("unshare");
        namespace.args(["-m", "sh", "-c"]).arg(
            "mount -t tmpfs tmpfs /run && mkdir -p /run/pcscd && mount --bind \"$1\" /etc/hosts \
             && : > \"$2\" && exec sleep infinity",
        );
        namespace
            .arg("sh")
            .arg(dir.join("hosts"))
            .arg(&ready)
            .stdin(Stdio::null());
        let namespace = Guarded::start("the namespace", namespace, &dir.join("pcscd.log"))?;
        wait_for("the namespace", DEADLINE, || ready.exists().then_some(()))?;

        let mut bus = Command::new("dbus-daemon");
        bus.arg("--nofork")
            .arg("--nopidfile")
            .arg("--config-file")
            .arg(dir.join("bus.conf"))
            .stdin(Stdio::null());
        let bus = Guarded::start("dbus-daemon", bus, &dir.join("bus.log"))?;
        let socket = dir.join("bus");
        wait_for("the bus", DEADLINE, || socket.exists().then_some(()))?;
        std::fs::create_dir_all(home.join("config")).map_err(|e| e.to_string())?;
        let mut terminal = Self {
            name: name.to_owned(),
            port,
            home,
            data,
            wire,
            host,
            pad,
            plain_user: false,
            dir,
            namespace,
            pcscd: None,
            _bus: bus,
            daemon: None,
        };
        terminal.start_pcscd()?;
        terminal.configure(settings)?;
        terminal.start_daemon()?;
        Ok(terminal)
    }

    /// Sets the daemon's configuration; counts from its next start.
    pub fn configure(&self, settings: &Value) -> Result<()> {
        let mut all =
            serde_json::json!({ "version": 1, "label": self.name, "change_delay_ms": 200 });
        if let (Some(a), Some(s)) = (all.as_object_mut(), settings.as_object()) {
            a.extend(s.clone());
        }
        write(&self.home.join("config/config.json"), &all.to_string())
    }

    /// Starts pcscd with this terminal's readers, and waits for its socket.
    pub fn start_pcscd(&mut self) -> Result<()> {
        let mut pcscd = self.inside(Path::new("pcscd"));
        pcscd
            .args(["--foreground", "--config"])
            .arg(self.dir.join("readers"))
            .stdin(Stdio::null());
        let run = format!("/proc/{}/root/run/pcscd", self.namespace.pid());
        let socket = Path::new(&run).join("pcscd.comm");
        // One that was killed leaves its socket behind.
        let _ = std::fs::remove_file(&socket);
        self.pcscd = Some(Guarded::start("pcscd", pcscd, &self.dir.join("pcscd.log"))?);
        wait_for("pcscd", DEADLINE, || socket.exists().then_some(()))
    }

    /// Ends pcscd with kill -9; a card that is in loses its reader.
    pub fn kill_pcscd(&mut self) {
        if let Some(mut p) = self.pcscd.take() {
            p.kill();
        }
    }

    /// Starts the daemon and waits until it answers.
    pub fn start_daemon(&mut self) -> Result<()> {
        let daemon = program("simsyncd")?;
        let mut command = if self.plain_user {
            let mut command = self.inside(Path::new("setpriv"));
            command
                .args(["--bounding-set=-all", "--inh-caps=-all"])
                .arg(daemon);
            command
        } else {
            self.inside(&daemon)
        };
        command
            .arg("--home")
            .arg(&self.home)
            .arg("--bus")
            .arg(self.bus_address())
            .args(["--log", "info,simsyncd=debug"])
            // Services of the system, where a test has any, are on the terminal's own bus.
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.bus_address())
            .stdin(Stdio::null());
        self.daemon = Some(Guarded::start(
            "simsyncd",
            command,
            &self.dir.join("daemon.log"),
        )?);
        wait_for("the daemon", DEADLINE, || self.status().ok()).map(|_| ())
    }

    /// SIGTERM, and waits.
    pub fn stop_daemon(&mut self) -> Result<()> {
        match self.daemon.take() {
            Some(mut d) => d.terminate(),
            None => Ok(()),
        }
    }

    /// Ends the daemon at once (SIGKILL) and waits.
    pub fn kill_daemon(&mut self) {
        if let Some(mut d) = self.daemon.take() {
            d.kill();
        }
    }

    /// The daemon's process ID.
    pub fn daemon_pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Guarded::pid)
    }

    /// What the daemon logged.
    pub fn daemon_log(&self) -> String {
        std::fs::read_to_string(self.dir.join("daemon.log")).unwrap_or_default()
    }

    /// A D-Bus address.
    pub fn bus_address(&self) -> String {
        format!("unix:path={}", self.dir.join("bus").display())
    }

    /// A command in this terminal's mount namespace: it sees its pcscd and its host names.
    pub fn inside(&self, program: &Path) -> Command {
        let mut c = Command::new("nsenter");
        c.arg(format!("--mount=/proc/{}/ns/mnt", self.namespace.pid()))
            .arg("--")
            .arg(program);
        c
    }

    /// `simsync …`, with `--json`.
    pub fn simsync(&self, args: &[&str], secrets: &Secrets) -> Result<CliResult> {
        let mut command = Command::new(program("simsync")?);
        command
            .arg("--bus")
            .arg(self.bus_address())
            .arg("--json")
            .args(args);
        // Nothing waits for ever, not even for a card.
        if !args.contains(&"--timeout") {
            command.args(["--timeout", "90"]);
        }
        run(command, secrets)
    }

    /// `simsync-card …`, with `--json`.
    pub fn card_tool(&self, args: &[&str], secrets: &Secrets) -> Result<CliResult> {
        let mut command = self.inside(&program("simsync-card")?);
        command.arg("--json").args(args);
        run(command, secrets)
    }

    /// Starts `simsync-card …`, with `--json` and a pipe for its output; what it says on standard error goes to a file.
    pub fn start_card_tool(&self, args: &[&str], secrets: &Secrets, log: &Path) -> Result<Guarded> {
        let mut command = self.inside(&program("simsync-card")?);
        command.arg("--json").args(args);
        let mut mappings = Vec::new();
        give(&mut command, secrets, &mut mappings)?;
        command.fd_mappings(mappings).map_err(|e| e.to_string())?;
        let log = File::options().create(true).append(true).open(log);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.map_err(|e| e.to_string())?);
        Guarded::spawn("simsync-card", command)
    }

    /// `simsync status`.
    pub fn status(&self) -> Result<Value> {
        let r = self
            .simsync(&["status"], &Secrets::default())?
            .ok("simsync status")?;
        let nested = r.json.get("status").filter(|s| s.is_object()).cloned();
        Ok(nested.unwrap_or(r.json))
    }

    /// Waits until the status is such that `condition` holds; `what` says in an error what was waited for.
    pub fn wait_status(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Result<Value> {
        self.wait_status_for(what, DEADLINE, condition)
    }

    /// Waits for a status, with a deadline of its own.
    pub fn wait_status_for(
        &self,
        what: &str,
        deadline: Duration,
        condition: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = Value::Null;
        let found = monitor::follow(&self.bus_address(), deadline, |s| {
            last = s.clone();
            condition(s)
        });
        let found = match found {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(format!(
                "waited {} s in vain: {what} on {}",
                deadline.as_secs(),
                self.name
            )),
            Err(e) => Err(e),
        };
        found.map_err(|e| {
            let log = self.daemon_log();
            let tail: Vec<&str> = log.lines().rev().take(25).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            format!(
                "{e}\nlast status: {last}\nlast lines of its log:\n{}",
                tail.join("\n")
            )
        })
    }

    /// Waits until one of these states is reached.
    pub fn wait_state(&self, states: &[&str]) -> Result<Value> {
        self.wait_status(&format!("state {}", states.join(" or ")), |s| {
            s["state"].as_str().is_some_and(|now| states.contains(&now))
        })
    }
}

/// The time that a mark of a status holds, in milliseconds since 1970.
pub fn mark(status: &Value, name: &str) -> Option<i64> {
    status["marks"][name].as_i64()
}

/// For one program: any other that is started meanwhile would keep it open.
fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| e.to_string())
}

/// The first descriptor that secrets are given on.
const FIRST_FD: i32 = 10;

/// Puts secrets on descriptors from [`FIRST_FD`] on.
fn give(command: &mut Command, secrets: &Secrets, mappings: &mut Vec<FdMapping>) -> Result<()> {
    for (child_fd, (option, secret)) in (FIRST_FD..).zip(&secrets.given) {
        let (read, write) = pipe()?;
        // Short enough for the pipe's own buffer.
        File::from(write)
            .write_all(format!("{secret}\n").as_bytes())
            .map_err(|e| e.to_string())?;
        command.arg(option).arg(child_fd.to_string());
        mappings.push(FdMapping {
            parent_fd: read,
            child_fd,
        });
    }
    Ok(())
}

/// Runs a command with secrets on descriptors, and reads those that it writes.
fn run(mut command: Command, secrets: &Secrets) -> Result<CliResult> {
    let io = |e: std::io::Error| e.to_string();
    let mut mappings = Vec::new();
    let mut readers: Vec<(&'static str, OwnedFd)> = Vec::new();
    give(&mut command, secrets, &mut mappings)?;
    let free = (FIRST_FD..).skip(secrets.given.len());
    for (child_fd, option) in free.zip(&secrets.taken) {
        let (read, write) = pipe()?;
        command.arg(option).arg(child_fd.to_string());
        mappings.push(FdMapping {
            parent_fd: write,
            child_fd,
        });
        readers.push((option, read));
    }
    command.fd_mappings(mappings).map_err(|e| e.to_string())?;
    command.stdin(Stdio::null());
    let out = command.output().map_err(io)?;
    // The command holds the write ends, which are to be closed before the other ends are read to their end.
    drop(command);
    let mut taken = BTreeMap::new();
    for (option, fd) in readers {
        let mut text = String::new();
        File::from(fd).read_to_string(&mut text).map_err(io)?;
        taken.insert(option, text.trim_end().to_owned());
    }
    let text = String::from_utf8_lossy(&out.stdout);
    let json = text
        .lines()
        .rev()
        .find_map(|l| serde_json::from_str(l).ok());
    let json = json
        .or_else(|| serde_json::from_str(&text).ok())
        .unwrap_or(Value::Null);
    Ok(CliResult {
        code: out.status.code().unwrap_or(-1),
        json,
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        secrets: taken,
    })
}
