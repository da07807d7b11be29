//! `make soak`: what takes too long for `make test`, and is counted rather than asserted once.

mod applet;
mod foreign;
mod fuzz;
mod issuance;
mod plan;
mod report;
mod sim;
mod yanks;

use std::time::Instant;

use simsync_rig::rig::{Result, require_namespace};

pub use plan::Plan;
pub use report::Report;

type Part = fn(&Plan, &mut Report) -> Result<()>;

/// Does everything, or the parts that are named, also after a failure. The applet's sequences take every processor that the
/// others, which mostly wait, leave.
pub fn run(plan: &Plan, only: &[String]) -> Result<Report> {
    require_namespace()?;
    let parts: [(&str, Part); 5] = [
        ("yanks", yanks::run),
        ("foreign", foreign::run),
        ("issuing", issuance::run),
        ("fuzz", fuzz::run),
        ("sim", sim::run),
    ];
    let wanted = |what: &str| only.is_empty() || only.iter().any(|o| o == what);
    let mut report = Report::new(plan.seed);
    std::thread::scope(|scope| {
        let applet = wanted("applet").then(|| {
            scope.spawn(|| {
                let mut report = Report::new(plan.seed);
                if let Err(why) = step_back() {
                    report.fail(format!("applet: its priority: {why}"));
                }
                one(plan, &mut report, ("applet", applet::run));
                report
            })
        });
        for (what, part) in parts.into_iter().filter(|(what, _)| wanted(what)) {
            one(plan, &mut report, (what, part));
        }
        match applet.map(std::thread::ScopedJoinHandle::join) {
            None => {}
            Some(Ok(done)) => report.add(done),
            Some(Err(_)) => report.fail("applet: it panicked".to_owned()),
        }
    });
    Ok(report)
}

fn one(plan: &Plan, report: &mut Report, (what, part): (&str, Part)) {
    let start = Instant::now();
    println!("soak: {what}");
    if let Err(why) = part(plan, report) {
        report.fail(format!("{what}: {why}"));
    }
    println!("soak: {what}: {} s", start.elapsed().as_secs());
}

/// This thread, and all that it starts, lets others go first.
fn step_back() -> Result<()> {
    rustix::process::nice(10)
        .map(drop)
        .map_err(|e| e.to_string())
}
