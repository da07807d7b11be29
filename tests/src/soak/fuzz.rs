//! Every decoder of foreign bytes, fed by the program `fuzz`, for its time each.

use std::process::Command;

use simsync_rig::rig::{Result, repository};

use super::{Plan, Report};

pub fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let program = std::env::current_exe()
        .map_err(|e| e.to_string())?
        .with_file_name("fuzz");
    let output = Command::new(&program)
        .current_dir(repository())
        .env("FUZZ_SECONDS", plan.fuzz_seconds.to_string())
        .env("FUZZ_SEED", plan.seed.to_string())
        .output()
        .map_err(|e| format!("{}: {e}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    report.fuzz_inputs += said.lines().filter_map(inputs).sum::<u64>();
    print!("{said}");
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// `fuzz: commit 1234 inputs, …`
fn inputs(line: &str) -> Option<u64> {
    let (before, _) = line.split_once(" inputs,")?;
    before.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_of_the_program_are_counted() {
        let line =
            "fuzz: commit                  1234 inputs,      56 taken,      7890 bytes at most";
        assert_eq!(super::inputs(line), Some(1234));
        assert_eq!(super::inputs("fuzz: FUZZ_SEED=7"), None);
    }
}
