//! A terminal without echo: for a prompt, and while a program waits that is going to ask.
//!
//! People type ahead. What is typed before a question was seen by nobody then, and it is no answer either: it may have been meant
//! for something else.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcgetpgrp, tcsetattr,
};

use crate::signals::{Asked, Interrupt, Watch};

/// How long the end of a silence waits for a prompt that was called off.
const PROMPT_ENDS: Duration = Duration::from_secs(1);

/// Puts the terminal back as it was, however the reading ends.
struct Quiet {
    file: Arc<File>,
    before: Termios,
}

impl Quiet {
    fn new(file: Arc<File>) -> std::io::Result<Self> {
        let before = tcgetattr(&file)?;
        let quiet = Self { file, before };
        quiet.hush()?;
        Ok(quiet)
    }

    /// No echo. What was typed while there was one is thrown away: it was seen.
    fn hush(&self) -> std::io::Result<()> {
        let mut quiet = self.before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        quiet
            .local_modes
            .insert(LocalModes::ECHONL | LocalModes::ICANON);
        // What was typed while somebody else had set it up is dropped; what was typed at this prompt already is not.
        let is_so = tcgetattr(&self.file)?.local_modes == quiet.local_modes;
        let how = if is_so {
            OptionalActions::Now
        } else {
            OptionalActions::Flush
        };
        Ok(tcsetattr(&self.file, how, &quiet)?)
    }

    fn put_back(&self) {
        if !self.is_in_front() {
            return;
        }
        // The terminal may be gone; then there is nothing to put back.
        let _ = tcsetattr(&self.file, OptionalActions::Now, &self.before);
    }

    /// Whether the terminal is this program's to set: in the background it would be stopped for trying.
    fn is_in_front(&self) -> bool {
        tcgetpgrp(&self.file).map_or(true, |group| group == rustix::process::getpgrp())
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        self.put_back();
    }
}

/// The terminal without echo, and the signals that this has to be lived through. Whoever has it answers them.
pub(crate) struct Hushed {
    // Dropped first: the signals do what they do again once the terminal is as it was.
    quiet: Quiet,
    watch: Watch,
}

impl Hushed {
    pub(crate) fn new(file: Arc<File>, interrupt: Interrupt) -> Option<Self> {
        let watch = Watch::new(interrupt)?;
        let quiet = Quiet::new(file).ok()?;
        Some(Self { quiet, watch })
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Takes the echo away again, where somebody else gave it back.
    pub(crate) fn again(&self) -> Option<()> {
        self.quiet.hush().ok()
    }

    /// What was typed so far answers nothing, and the shell does not get it either.
    pub(crate) fn forget_typed(&self) {
        if self.quiet.is_in_front() {
            // The terminal may be gone; then nothing was typed.
            let _ = tcflush(&self.quiet.file, QueueSelector::IFlush);
        }
    }

    /// Leaves the terminal in order, and does what the signal does. Returns when the process goes on.
    pub(crate) fn obey(&self, signal: i32, told: impl FnOnce()) {
        self.quiet.put_back();
        told();
        Watch::obey(signal);
    }

    /// Keeps the terminal quiet until it is wanted back.
    fn keep(self, wanted: &UnixStream) -> Self {
        loop {
            match self.watch.next() {
                Some(Asked::Leave(signal)) => {
                    self.forget_typed();
                    self.obey(signal, || ());
                    self.again_in_front();
                }
                Some(Asked::Again) => self.again_in_front(),
                None => {
                    let mut fds = [
                        PollFd::new(wanted, PollFlags::IN),
                        PollFd::new(self.watch.wake(), PollFlags::IN),
                    ];
                    if poll(&mut fds, None).is_ok() && !fds[0].revents().is_empty() {
                        return self;
                    }
                }
            }
        }
    }

    /// Sent to the background, a program that only waits goes on; it is stopped when it asks.
    fn again_in_front(&self) {
        if self.quiet.is_in_front() {
            let _ = self.quiet.hush();
        }
    }
}

/// The thread that keeps a terminal quiet.
struct Keeper {
    stop: UnixStream,
    thread: JoinHandle<Hushed>,
}

impl Keeper {
    fn start(hushed: Hushed) -> Option<Self> {
        let (stop, wanted) = UnixStream::pair().ok()?;
        let thread = std::thread::Builder::new()
            .name("quiet".to_owned())
            .spawn(move || hushed.keep(&wanted))
            .ok()?;
        Some(Self { stop, thread })
    }

    fn stop(self) -> Option<Hushed> {
        drop(self.stop);
        self.thread.join().ok()
    }
}

#[derive(Default)]
struct Inner {
    /// Somebody wants the terminal quiet between prompts, too.
    wanted: bool,
    keeper: Option<Keeper>,
    /// A prompt stands.
    lent: bool,
}

/// Whether one terminal is quiet between prompts.
#[derive(Default)]
pub(crate) struct Quietness(Mutex<Inner>, Condvar);

impl Quietness {
    /// That of the terminal of this process, however often it is opened.
    pub(crate) fn of_this_process() -> Arc<Self> {
        static OWN: OnceLock<Arc<Quietness>> = OnceLock::new();
        OWN.get_or_init(Arc::default).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock()
    }

    /// A prompt begins: the terminal, if it is quiet already. [`Self::give_back`] follows.
    pub(crate) fn take(&self) -> Option<Hushed> {
        let mut inner = self.lock();
        inner.lent = true;
        inner.keeper.take().and_then(Keeper::stop)
    }

    /// A prompt is over. What it had goes on being quiet, where that is wanted.
    pub(crate) fn give_back(&self, hushed: Option<Hushed>) {
        let mut inner = self.lock();
        inner.lent = false;
        if let Some(hushed) = hushed
            && inner.wanted
        {
            inner.keeper = Keeper::start(hushed);
        }
        self.1.notify_all();
    }

    /// Whether it is to be quiet between prompts.
    pub(crate) fn is_wanted(&self) -> bool {
        self.lock().wanted
    }
}

/// While it lives the terminal does not show what is typed.
pub struct Silence(Arc<Quietness>);

impl Silence {
    pub(crate) fn begin(
        of: &Arc<Quietness>,
        file: &Arc<File>,
        interrupt: Interrupt,
    ) -> Option<Self> {
        let mut inner = of.lock();
        // In the background nobody types here, and the program would be stopped for setting the terminal.
        let is_in_front = tcgetpgrp(file).is_ok_and(|g| g == rustix::process::getpgrp());
        if inner.wanted || inner.lent || !is_in_front {
            return None;
        }
        inner.keeper = Some(Keeper::start(Hushed::new(file.clone(), interrupt)?)?);
        inner.wanted = true;
        drop(inner);
        Some(Self(of.clone()))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.wanted = false;
        if let Some(hushed) = inner.keeper.take().and_then(Keeper::stop) {
            hushed.forget_typed();
        }
        // A prompt that was called off ends within a moment, and puts the terminal back.
        let _ended = self.0.1.wait_while_for(&mut inner, |i| i.lent, PROMPT_ENDS);
    }
}
