//! The main job as a story: what a person does, and what must be true afterwards.

mod report;
mod steps;
mod story;

pub use report::{Handover, Refusal, Report};
pub use steps::{
    Person, add_collection, eject, gone, insert, install, pair, provision, provision_inserted,
    provisioned, pull, take_out, try_provision, unlock, unlock_at_insertion,
};
pub use story::run;
