//! The world under one seed: a person with a card, terminals with the real engine and their databases, the real server with
//! its rules and its SQLite, wires and disks, in one process. One operation at a time; the seed alone chooses which.
//!
//! An operation is one event that a person, the card, a wire, a disk or a process causes. [`ops`] draws them, [`world`] lets
//! them happen, [`check`] holds what must be true, [`shrink`] leaves out what a failure does not need.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed run is told by its panic"
)]

pub mod card;
pub mod check;
pub mod disk;
pub mod lies;
pub mod ops;
pub mod peace;
pub mod restored;
pub mod run;
pub mod settings;
pub mod shrink;
pub mod watcher;
pub mod wire;
pub mod work;
pub mod workplace;
pub mod world;

/// The place that is one file of `key=value` lines, which the engine's own tests have.
#[allow(missing_docs, reason = "the engine's tests use all of it")]
#[path = "../../../daemon/tests/engine/keyvalue.rs"]
pub mod keyvalue;

/// The person, the card and the terminals that the engine's own tests have.
#[allow(dead_code, missing_docs, reason = "the engine's tests use all of it")]
#[path = "../../../daemon/tests/engine/rig.rs"]
pub mod rig;
