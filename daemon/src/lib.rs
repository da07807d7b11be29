//! simsyncd: watches cards, data and server, and makes a person's data follow their card.
#![forbid(unsafe_code)]

pub mod api;
pub mod bus;
pub mod card;
pub mod config;
pub mod core;
pub mod engine;
pub mod identity;
pub mod outstanding;
pub mod paths;
pub mod recovery;
pub mod service;
pub mod store;
pub mod watch;
