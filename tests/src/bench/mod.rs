//! What is measured: bulk work against rsync's daemon on the same data, the handover, the daemon's memory.
//!
//! Ours and rsync take turns, on the same folders, in the same network namespace. Ours is timed as a person sees it: from
//! the start of the command to its end, card, encryption and durable storage included. Ours also passes the rig's wire
//! (a relay in this process); rsync connects directly.

mod bulk;
mod handover;
mod measure;
mod peer;
mod plan;
mod report;

use simsync_rig::rig::{Result, Rig};

pub use plan::Plan;
pub use report::Report;

/// Measures everything.
pub fn run(plan: &Plan) -> Result<Report> {
    let mut rig = Rig::start()?;
    let mut report = Report::default();
    handover::measure(&mut rig, plan, &mut report)?;
    bulk::measure(&mut rig, plan, &mut report)?;
    Ok(report)
}
