//! `make soak`: very many commands, cuts, yanks and other programs. Exits 0 only if nothing failed. Arguments name the
//! parts that are wanted: `yanks`, `foreign`, `issuing`, `fuzz`, `sim`, `applet`; without any, all of them.
#![forbid(unsafe_code)]

#[path = "../soak/mod.rs"]
mod soak;

use std::process::ExitCode;

fn main() -> ExitCode {
    let plan = match soak::Plan::from_environment() {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    println!("soak: SOAK_SEED={}", plan.seed);
    let only: Vec<String> = std::env::args().skip(1).collect();
    let report = match soak::run(&plan, &only) {
        Ok(report) => report,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    print!("\n{}", report.table());
    let path = simsync_rig::rig::repository().join("target/soak/results.json");
    if let Err(e) = report.write(&path) {
        eprintln!("{}: {e}", path.display());
        return ExitCode::FAILURE;
    }
    println!("\nwritten to target/soak/results.json");
    if report.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
