//! Peace: wires are mended, tails delivered, every terminal is opened and closed in turn until nothing changes.

use simsyncd::engine::SyncReport;

use crate::check::{self, Broken};
use crate::ops::TERMINALS;
use crate::workplace::tree;
use crate::world::World;

/// Rounds after which it must be quiet.
const ROUNDS: usize = 8;
/// With more entries than this a person tidies up, so that a world stays small.
const ENTRIES: usize = 40;

impl World {
    /// Until nothing changes; then everything must be as it should.
    pub async fn peace(&mut self) -> Result<(), Broken> {
        self.calm().await?;
        self.is_as_it_must_be()?;
        let now = tree(&self.places[0].workplace.root);
        let is_messy = now.len() > ENTRIES
            || now
                .keys()
                .any(|p| p.to_string_lossy().contains("(conflict"));
        self.begin_phase();
        if is_messy {
            self.places[0].workplace.tidy();
            self.edited[0] = self.places[0].workplace.take_edited();
            // What one person does at one terminal is everywhere after one round.
            for at in 0..TERMINALS {
                self.until_done(at).await?;
            }
            self.is_as_it_must_be()?;
            self.begin_phase();
        }
        Ok(())
    }

    fn is_as_it_must_be(&mut self) -> Result<(), Broken> {
        let unsettled = self.card.unsettled();
        check::card_at_peace(self, &unsettled)?;
        check::at_peace(self)
    }

    fn begin_phase(&mut self) {
        self.at_peace = tree(&self.places[0].workplace.root);
        self.edited.fill(None);
        self.has_new_disk = false;
        self.is_unheard = false;
        self.commits_at_peace = self.commits();
    }

    async fn calm(&mut self) -> Result<(), Broken> {
        for place in &mut self.places {
            place.wire.mend();
        }
        for at in 0..TERMINALS {
            self.deliver(at, false).await?;
        }
        // Quiet is when each terminal in turn had nothing to do.
        let mut idle = 0;
        for at in (0..TERMINALS).cycle().take(ROUNDS * usize::from(TERMINALS)) {
            let report = self.until_done(at).await?;
            let done = report.applied + report.published + report.tails + report.conflicts;
            idle = if done == 0 { idle + 1 } else { 0 };
            if idle == TERMINALS {
                return Ok(());
            }
        }
        Err(Broken::new(format!("not quiet after {ROUNDS} rounds")))
    }

    /// One terminal is opened and closed.
    async fn until_done(&mut self, at: u8) -> Result<SyncReport, Broken> {
        if let Some(report) = self.sync(at, true, false).await? {
            return Ok(report);
        }
        // The session was over: with another one, then.
        let report = self.sync(at, true, false).await?;
        report.ok_or_else(|| Broken::new("no session at peace".to_owned()))
    }
}
