//! Every decoder of foreign bytes, fed with what nobody would write.
//!
//! A [`Target`] takes any bytes and must neither panic nor take more memory than it states, and what it reads must be the same
//! once it is written again. Two programs feed them: `fuzz`, a mutator of our own that needs nothing else and says the same
//! for the same seed (within `cargo test`, and in `make soak`), and `fuzz-coverage`, libFuzzer, which sees which code ran
//! (`make fuzz`). All of it runs on stable Rust.

pub mod corpus;
pub mod meter;
pub mod mutate;
pub mod run;
pub mod targets;

pub use targets::{TARGETS, Target};

#[global_allocator]
static METER: meter::Meter = meter::Meter;
