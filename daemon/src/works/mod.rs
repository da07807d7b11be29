//! Work: what runs, how it is stopped, and the jobs by which its users follow it.

mod folders;
mod jobs;
mod running;
mod syncs;
mod tails;

pub use folders::Folders;
pub use jobs::{Done, JobHandle, Jobs};
pub use running::Works;
pub use syncs::{Syncs, report_values};
pub use tails::Tails;
