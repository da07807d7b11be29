//! Worlds from seeds, by the program `sim`: terminals, server, wires and disks in one process, killed at every durable step.

use std::process::Command;

use super::{Plan, Report};
use simsync_rig::rig::{Result, repository};

pub fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let program = repository().join("target/sim/sim");
    let ended = Command::new(&program)
        .arg(plan.operations.to_string())
        .env("SIMSYNC_TEST_SEED", plan.seed.to_string())
        .status()
        .map_err(|e| format!("{}: {e}", program.display()))?;
    if !ended.success() {
        return Err("a world is not as it must be: see above".to_owned());
    }
    report.world_operations += plan.operations;
    Ok(())
}
