//! What people are told: the status, which the loop makes after each event and which waits for nothing, and lists.

mod lists;
mod overview;

pub use lists::{conflicts, log, outstanding};
pub use overview::Overview;
