//! Watchers turn the world around into events. Each one may be absent, restart or lie; the daemon goes on.

mod batch;
pub mod data;
pub mod login;
pub mod modem;
mod mounts;
pub mod reader;
mod signals;
mod tree;
mod vouched;
