//! What is measured: bulk work against rsync's daemon and `tar` on the same data, on the disk and in memory, the handover, the
//! daemon's memory.
//!
//! Ours and its peers take turns, on the same folders, in the same network namespace. Ours is timed as a person sees it: from
//! the start of the command to its end, card, encryption and durable storage included. Ours also passes the rig's wire
//! (a relay in this process); rsync connects directly.

mod bulk;
mod handover;
mod measure;
mod peer;
mod plan;
mod report;

use std::path::{Path, PathBuf};
use std::process::Command;

use simsync_rig::rig::{Result, Rig};

use plan::Place;
pub use plan::Plan;
pub use report::Report;

/// Measures everything.
pub fn run(plan: &Plan) -> Result<Report> {
    let mut rig = Rig::start()?;
    let mut report = Report::default();
    for files in &plan.beside {
        handover::measure(&mut rig, plan, *files, &mut report)?;
    }
    if plan.runs > 0 {
        bulk::measure(&mut rig, plan, Place::Disk, &mut report)?;
        let memory = in_memory(rig.dir.path())?;
        let mut rig = Rig::start_in(&memory)?;
        bulk::measure(&mut rig, plan, Place::Memory, &mut report)?;
    }
    Ok(report)
}

/// A file system in memory, below `folder`. It ends with the rig's namespace.
fn in_memory(folder: &Path) -> Result<PathBuf> {
    let at = folder.join("memory");
    std::fs::create_dir_all(&at).map_err(|e| format!("{}: {e}", at.display()))?;
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=80%", "tmpfs"])
        .arg(&at)
        .output()
        .map_err(|e| format!("mount: {e}"))?;
    if mount.status.success() {
        Ok(at)
    } else {
        let why = String::from_utf8_lossy(&mount.stderr);
        Err(format!("mount: {why}"))
    }
}
