//! Named places where tests end what runs, as a crash would, or let something happen in the middle of it.
//!
//! Without the feature `on` a step is nothing: no name, no branch, no code. `cargo build` of the programs that are installed
//! leaves it off. With it, a step asks one atomic number, and goes on if nobody armed anything.
//!
//! A name says whose step it is before its first dot: `daemon.store.tail`, `server.commit`. Whoever is killed stays dead: every
//! later step of it fails, too, so that no code that cleans up changes anything durable, until [`revive`].

#[cfg(feature = "on")]
mod armed;

#[cfg(feature = "on")]
pub use armed::{Killed, Moment, Step, arm, disarm, hits, is_dead, revive, set_settling};

/// One durable step: a moment before it, and one after it, when what this answers is dropped.
#[cfg(feature = "on")]
#[must_use]
pub fn step(name: &'static str) -> Step {
    Step::begin(name)
}

/// One durable step.
#[cfg(not(feature = "on"))]
#[inline(always)]
#[must_use]
pub const fn step(_: &'static str) -> Step {
    Step
}

/// What a step is without the feature `on`: it has no size, and does nothing when it is dropped.
#[cfg(not(feature = "on"))]
#[derive(Debug)]
pub struct Step;

/// How long a file must have rested. Tests may say less, since nobody writes behind their back.
#[cfg(feature = "on")]
#[must_use]
pub fn settling(real: std::time::Duration) -> std::time::Duration {
    armed::settling(real)
}

/// How long a file must have rested.
#[cfg(not(feature = "on"))]
#[inline(always)]
#[must_use]
pub const fn settling(real: std::time::Duration) -> std::time::Duration {
    real
}
