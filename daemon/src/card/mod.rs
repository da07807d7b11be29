//! PC/SC: one thread watches readers and cards, one for each reader talks to its card. Both survive resets, yanks and restarts of pcscd.

mod watch;
mod worker;

pub use watch::{CardEvent, Watcher, watch};
pub use worker::{CardError, CardHandle, OpenCard};
