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

    /// The smallest.
    pub fn min(&self) -> f64 {
        self.0.first().copied().unwrap_or_default()
    }

    /// The largest.
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
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let kib: Option<f64> = text.lines().find_map(|l| {
        l.strip_prefix("VmRSS:")?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse()
            .ok()
    });
    kib.map(|k| k * 1024.0 / 1e6)
        .ok_or_else(|| format!("{path} has no VmRSS"))
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
        assert_eq!(s.median(), 2.5);
    }
}
