//! Child processes that end when their owner does.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Result;

/// A child process; ended by its own process ID when dropped.
pub struct Guarded {
    name: String,
    child: Child,
}

impl Guarded {
    /// Starts `command` with its output in a file.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let out = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(|e| format!("{}: {e}", log.display()))?;
        let err = out.try_clone().map_err(|e| e.to_string())?;
        command.stdout(Stdio::from(out)).stderr(Stdio::from(err));
        Self::spawn(name, command)
    }

    /// Starts `command` as it is.
    pub fn spawn(name: &str, mut command: Command) -> Result<Self> {
        let child = command
            .spawn()
            .map_err(|e| format!("{name} cannot be started: {e}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
        })
    }

    /// Its process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, if it was piped.
    pub fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// Its standard output, if it was piped.
    pub fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it in good order and waits.
    pub fn terminate(&mut self) -> Result<()> {
        self.signal(rustix::process::Signal::TERM)?;
        super::wait_for(
            &format!("the end of {}", self.name),
            super::DEADLINE,
            || (!self.is_running()).then_some(()),
        )
    }

    /// Ends it at once (kill -9) and waits.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it where it stands, or lets it go on.
    pub fn hang(&self, hangs: bool) -> Result<()> {
        use rustix::process::Signal;
        self.signal(if hangs { Signal::STOP } else { Signal::CONT })
    }

    fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let pid = i32::try_from(self.pid())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or("no process ID")?;
        rustix::process::kill_process(pid, signal).map_err(|e| format!("{}: {e}", self.name))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}
