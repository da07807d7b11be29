//! How long to wait for data to become quiet, with a ceiling: a file that is written all the time holds up no other.

use std::time::{Duration, Instant};

/// The ceiling, in delays.
const DELAYS_MAX: u32 = 10;
/// The ceiling, whatever the delay.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Since when changes came one after the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quiet {
    since: Option<Instant>,
}

impl Quiet {
    /// A change came: how long to wait from now on.
    pub fn wait(&mut self, now: Instant, delay: Duration) -> Duration {
        let since = *self.since.get_or_insert(now);
        let ceiling = delay.saturating_mul(DELAYS_MAX).min(WAIT_MAX).max(delay);
        let waited = now.saturating_duration_since(since);
        delay.min(ceiling.saturating_sub(waited))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_d_a_file_that_is_written_all_the_time_holds_up_no_other() {
        let (mut quiet, start) = (Quiet::default(), Instant::now());
        let delay = Duration::from_secs(1);
        let mut now = start;
        let mut due = start + quiet.wait(now, delay);
        // Every half second, before the delay is over.
        while now + Duration::from_millis(500) < due {
            now += Duration::from_millis(500);
            due = now + quiet.wait(now, delay);
        }
        assert_eq!(due - start, Duration::from_secs(10));
        // A long delay is waited for, but no longer than a minute.
        let mut quiet = Quiet::default();
        let delay = Duration::from_secs(20);
        assert_eq!(quiet.wait(start, delay), delay);
        let later = start + Duration::from_secs(55);
        assert_eq!(quiet.wait(later, delay), Duration::from_secs(5));
        // One that the owner set higher is theirs.
        let delay = Duration::from_secs(120);
        assert_eq!(Quiet::default().wait(start, delay), delay);
    }
}
