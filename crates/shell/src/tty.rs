//! Hidden input, plain input, and things that are said once.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::Zeroizing;

use crate::quiet::{Hushed, Quietness, Silence};
use crate::signals::{Asked, Interrupt, Watch};

/// Longest line that is read, in bytes.
const LINE_MAX: usize = 256;
/// How long one wait lasts before it is looked whether the answer is still wanted.
const SLICE_NS: i64 = 100_000_000;

/// A text that is wiped when it is dropped.
pub type Secret = Zeroizing<String>;

/// The terminal emulator that somebody sits at.
pub struct Tty {
    file: Arc<File>,
    cancelled: Arc<AtomicBool>,
    interrupt: Interrupt,
    quietness: Arc<Quietness>,
}

/// The terminal in a prompt's hands. It goes back to whoever kept it quiet before, or as it was.
struct Prompting<'a> {
    tty: &'a Tty,
    hushed: Option<Hushed>,
    is_kept: bool,
}

impl<'a> Prompting<'a> {
    fn new(tty: &'a Tty) -> Option<Self> {
        let kept = tty.quietness.take();
        let is_kept = kept.is_some();
        let prompting = Self {
            tty,
            hushed: kept.or_else(|| Hushed::new(tty.file.clone(), tty.interrupt)),
            is_kept,
        };
        prompting.hushed.as_ref()?.forget_typed();
        Some(prompting)
    }
}

impl Drop for Prompting<'_> {
    fn drop(&mut self) {
        let kept = self.hushed.take().filter(|_| self.is_kept);
        self.tty.quietness.give_back(kept);
    }
}

/// What a wait for a line gave.
enum Line {
    Typed(Secret),
    /// Cancelled, or the input ended.
    None,
    Signal(Asked),
}

impl Tty {
    /// The terminal of this process, if somebody sits there: scripts send standard error elsewhere.
    pub fn open(cancelled: Arc<AtomicBool>, interrupt: Interrupt) -> Option<Self> {
        if !std::io::stderr().is_terminal() {
            return None;
        }
        Self::controlling(cancelled, interrupt).ok()
    }

    /// The terminal of this process, wherever standard error goes.
    pub fn controlling(cancelled: Arc<AtomicBool>, interrupt: Interrupt) -> std::io::Result<Self> {
        let file = File::options().read(true).write(true).open("/dev/tty")?;
        Ok(Self {
            interrupt,
            quietness: Quietness::of_this_process(),
            ..Self::of(file, cancelled)
        })
    }

    /// A terminal that is open already.
    pub fn of(file: File, cancelled: Arc<AtomicBool>) -> Self {
        Self {
            file: Arc::new(file),
            cancelled,
            interrupt: Interrupt::IsHandled,
            quietness: Arc::default(),
        }
    }

    /// What is asked from now on is called off by this.
    pub fn called_off_by(&mut self, cancelled: Arc<AtomicBool>) {
        self.cancelled = cancelled;
    }

    /// Says something.
    pub fn say(&self, text: &str) {
        // A terminal that is gone is seen at the next reading.
        let _ = (&*self.file).write_all(crate::visible_text(text).as_bytes());
    }

    /// Shows nothing of what is typed from now on, also between prompts, until the silence ends. None in the background, or where
    /// it is silent already. Who has a handler of Ctrl-C of its own has it by now.
    pub fn silence(&self) -> Option<Silence> {
        Silence::begin(&self.quietness, &self.file, self.interrupt)
    }

    /// Reads a line that is not shown, also after the process was stopped and continued; none if it was cancelled or the
    /// input ended. What was typed before the prompt is no part of it.
    pub fn hidden(&self, prompt: &str) -> Option<Secret> {
        let prompting = Prompting::new(self)?;
        let hushed = prompting.hushed.as_ref()?;
        loop {
            self.say(prompt);
            match self.line(Some(hushed.watch())) {
                Line::Typed(secret) => return Some(secret),
                Line::None => {
                    if self.cancelled.load(Ordering::Relaxed) {
                        // Whatever is said next is a line of its own.
                        self.say("\n");
                    }
                    return None;
                }
                Line::Signal(Asked::Again) => self.say("\n"),
                Line::Signal(Asked::Leave(signal)) => hushed.obey(signal, || self.say("\n")),
            }
            hushed.again()?;
        }
    }

    /// Reads a line that is shown, also in the middle of a silence.
    pub fn shown(&self, prompt: &str) -> Option<Secret> {
        let silent = self.quietness.take();
        if let Some(silent) = &silent {
            silent.forget_typed();
        }
        let is_kept = silent.is_some();
        // As it was, and signals do what they do.
        drop(silent);
        self.say(prompt);
        let line = self.line(None);
        let again = is_kept && self.quietness.is_wanted();
        let again = again.then(|| Hushed::new(self.file.clone(), self.interrupt));
        self.quietness.give_back(again.flatten());
        match line {
            Line::Typed(text) => Some(text),
            Line::None | Line::Signal(_) => None,
        }
    }

    /// Whether the person says yes.
    pub fn confirm(&self, question: &str) -> bool {
        self.shown(&format!("{question} [y/N] "))
            .is_some_and(|a| matches!(a.trim(), "y" | "Y" | "yes" | "Yes"))
    }

    fn line(&self, watch: Option<&Watch>) -> Line {
        let mut buffer = Zeroizing::new([0u8; LINE_MAX]);
        let mut filled = 0;
        while filled < LINE_MAX {
            match self.wait(watch) {
                Ok(()) => {}
                Err(line) => return line,
            }
            let read = match (&*self.file).read(&mut buffer[filled..]) {
                Ok(0) | Err(_) => return Line::None,
                Ok(read) => read,
            };
            filled += read;
            if buffer[filled - 1] == b'\n' {
                return match std::str::from_utf8(&buffer[..filled - 1]) {
                    Ok(text) => Line::Typed(Zeroizing::new(text.trim_end_matches('\r').to_owned())),
                    Err(_) => Line::None,
                };
            }
        }
        Line::None
    }

    /// Waits until something can be read.
    fn wait(&self, watch: Option<&Watch>) -> Result<(), Line> {
        loop {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(Line::None);
            }
            if let Some(asked) = watch.and_then(Watch::next) {
                return Err(Line::Signal(asked));
            }
            let slice = Timespec {
                tv_sec: 0,
                tv_nsec: SLICE_NS,
            };
            let mut fds = vec![PollFd::new(&self.file, PollFlags::IN)];
            fds.extend(watch.map(|w| PollFd::new(w.wake(), PollFlags::IN)));
            match poll(&mut fds, Some(&slice)) {
                Ok(_)
                    if !fds[0].revents().is_empty()
                        && fds[1..].iter().all(|f| f.revents().is_empty()) =>
                {
                    return Ok(());
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Err(Line::None),
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
