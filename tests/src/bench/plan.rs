//! How much is measured.

use simsync_rig::rig::Result;

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Files of the bulk figures.
    pub files: usize,
    /// Mean size of a file, in bytes.
    pub mean: usize,
    /// Runs of each figure; up to twice as many where they differ much. None of them, if 0.
    pub runs: usize,
    /// How many handovers are measured, 1 or more.
    pub handovers: usize,
    /// Files that lie beside the changed ones in a handover: a figure for each.
    pub beside: Vec<usize>,
}

/// Where everything of a measurement lies: data, databases, packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Where temporary files are.
    Disk,
    /// A file system in memory: no disk that is waited for.
    Memory,
}

/// Whole numbers with commas between them.
fn numbers(name: &str, default: &[usize]) -> Result<Vec<usize>> {
    let Ok(text) = std::env::var(name) else {
        return Ok(default.to_vec());
    };
    let all = text.split(',').map(|n| n.trim().parse());
    all.collect::<std::result::Result<_, _>>()
        .map_err(|_| format!("{name} must be numbers with commas between them, not {text:?}"))
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
    /// `BENCH_FILES`, `BENCH_RUNS`, `BENCH_HANDOVERS`, `BENCH_BESIDE` (1,000,000 only if it is named there), or the defaults.
    pub fn from_environment() -> Result<Self> {
        Ok(Self {
            files: number("BENCH_FILES", 100_000, 100)?,
            mean: 2048,
            runs: number("BENCH_RUNS", 3, 0)?,
            handovers: number("BENCH_HANDOVERS", 9, 1)?,
            beside: numbers("BENCH_BESIDE", &[2_000, 100_000])?,
        })
    }
}

/// Says what is going on, beside the results.
pub(super) fn say(text: &str) {
    eprintln!("bench: {text}");
}
