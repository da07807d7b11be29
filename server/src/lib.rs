//! The companion server: subscriber database, vault heads, packs and events over mutual TLS 1.3 and HTTP/2.
//!
//! It stores ciphertext and checks proofs; it never holds a key that opens anything. The parts: [`net`] accepts
//! connections, [`http`] finds the path and who is asking, [`handlers`] check what needs no store, [`rules`] decide
//! as pure functions, [`store`] gathers facts for them and writes, [`admin`] is the operator's side.
#![forbid(unsafe_code)]

pub mod admin;
pub mod app;
pub mod ca;
pub mod cli;
pub mod code;
pub mod config;
pub mod handlers;
pub mod home;
pub mod http;
pub mod net;
pub mod rules;
pub mod server;
pub mod store;
#[cfg(any(test, feature = "test-support"))]
pub mod testing;
