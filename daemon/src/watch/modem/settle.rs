//! What settles: a SIM counts as soon as it is seen, and as gone when it was not seen for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::rules::Sims;

/// A SIM that counts.
struct Sim {
    modem: String,
    /// Since when it is not seen any longer.
    missed: Option<Instant>,
}

/// What is told: the SIMs that count, or that nobody can tell.
type Told = Option<Sims>;

/// What was told, and what waits.
pub struct Settled {
    debounce: Duration,
    sims: BTreeMap<String, Sim>,
    told: Option<Told>,
}

impl Settled {
    /// Nothing was seen yet.
    pub fn new(debounce: Duration) -> Self {
        Self {
            debounce,
            sims: BTreeMap::new(),
            told: None,
        }
    }

    /// Takes what is seen now (none: nobody can tell); answers what is to be told, if it is news.
    pub fn see(&mut self, seen: Option<Sims>) -> Option<Told> {
        self.see_at(Instant::now(), seen)
    }

    /// How long until something that waits is worth another look.
    pub fn rest(&self) -> Option<Duration> {
        let missed = self.sims.values().filter_map(|s| s.missed).min()?;
        Some(self.debounce.saturating_sub(missed.elapsed()))
    }

    fn see_at(&mut self, now: Instant, seen: Option<Sims>) -> Option<Told> {
        let known = seen.is_some();
        let mut seen = seen.unwrap_or_default();
        self.sims.retain(|iccid, sim| {
            if let Some(modem) = seen.remove(iccid) {
                (sim.modem, sim.missed) = (modem, None);
                return true;
            }
            let missed = *sim.missed.get_or_insert(now);
            now.duration_since(missed) < self.debounce
        });
        self.sims.extend(seen.into_iter().map(|(iccid, modem)| {
            (
                iccid,
                Sim {
                    modem,
                    missed: None,
                },
            )
        }));
        let count: Sims = self
            .sims
            .iter()
            .map(|(iccid, sim)| (iccid.clone(), sim.modem.clone()))
            .collect();
        let tell = (known || !count.is_empty()).then_some(count);
        if self.told.as_ref() == Some(&tell) {
            return None;
        }
        self.told = Some(tell.clone());
        Some(tell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "8901000000000000801";
    const B: &str = "8901000000000000802";
    const DEBOUNCE: u64 = 3;

    fn sims(list: &[&str]) -> Told {
        Some(
            list.iter()
                .map(|i| (i.to_string(), "M".to_owned()))
                .collect(),
        )
    }

    /// Runs looks at these seconds; what was told at each is what is wanted.
    fn check(steps: &[(u64, Told, Option<Told>)]) {
        let start = Instant::now();
        let mut settled = Settled::new(Duration::from_secs(DEBOUNCE));
        for (second, seen, told) in steps {
            let now = start + Duration::from_secs(*second);
            assert_eq!(settled.see_at(now, seen.clone()), *told, "second {second}");
        }
    }

    #[test]
    fn m14_a_sim_counts_at_once_and_is_gone_after_the_debounce() {
        check(&[
            (0, sims(&[]), Some(sims(&[]))),
            (1, sims(&[A]), Some(sims(&[A]))),
            (2, sims(&[A]), None),
            (3, sims(&[]), None),
            (5, sims(&[]), None),
            (6, sims(&[]), Some(sims(&[]))),
        ]);
    }

    #[test]
    fn m14_a_sim_that_is_back_within_the_debounce_was_never_away() {
        check(&[
            (0, sims(&[A]), Some(sims(&[A]))),
            (1, sims(&[]), None),
            (3, sims(&[A]), None),
            // The time counts from when it was missed last.
            (4, sims(&[]), None),
            (6, sims(&[]), None),
            (7, sims(&[]), Some(sims(&[]))),
        ]);
    }

    #[test]
    fn m14_a_swap_shows_the_new_one_at_once_and_the_old_one_goes() {
        check(&[
            (0, sims(&[A]), Some(sims(&[A]))),
            (1, sims(&[B]), Some(sims(&[A, B]))),
            (4, sims(&[B]), Some(sims(&[B]))),
        ]);
    }

    #[test]
    fn a_service_that_restarts_is_no_event_and_one_that_stays_away_is_unknown() {
        check(&[
            (0, None, Some(None)),
            (1, sims(&[A]), Some(sims(&[A]))),
            (2, None, None),
            (4, sims(&[A]), None),
            (5, None, None),
            (8, None, Some(None)),
            (9, None, None),
            (10, sims(&[]), Some(sims(&[]))),
            (11, None, Some(None)),
        ]);
    }

    #[test]
    fn a_modem_that_changes_its_name_is_told() {
        let other: Sims = [(A.to_owned(), "N".to_owned())].into();
        check(&[
            (0, sims(&[A]), Some(sims(&[A]))),
            (1, Some(other.clone()), Some(Some(other))),
        ]);
    }
}
