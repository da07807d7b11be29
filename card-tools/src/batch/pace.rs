//! How fast a batch goes on, and how long the rest takes at that rate.

use std::fmt;
use std::time::Duration;

/// The rate of a run so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Cards that were finished in an hour.
    pub cards_an_hour: f64,
    /// Until the last card, if it goes on so.
    pub left: Duration,
}

impl Pace {
    /// So many cards were finished in this time, so many are left; none before the first card.
    pub fn of(finished: usize, left: usize, elapsed: Duration) -> Option<Self> {
        let elapsed = elapsed.as_secs_f64();
        if finished == 0 || elapsed <= 0.0 {
            return None;
        }
        let a_second = finished as f64 / elapsed;
        Some(Self {
            cards_an_hour: a_second * 3600.0,
            left: Duration::try_from_secs_f64(left as f64 / a_second).ok()?,
        })
    }
}

/// For people, minutes rounded up.
impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} an hour, ", self.cards_an_hour)?;
        let minutes = self.left.as_secs().div_ceil(60);
        if minutes < 60 {
            write!(f, "{minutes} min left")
        } else {
            write!(f, "{} h {:02} min left", minutes / 60, minutes % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_what_was_done() {
        let seconds = Duration::from_secs;
        for (finished, left, elapsed, text) in [
            (1, 1, 60, "60 an hour, 1 min left"),
            (3, 0, 60, "180 an hour, 0 min left"),
            (2, 5, 61, "118 an hour, 3 min left"),
            (40, 60, 3600, "40 an hour, 1 h 30 min left"),
            (1, 100, 3660, "1 an hour, 101 h 40 min left"),
        ] {
            let pace = Pace::of(finished, left, seconds(elapsed)).unwrap();
            assert_eq!(pace.to_string(), text);
        }
        let pace = Pace::of(4, 6, seconds(120)).unwrap();
        assert_eq!((pace.cards_an_hour, pace.left), (120.0, seconds(180)));
        // Nothing is known yet.
        assert_eq!(Pace::of(0, 6, seconds(120)), None);
        assert_eq!(Pace::of(4, 6, Duration::ZERO), None);
    }
}
