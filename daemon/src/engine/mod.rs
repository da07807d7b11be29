//! Effects: everything that a decision of the rules turns into. Blocking code on a thread of its own.
//!
//! Each file is a room, or functions that take what they need. None knows who puts them together (`rooms.rs`).

mod adapters;
mod apply;
mod authors;
mod cancel;
mod clock;
pub mod content;
mod disk;
mod error;
mod exchange;
mod heal;
mod leaves;
mod plan;
mod progress;
mod publish;
mod random;
mod rooms;
mod seen;
mod send;
mod session;
mod settings;
mod stack;
mod sync;
mod tails;
mod upload;
mod vault;
mod wire;

pub use adapters::Adapters;
#[cfg(test)]
pub(crate) use cancel::tests::ring as some_keys;
pub use cancel::{Cancel, KeyCell};
pub use clock::now_ms;
pub use error::EngineError;
pub use plan::answers::{Answer, Answers};
pub use plan::options::{Review, SyncOptions, SyncReport};
pub use plan::planned::ReviewEntry;
pub use progress::Progress;
pub use random::fresh_rng;
pub use rooms::Engine;
pub use session::{Session, TrustedCard};
pub use settings::EngineConfig;
pub use stack::{key_ring, leaving_nothing};
pub use tails::builder::TailReport;
pub use vault::pack_cache::PackCache;
