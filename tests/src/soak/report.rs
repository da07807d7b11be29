//! What a soak found.

use std::path::Path;

use serde::Serialize;

/// Counts and failures, as `target/soak/results.json` has them.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Sequences of commands that applet and model answered alike.
    pub applet_sequences: u64,
    /// Commands in them.
    pub applet_commands: u64,
    /// Power cuts in the middle of a command.
    pub applet_cuts: u64,
    /// Lives in which applet and model differed.
    pub model_mismatches: u64,
    /// Cards that were yanked in the middle of an operation.
    pub yanks: u64,
    /// Memories of daemons that were looked through after that.
    pub memories: u64,
    /// What was done once for each command to the card: operation and its number of commands.
    pub operations: Vec<Operation>,
    /// Cards that a batch issued, from blank to enrolled.
    pub cards_issued: u64,
    /// Rounds of other programs at the reader.
    pub foreign_rounds: u64,
    /// PINs that had to be given again in them, each time because the card had forgotten it.
    pub foreign_pins: u64,
    /// How often another program was at the card in them.
    pub foreign_visits: u64,
    /// Of these, in vain: it wanted the card for itself alone.
    pub foreign_refusals: u64,
    /// Inputs for decoders of foreign bytes.
    pub fuzz_inputs: u64,
    /// Operations in worlds of the simulator.
    pub world_operations: u64,
    /// What went wrong.
    pub failures: Vec<String>,
    /// `SOAK_SEED` repeats it.
    pub seed: u64,
}

/// One operation of daemon or tool.
#[derive(Debug, Serialize)]
pub struct Operation {
    /// The operation, and whether the yanked command was still done (`yank`) or not (`yank-before`).
    pub what: String,
    /// Commands to the card that it needs undisturbed.
    pub apdus: usize,
    /// At how many of them it was yanked.
    pub yanked: usize,
}

impl Report {
    /// Nothing yet.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    /// What was found beside it.
    pub fn add(&mut self, other: Self) {
        self.applet_sequences += other.applet_sequences;
        self.applet_commands += other.applet_commands;
        self.applet_cuts += other.applet_cuts;
        self.model_mismatches += other.model_mismatches;
        self.yanks += other.yanks;
        self.memories += other.memories;
        self.operations.extend(other.operations);
        self.cards_issued += other.cards_issued;
        self.foreign_rounds += other.foreign_rounds;
        self.foreign_pins += other.foreign_pins;
        self.foreign_visits += other.foreign_visits;
        self.foreign_refusals += other.foreign_refusals;
        self.fuzz_inputs += other.fuzz_inputs;
        self.world_operations += other.world_operations;
        self.failures.extend(other.failures);
    }

    /// Notes and prints a failure.
    pub fn fail(&mut self, why: String) {
        eprintln!("soak: FAILED: {why}");
        self.failures.push(why);
    }

    /// Text for people: a line for each number.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let mut row = |what: &str, n: String| out.push_str(&format!("{what:<48} {n:>12}\n"));
        row(
            "sequences of commands, applet and model alike",
            self.applet_sequences.to_string(),
        );
        row("  commands", self.applet_commands.to_string());
        row("  power cuts", self.applet_cuts.to_string());
        row("  mismatches", self.model_mismatches.to_string());
        row("yanks", self.yanks.to_string());
        row("memories looked through", self.memories.to_string());
        for o in &self.operations {
            row(
                &format!("  {}, of {} commands", o.what, o.apdus),
                o.yanked.to_string(),
            );
        }
        row("cards issued in a batch", self.cards_issued.to_string());
        row("rounds of other programs", self.foreign_rounds.to_string());
        row("  visits at the card", self.foreign_visits.to_string());
        row(
            "  of these refused, the card was in use",
            self.foreign_refusals.to_string(),
        );
        row(
            "  PINs that the card had forgotten",
            self.foreign_pins.to_string(),
        );
        row("inputs for decoders", self.fuzz_inputs.to_string());
        row("operations of worlds", self.world_operations.to_string());
        row("failures", self.failures.len().to_string());
        row("seed", self.seed.to_string());
        out
    }

    /// Writes the JSON.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::other)?;
        std::fs::write(path, text + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_json_and_a_table() {
        let mut report = Report::new(7);
        report.yanks = 12;
        report.fail("it broke".to_owned());
        let mut beside = Report::new(7);
        beside.applet_sequences = 5;
        beside.fail("that, too".to_owned());
        report.add(beside);
        let dir = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
        let path = dir.path().join("soak/results.json");
        report.write(&path).unwrap_or_else(|e| panic!("{e}"));
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        assert_eq!(json["seed"], 7);
        assert_eq!(
            (&json["yanks"], &json["applet_sequences"]),
            (&12.into(), &5.into())
        );
        assert_eq!(json["failures"][1], "that, too");
        assert_eq!(json["failures"][0], "it broke");
        assert!(report.table().contains("failures"));
    }
}
