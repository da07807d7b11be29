//! Work: what runs, how it is stopped, and the jobs by which its users follow it.

mod current;
mod folders;
mod jobs;
mod syncs;
mod tails;

pub use current::Works;
pub use folders::Folders;
pub use jobs::{Done, JobHandle, Jobs};
pub use syncs::{Syncs, report_values};
pub use tails::Tails;
