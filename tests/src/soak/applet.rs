//! The applet and its model, side by side on every processor.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use simsync_rig::rig::Result;
use simsync_rig::twins::{Counts, compare, undocumented};

use super::{Plan, Report};

/// A line is printed after so many sequences.
const TELL_EVERY: u64 = 50_000;

pub fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let done = AtomicU64::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let (done, results) = (&done, &results);
            let least = plan.sequences.div_ceil(workers);
            let seed = plan.seed.wrapping_mul(1_000).wrapping_add(worker);
            scope.spawn(move || {
                let mut before = 0;
                let result = compare(seed, least, |counts| tell(counts, &mut before, done));
                results.lock().push(result);
            });
        }
    });
    for result in results.into_inner() {
        match result {
            Ok(counts) => add(report, &counts)?,
            Err(why) => {
                report.model_mismatches += 1;
                report.fail(why);
            }
        }
    }
    Ok(())
}

fn tell(counts: &Counts, before: &mut u64, done: &AtomicU64) {
    let more = counts.sequences - *before;
    *before = counts.sequences;
    let all = done.fetch_add(more, Ordering::Relaxed) + more;
    if all / TELL_EVERY != (all - more) / TELL_EVERY {
        println!("soak: {all} sequences");
    }
}

fn add(report: &mut Report, counts: &Counts) -> Result<()> {
    report.applet_sequences += counts.sequences;
    report.applet_commands += counts.commands;
    report.applet_cuts += counts.cuts;
    let unknown = undocumented(counts)?;
    if !unknown.is_empty() {
        report.fail(format!("docs/card.md does not list {unknown:?}"));
    }
    if counts.longest > 255 {
        report.fail(format!("an answer of {} bytes", counts.longest));
    }
    Ok(())
}
