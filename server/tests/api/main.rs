//! The server over real TLS: what it does and, for every check, what it refuses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod commits;
mod hostile;
mod import;
mod input;
mod keyobjects;
mod life;
mod packs;
mod pairing;
mod program;
mod restores;
mod sessions;
mod shares;
mod stores;
mod tails;
mod tls;
mod walls;
