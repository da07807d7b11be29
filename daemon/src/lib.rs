//! simsyncd: watches cards, data and server, and makes a person's data follow their card.
#![forbid(unsafe_code)]

pub mod api;
mod backoff;
pub mod bus;
pub mod card;
pub mod collections;
pub mod config;
pub mod database;
pub mod engine;
pub mod engines;
pub mod events;
pub mod identity;
pub mod link;
pub mod membership;
pub mod notes;
pub mod opening;
pub mod outstanding;
pub mod paths;
pub mod person;
pub mod reasons;
pub mod recovery;
pub mod rules;
pub mod service;
pub mod session;
pub mod status;
pub mod store;
pub mod vouch;
pub mod watch;
pub mod works;
