//! `make demo`: the main job, shown as a timeline.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use simsync_rig::demo::{Report, run};

fn main() -> ExitCode {
    let seed = std::env::var("DEMO_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("seed {seed} (DEMO_SEED repeats it)\n");
    let mut report = Report::new();
    let result = run(&mut report, seed);
    if let Err(why) = &result {
        eprintln!("\n{why}");
    }
    let path = simsync_rig::rig::repository().join("target/demo/timeline.json");
    match report.finish(result.is_ok(), &path) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("{}: {e}", path.display());
            ExitCode::FAILURE
        }
    }
}
