//! The client against a server of the right authority that means harm: whatever it answers, each call ends with a clear
//! error within its deadline, takes a bounded amount of memory, and leaves the connection usable or closed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod events;
mod false_server;
mod packs;
