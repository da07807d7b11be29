//! The person at the terminal: hidden input, plain input, and things that are shown once.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// Longest line that is read, in bytes.
const LINE_MAX: usize = 256;
/// How long one wait lasts before it is looked whether the answer is still wanted.
const SLICE_NS: i64 = 100_000_000;

/// A text that is wiped when it is dropped.
pub type Secret = Zeroizing<String>;

/// A terminal that somebody sits at.
pub struct Tty {
    file: File,
    cancelled: Arc<AtomicBool>,
}

/// Puts the terminal back as it was, however the reading ends.
struct Quiet<'a> {
    file: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn new(file: &'a File) -> std::io::Result<Self> {
        let before = tcgetattr(file)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        quiet
            .local_modes
            .insert(LocalModes::ECHONL | LocalModes::ICANON);
        tcsetattr(file, OptionalActions::Flush, &quiet)?;
        Ok(Self { file, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to put back.
        let _ = tcsetattr(self.file, OptionalActions::Now, &self.before);
    }
}

impl Tty {
    /// The terminal of this process, if somebody sits there: scripts send standard error elsewhere.
    pub fn open(cancelled: Arc<AtomicBool>) -> Option<Self> {
        if !std::io::stderr().is_terminal() {
            return None;
        }
        let file = File::options()
            .read(true)
            .write(true)
            .open("/dev/tty")
            .ok()?;
        Some(Self { file, cancelled })
    }

    /// A terminal that is open already.
    pub fn of(file: File, cancelled: Arc<AtomicBool>) -> Self {
        Self { file, cancelled }
    }

    /// Says something.
    pub fn say(&self, text: &str) {
        // A terminal that is gone is seen at the next reading.
        let _ = (&self.file).write_all(text.as_bytes());
    }

    /// Reads a line that is not shown; none if it was cancelled or the input ended.
    pub fn hidden(&self, prompt: &str) -> Option<Secret> {
        let _quiet = Quiet::new(&self.file).ok()?;
        self.say(prompt);
        self.line()
    }

    /// Reads a line that is shown.
    pub fn shown(&self, prompt: &str) -> Option<Secret> {
        self.say(prompt);
        self.line()
    }

    /// Whether the person says yes.
    pub fn confirm(&self, question: &str) -> bool {
        self.shown(&format!("{question} [y/N] "))
            .is_some_and(|a| matches!(a.trim(), "y" | "Y" | "yes" | "Yes"))
    }

    fn line(&self) -> Option<Secret> {
        let mut buffer = Zeroizing::new([0u8; LINE_MAX]);
        let mut filled = 0;
        while filled < LINE_MAX {
            self.wait()?;
            let read = (&self.file).read(&mut buffer[filled..]).ok()?;
            if read == 0 {
                return None;
            }
            filled += read;
            if buffer[filled - 1] == b'\n' {
                let text = std::str::from_utf8(&buffer[..filled - 1]).ok()?;
                return Some(Zeroizing::new(text.trim_end_matches('\r').to_owned()));
            }
        }
        None
    }

    fn wait(&self) -> Option<()> {
        loop {
            if self.cancelled.load(Ordering::Relaxed) {
                return None;
            }
            let slice = Timespec {
                tv_sec: 0,
                tv_nsec: SLICE_NS,
            };
            let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut fds, Some(&slice)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Some(()),
                Err(_) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    /// Both ends of a terminal: ours, and the one that a person types at.
    fn terminal() -> (Tty, File) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        (Tty::of(slave, Arc::default()), File::from(master))
    }

    fn read_until(master: &mut File, end: &str) -> String {
        let mut seen = Vec::new();
        let mut byte = [0];
        while !String::from_utf8_lossy(&seen).contains(end) {
            master.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
        String::from_utf8(seen).unwrap()
    }

    #[test]
    fn what_is_hidden_is_not_echoed_and_echo_comes_back() {
        let (tty, mut master) = terminal();
        let reader = std::thread::spawn(move || {
            let hidden = tty.hidden("PIN: ").unwrap();
            let yes = tty.confirm("Go on?");
            (hidden, yes)
        });
        read_until(&mut master, "PIN: ");
        master.write_all(b"4711\n").unwrap();
        let between = read_until(&mut master, "[y/N] ");
        assert!(!between.contains("4711"), "{between}");
        master.write_all(b"y\n").unwrap();
        let echoed = read_until(&mut master, "\n");
        assert!(echoed.contains('y'), "{echoed}");
        let (hidden, yes) = reader.join().unwrap();
        assert_eq!(*hidden, "4711");
        assert!(yes);
    }

    #[test]
    fn a_prompt_that_is_cancelled_ends() {
        let (tty, mut master) = terminal();
        let cancelled = tty.cancelled.clone();
        let reader = std::thread::spawn(move || tty.hidden("PIN: "));
        read_until(&mut master, "PIN: ");
        cancelled.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap().is_none());
    }
}
