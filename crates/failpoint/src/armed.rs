//! What is armed in this process, and what is dead in it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a thread ends with that a point killed.
#[derive(Debug)]
pub struct Killed(pub Moment);

/// Before or after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The step's name.
    pub step: &'static str,
    /// Whether it was done already.
    pub after: bool,
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let when = if self.after { "after" } else { "before" };
        write!(f, "{when} {}", self.step)
    }
}

type Event = Box<dyn FnOnce() + Send>;

/// What happens at one moment, not the next one: `left` others go by before it.
struct Armed {
    whose: &'static str,
    left: u64,
    /// None: a kill.
    event: Option<Event>,
}

#[derive(Default)]
struct State {
    armed: Option<Armed>,
    dead: Vec<&'static str>,
    hits: BTreeMap<Moment, u64>,
    /// Where the last thing that was armed happened.
    happened: Option<Moment>,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);
/// Whether anybody wants to know of steps at all.
static ASKED: AtomicBool = AtomicBool::new(false);
static SETTLING: AtomicU64 = AtomicU64::new(u64::MAX);

fn with<T>(work: impl FnOnce(&mut State) -> T) -> T {
    let mut state: MutexGuard<'_, Option<State>> =
        STATE.lock().unwrap_or_else(PoisonError::into_inner);
    work(state.get_or_insert_default())
}

/// At the moment of steps whose names begin with `whose`, after `left` others of them: a kill, or, if there is one, an event.
pub fn arm(whose: &'static str, left: u64, event: Option<Event>) {
    with(|s| {
        s.armed = Some(Armed { whose, left, event });
        s.happened = None;
    });
    ASKED.store(true, Ordering::Relaxed);
}

/// Nothing is armed any more. Answers the moment at which what was armed last happened, if it did.
pub fn disarm() -> Option<Moment> {
    with(|s| {
        s.armed = None;
        s.happened.take()
    })
}

/// Whether somebody was killed and not revived.
#[must_use]
pub fn is_dead(whose: &str) -> bool {
    with(|s| s.dead.contains(&whose))
}

/// It begins anew.
pub fn revive(whose: &str) {
    with(|s| s.dead.retain(|d| *d != whose));
}

/// How often each moment was met since the process began to ask.
#[must_use]
pub fn hits() -> BTreeMap<Moment, u64> {
    with(|s| s.hits.clone())
}

/// Files have settled after so long.
pub fn set_settling(time: Duration) {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    SETTLING.store(nanos, Ordering::Relaxed);
}

pub(super) fn settling(real: Duration) -> Duration {
    match SETTLING.load(Ordering::Relaxed) {
        u64::MAX => real,
        nanos => Duration::from_nanos(nanos),
    }
}

/// A step under way.
#[derive(Debug)]
pub struct Step(&'static str);

impl Step {
    pub(super) fn begin(name: &'static str) -> Self {
        meet(Moment {
            step: name,
            after: false,
        });
        Self(name)
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        // What is killed already is not killed once more while its stack is left.
        if !std::thread::panicking() {
            meet(Moment {
                step: self.0,
                after: true,
            });
        }
    }
}

enum Then {
    GoOn,
    Die,
    Run(Event),
}

fn meet(moment: Moment) {
    if !ASKED.load(Ordering::Relaxed) {
        return;
    }
    let then = with(|s| {
        *s.hits.entry(moment).or_default() += 1;
        let whose = moment.step.split('.').next().unwrap_or_default();
        if s.dead.contains(&whose) {
            return Then::Die;
        }
        match &mut s.armed {
            Some(armed) if !moment.step.starts_with(armed.whose) => Then::GoOn,
            Some(armed) if armed.left > 0 => {
                armed.left -= 1;
                Then::GoOn
            }
            Some(_) => {
                s.happened = Some(moment);
                match s.armed.take().and_then(|a| a.event) {
                    Some(event) => Then::Run(event),
                    None => {
                        s.dead.push(whose_of(moment.step));
                        Then::Die
                    }
                }
            }
            None => Then::GoOn,
        }
    });
    match then {
        Then::GoOn => {}
        Then::Run(event) => event(),
        // No message: this is no mistake of a program.
        Then::Die => std::panic::resume_unwind(Box::new(Killed(moment))),
    }
}

fn whose_of(step: &'static str) -> &'static str {
    step.split_once('.').map_or(step, |(whose, _)| whose)
}
