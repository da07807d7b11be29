//! Work: what runs, how it is stopped, and the jobs by which its users follow it.

mod jobs;
mod running;

pub use jobs::{JobHandle, Jobs};
pub use running::Works;
