//! The rig: real pcscd, the applet in jCardSim, real D-Bus daemons, the real server, terminals with the real daemon.
//!
//! It runs in namespaces of its own (`tests/enter`); everything that it starts ends with it.
#![forbid(unsafe_code)]

pub mod claims;
pub mod demo;
pub mod impostor;
pub mod memory;
pub mod poison;
pub mod rig;
pub mod scene;
pub mod spare;
pub mod station;
pub mod tree;
pub mod twins;
