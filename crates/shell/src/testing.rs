//! Somebody who sits at a real shell with job control, on a pseudo-terminal.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a failed test is told by its panic"
)]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(60);
/// What the shell says when it is ready.
pub const READY: &str = "ready% ";

/// Somebody at a shell.
pub struct AtShell {
    shell: Child,
    keys: File,
    screen: mpsc::Receiver<Vec<u8>>,
    seen: String,
}

impl AtShell {
    /// Starts the shell, with more in its environment, and waits until it is ready.
    pub fn new(environment: &[(&str, &OsStr)]) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = || {
            let opened = File::options()
                .read(true)
                .write(true)
                .open(name.to_str().unwrap());
            Stdio::from(opened.unwrap())
        };
        let shell = Command::new("setsid")
            .args(["--ctty", "--wait", "sh", "-i"])
            .env("PS1", READY)
            .env("ENV", "/dev/null")
            .envs(environment.iter().copied())
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .unwrap();
        let keys = File::from(master);
        let mut screen = keys.try_clone().unwrap();
        let (tell, seen) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n) = screen.read(&mut buffer) {
                if n == 0 || tell.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut person = Self {
            shell,
            keys,
            screen: seen,
            seen: String::new(),
        };
        person.sees(READY);
        person
    }

    /// Types; a line ends with a line break.
    pub fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for a text, and answers all that was shown up to it.
    pub fn sees(&mut self, text: &str) -> String {
        let until = Instant::now() + DEADLINE;
        while !self.seen.contains(text) {
            let left = until.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(more) => self.seen.push_str(&String::from_utf8_lossy(&more)),
                Err(_) => panic!("not seen: {text}; only {:?}", self.seen),
            }
        }
        let end = self.seen.find(text).unwrap() + text.len();
        let rest = self.seen.split_off(end);
        std::mem::replace(&mut self.seen, rest)
    }

    /// Waits for something that is not shown.
    pub fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let until = Instant::now() + DEADLINE;
        while !is_so(self) {
            assert!(Instant::now() < until, "waited in vain for {what}");
            std::thread::park_timeout(Duration::from_millis(4));
        }
    }

    /// Whether the emulator shows what is typed.
    pub fn echoes(&self) -> bool {
        // The master's attributes are the slave's.
        let now = tcgetattr(&self.keys).unwrap();
        now.local_modes.contains(LocalModes::ECHO)
    }

    /// Ends the shell, and waits.
    pub fn leaves(mut self) {
        self.types("exit\nexit\n");
        self.shell.wait().unwrap();
    }
}

impl Drop for AtShell {
    fn drop(&mut self) {
        // One that left has ended already; else its terminal is gone with us, and so is it.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
