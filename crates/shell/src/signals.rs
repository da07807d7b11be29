//! Signals that a hidden prompt has to live through: stopped and continued by the shell, or ended.
//!
//! A handler stays for the life of the process, since the system's own could not be put back. While no prompt is open, each
//! signal does what it does without us.

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::{flag, low_level};

/// Who answers Ctrl-C while a prompt is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// The program ends, as without a handler.
    Ends,
    /// The program has a handler of its own, which calls the prompt off.
    IsHandled,
}

/// Signals that stop or end a process; the terminal is put back in order before.
const OTHERS: [i32; 4] = [SIGTSTP, SIGTERM, SIGHUP, SIGQUIT];

struct Handlers {
    /// No prompt is open.
    idle: Arc<AtomicBool>,
    continued: Arc<AtomicBool>,
    pending: Vec<(i32, Arc<AtomicBool>)>,
    /// Becomes readable with each signal.
    wake: UnixStream,
}

static HANDLERS: OnceLock<Option<Handlers>> = OnceLock::new();

impl Handlers {
    fn new(interrupt: Interrupt) -> std::io::Result<Self> {
        let (wake, write) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let idle = Arc::new(AtomicBool::new(true));
        let continued = Arc::new(AtomicBool::new(false));
        let mut pending = Vec::new();
        let own_interrupt = (interrupt == Interrupt::Ends).then_some(SIGINT);
        for signal in OTHERS.into_iter().chain(own_interrupt) {
            let raised = Arc::new(AtomicBool::new(false));
            flag::register_conditional_default(signal, idle.clone())?;
            flag::register(signal, raised.clone())?;
            low_level::pipe::register(signal, write.try_clone()?)?;
            pending.push((signal, raised));
        }
        flag::register(SIGCONT, continued.clone())?;
        low_level::pipe::register(SIGCONT, write)?;
        Ok(Self {
            idle,
            continued,
            pending,
            wake,
        })
    }
}

/// What a signal asks of the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Leave the terminal in order, then do what the signal does.
    Leave(i32),
    /// The process was stopped and goes on: the shell may have set the terminal up anew.
    Again,
}

/// While it lives, signals are told to the prompt.
pub(crate) struct Watch(&'static Handlers);

impl Watch {
    /// None if the system gives no handlers.
    pub(crate) fn new(interrupt: Interrupt) -> Option<Self> {
        let handlers = HANDLERS
            .get_or_init(|| Handlers::new(interrupt).ok())
            .as_ref()?;
        let watch = Self(handlers);
        // What was raised before is done with.
        while watch.next().is_some() {}
        handlers.idle.store(false, Ordering::SeqCst);
        Some(watch)
    }

    /// To be waited on beside the terminal.
    pub(crate) fn wake(&self) -> &UnixStream {
        &self.0.wake
    }

    /// The next signal that came.
    pub(crate) fn next(&self) -> Option<Asked> {
        use std::io::Read;
        // Emptied before the flags are looked at: a signal in between is seen at once, or wakes again.
        let mut sink = [0; 64];
        while (&self.0.wake).read(&mut sink).is_ok_and(|n| n > 0) {}
        for (signal, raised) in &self.0.pending {
            if raised.swap(false, Ordering::SeqCst) {
                return Some(Asked::Leave(*signal));
            }
        }
        self.0
            .continued
            .swap(false, Ordering::SeqCst)
            .then_some(Asked::Again)
    }

    /// Does what the signal does without a handler. Returns when the process goes on.
    pub(crate) fn obey(signal: i32) {
        // Only a signal that does not exist is refused.
        let _ = low_level::emulate_default_handler(signal);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.idle.store(true, Ordering::SeqCst);
    }
}
