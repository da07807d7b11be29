//! PC/SC: one thread watches readers and cards, one talks to cards. Both survive resets, yanks and restarts of pcscd.

mod watch;
mod worker;

pub use watch::{CardEvent, Watcher, watch};
pub use worker::{CardError, CardHandle, OpenCard};
