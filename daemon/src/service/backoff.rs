//! How long to wait before something is tried again that failed.

use std::time::Duration;

use rand::RngExt;

/// After the first failure.
const FIRST: Duration = Duration::from_secs(5);
/// At most.
const LONGEST: Duration = Duration::from_secs(5 * 60);
/// It varies by so much to both sides, in percent: terminals that a server's failure met all at once do not come back all at once.
const JITTER: u32 = 20;

/// After so many failures in a row: twice as long after each.
pub fn delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let delay = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    delay * rand::rng().random_range(100 - JITTER..=100 + JITTER) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_and_varies_and_has_an_end() {
        let around = |failures, middle: Duration| {
            let all: Vec<Duration> = (0..200).map(|_| delay(failures)).collect();
            assert!(
                all.iter()
                    .all(|d| (middle * 8 / 10..=middle * 12 / 10).contains(d))
            );
            assert!(all.iter().any(|d| *d < middle) && all.iter().any(|d| *d > middle));
        };
        around(1, FIRST);
        around(2, FIRST * 2);
        around(3, FIRST * 4);
        for many in [8, 100, u32::MAX] {
            around(many, LONGEST);
        }
    }
}
