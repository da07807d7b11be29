//! The engine against the real server, with a card in software: syncs, conflicts, yanks at many points, tails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

mod apart;
mod aside;
mod chain;
mod copies;
mod forger;
mod hostile;
mod keyvalue;
mod local;
mod machine;
mod own_disk;
mod rig;
mod settings;
mod stages;
mod syncs;
mod unseen;
mod vouched;
mod yanks;
