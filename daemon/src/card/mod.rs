//! PC/SC: one thread watches readers and cards, one for each reader talks to its card. Both survive resets, yanks and restarts of pcscd.
//! Modems: a thread for each, too, and a task that asks whether the card is there.

mod modem;
mod port;
mod turns;
mod watch;
mod worker;

pub use modem::watch as watch_modem;
pub use port::Modems;
pub use watch::{CardEvent, Watcher, watch};
pub use worker::{CardError, CardHandle, OpenCard};
