//! Times, and what is made of them.

use std::path::Path;
use std::time::{Duration, Instant};

use simsync_rig::rig::Result;

/// Measured values of one figure.
#[derive(Debug, Clone, Default)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// One value more.
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// The middle one, or the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        let n = self.0.len();
        match (self.0.get(n.saturating_sub(1) / 2), self.0.get(n / 2)) {
            (Some(low), Some(high)) => f64::midpoint(*low, *high),
            _ => 0.0,
        }
    }

    /// The smallest value; 0 if there is none.
    pub fn min(&self) -> f64 {
        self.0.first().copied().unwrap_or_default()
    }

    /// How far the values lie apart, as a part of the median.
    pub fn spread(&self) -> f64 {
        match self.median() {
            0.0 => 0.0,
            median => (self.max() - self.min()) / median,
        }
    }

    /// The largest value; 0 if there is none.
    pub fn max(&self) -> f64 {
        self.0.last().copied().unwrap_or_default()
    }
}

/// Runs `work` and answers its seconds.
pub fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Processor seconds of this process, and of the children that it waited for.
pub fn processor_here() -> Result<f64> {
    let fields = stat_of("self")?;
    Ok(fields.iter().sum())
}

/// Processor seconds of a process, all of its threads, since it started.
pub fn processor_of(pid: Option<u32>) -> Result<f64> {
    let pid = pid.ok_or("a program that is measured does not run")?;
    let [user, system, ..] = stat_of(&pid.to_string())?;
    Ok(user + system)
}

/// Ticks in a second, as the kernel tells times to programs: the same on every machine that this is measured on.
const USER_HZ: f64 = 100.0;

/// User and system time of a process, and of its children that ended, in seconds; of `/proc/PID/stat`.
fn stat_of(pid: &str) -> Result<[f64; 4]> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    // The name may hold anything; after its bracket the third field begins.
    let after = text.rsplit_once(") ").map_or("", |(_, after)| after);
    let ticks: Vec<f64> = after
        .split(' ')
        .skip(14 - 3)
        .take(4)
        .filter_map(|n| n.parse().ok())
        .collect();
    let ticks = <[f64; 4]>::try_from(ticks).map_err(|_| format!("{path} has no times"))?;
    Ok(ticks.map(|t| t / USER_HZ))
}

/// Waits until what was written before is on the disk, so that it does not burden the next measurement.
pub fn settle(dir: &Path) -> Result<()> {
    let at = |e: std::io::Error| format!("{}: {e}", dir.display());
    let file = std::fs::File::open(dir).map_err(at)?;
    rustix::fs::syncfs(&file).map_err(|e| at(e.into()))
}

/// Leaves the machine to the others for a while. Not for waiting until something is done.
pub fn rest(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end
        .checked_duration_since(Instant::now())
        .filter(|d| !d.is_zero())
    {
        std::thread::park_timeout(left);
    }
}

/// Resident memory of a process, in MB of 10^6 bytes.
fn resident(pid: u32) -> Result<f64> {
    memory_of(pid, "VmRSS:")
}

/// The most resident memory that a process ever had, in MB of 10^6 bytes.
pub fn resident_peak(pid: u32) -> Result<f64> {
    memory_of(pid, "VmHWM:")
}

fn memory_of(pid: u32, field: &str) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let kib: Option<f64> = text.lines().find_map(|l| {
        l.strip_prefix(field)?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse()
            .ok()
    });
    kib.map(|k| k * 1024.0 / 1e6)
        .ok_or_else(|| format!("{path} has no {field}"))
}

/// Resident memory of a process that came to rest: it no longer changes, or half a minute is over.
pub fn resident_at_rest(pid: u32) -> Result<f64> {
    let mut last = resident(pid)?;
    let mut same = 0;
    for _ in 0..60 {
        rest(Duration::from_millis(500));
        let now = resident(pid)?;
        same = if (now - last).abs() < 0.1 {
            same + 1
        } else {
            0
        };
        last = now;
        if same >= 10 {
            break;
        }
    }
    Ok(last)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let mut s = Sample::default();
        assert_eq!(s.median(), 0.0);
        for v in [3.0, 1.0, 2.0] {
            s.add(v);
        }
        assert_eq!((s.min(), s.median(), s.max()), (1.0, 2.0, 3.0));
        s.add(4.0);
        assert_eq!((s.median(), s.spread()), (2.5, 1.2));
    }

    #[test]
    fn the_kernel_counts_processor_time_of_this_process() {
        assert!(processor_here().unwrap() >= 0.0);
        let own = processor_of(Some(std::process::id())).unwrap();
        assert!(own <= processor_here().unwrap());
        assert!(processor_of(None).is_err());
    }
}
