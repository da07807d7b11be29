//! How much is measured.

use simsync_rig::rig::Result;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Files of the bulk figures.
    pub files: usize,
    /// Mean size of a file, in bytes.
    pub mean: usize,
    /// Runs of each figure.
    pub runs: usize,
    /// Handovers.
    pub handovers: usize,
    /// Files that lie beside the changed ones in a handover.
    pub handover_files: usize,
}

fn number(name: &str, default: usize, least: usize) -> Result<usize> {
    match std::env::var(name) {
        Err(_) => Ok(default),
        Ok(text) => match text.parse() {
            Ok(n) if n >= least => Ok(n),
            _ => Err(format!(
                "{name} must be a number of {least} or more, not {text:?}"
            )),
        },
    }
}

impl Plan {
    /// `BENCH_FILES`, `BENCH_RUNS`, `BENCH_HANDOVERS`, or the defaults.
    pub fn from_environment() -> Result<Self> {
        Ok(Self {
            files: number("BENCH_FILES", 100_000, 100)?,
            mean: 2048,
            runs: number("BENCH_RUNS", 3, 1)?,
            handovers: number("BENCH_HANDOVERS", 9, 1)?,
            handover_files: 2000,
        })
    }
}

/// Says what is going on, beside the results.
pub(super) fn say(text: &str) {
    eprintln!("bench: {text}");
}
