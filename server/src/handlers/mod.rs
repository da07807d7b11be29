//! One function per path. What they check themselves needs no store; the rest is the store's transaction.

pub mod commits;
pub mod events;
pub mod open;
pub mod packs;
pub mod sessions;
pub mod tails;
pub mod upload;
