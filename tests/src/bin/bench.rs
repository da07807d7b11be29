//! `make bench`: the main jobs, timed side by side with rsync and tar. Measures and prints; never fails for being slow.
#![forbid(unsafe_code)]

#[path = "../bench/mod.rs"]
mod bench;

use std::process::ExitCode;

fn main() -> ExitCode {
    let plan = match bench::Plan::from_environment() {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let report = match bench::run(&plan) {
        Ok(report) => report,
        Err(why) => {
            eprintln!("\n{why}");
            return ExitCode::FAILURE;
        }
    };
    print!("\n{}", report.table());
    let path = simsync_rig::rig::repository().join("target/bench/results.json");
    match report.write(&path) {
        Ok(()) => {
            println!("\nwritten to target/bench/results.json");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("{}: {e}", path.display());
            ExitCode::FAILURE
        }
    }
}
