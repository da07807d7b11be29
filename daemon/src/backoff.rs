//! How long to wait before something is tried again that failed.

use std::time::Duration;

use rand::RngExt;

/// It varies by so much to both sides, in percent: terminals that a server's failure met all at once do not come back all at once.
const JITTER: u32 = 20;

/// How long to wait, from failure to failure.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// After the first one.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

impl Backoff {
    /// After so many failures in a row: twice as long after each.
    pub fn delay(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let delay = self.first.saturating_mul(1 << doublings).min(self.longest);
        delay * rand::rng().random_range(100 - JITTER..=100 + JITTER) / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_and_varies_and_has_an_end() {
        let backoff = Backoff {
            first: Duration::from_secs(5),
            longest: Duration::from_secs(300),
        };
        let around = |failures, middle: Duration| {
            let all: Vec<Duration> = (0..200).map(|_| backoff.delay(failures)).collect();
            assert!(
                all.iter()
                    .all(|d| (middle * 8 / 10..=middle * 12 / 10).contains(d))
            );
            assert!(all.iter().any(|d| *d < middle) && all.iter().any(|d| *d > middle));
        };
        around(1, backoff.first);
        around(2, backoff.first * 2);
        around(3, backoff.first * 4);
        for many in [8, 100, u32::MAX] {
            around(many, backoff.longest);
        }
    }
}
