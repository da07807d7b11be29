//! The timeline: printed while it happens, and written as JSON.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use crate::tree::Size;

/// One line of the timeline.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Milliseconds since the start.
    pub t_ms: u128,
    /// Who acts: `server`, `desk`, `person` or a terminal's name; `refusal` for what must not work.
    pub who: String,
    /// What happens, in a few words.
    pub what: String,
    /// Figures and circumstances.
    pub detail: String,
}

/// One handover of the data from a terminal to the next.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Handover {
    /// Name of the terminal that the card leaves.
    pub from: String,
    /// Name of the terminal that the card comes to.
    pub to: String,
    /// Files that were changed.
    pub files: usize,
    /// Bytes in them.
    pub bytes: u64,
    /// From the removal until commit or tail was acknowledged, in milliseconds.
    pub removal_to_closed_ms: i64,
    /// From the card in the reader until the daemon saw it, in milliseconds.
    pub insertion_seen_ms: i64,
    /// From the PIN until the data was there, in milliseconds.
    pub pin_to_synced_ms: i64,
    /// Commands to the card from the insertion to the end of the sync.
    pub apdus: u64,
    /// Bytes of them in both directions.
    pub apdu_bytes: u64,
    /// Both folders are equal, byte for byte.
    pub identical: bool,
}

/// Something that must not work.
#[derive(Debug, Clone, Serialize)]
pub struct Refusal {
    /// What was tried.
    pub what: String,
    /// Who refused, with which words.
    pub refused_by: String,
    /// It was refused, and nothing moved.
    pub ok: bool,
}

/// The whole story.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Everything was as it must be.
    pub ok: bool,
    /// How much data.
    pub data: DataSize,
    /// The timeline, in the order in which things happened.
    pub steps: Vec<Step>,
    /// Two or more, if all went well; both folders must be equal after each.
    pub handovers: Vec<Handover>,
    /// What must not work and was tried: three or more, if all went well.
    pub refusals: Vec<Refusal>,
    #[serde(skip)]
    start: Instant,
    #[serde(skip)]
    color: bool,
}

/// Files and bytes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct DataSize {
    /// Number of files.
    pub files: usize,
    /// Bytes in all of them.
    pub bytes: u64,
}

impl Report {
    /// An empty one; its clock runs.
    pub fn new() -> Self {
        Self {
            ok: false,
            data: DataSize::default(),
            steps: Vec::new(),
            handovers: Vec::new(),
            refusals: Vec::new(),
            start: Instant::now(),
            color: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    /// Notes how much data there is.
    pub fn data(&mut self, size: Size) {
        self.data = DataSize {
            files: size.files,
            bytes: size.bytes,
        };
    }

    /// Adds a line and prints it.
    pub fn step(&mut self, who: &str, what: &str, detail: impl Into<String>) {
        let step = Step {
            t_ms: self.start.elapsed().as_millis(),
            who: who.to_owned(),
            what: what.to_owned(),
            detail: detail.into(),
        };
        let seconds = format!("{:>8.3} s", step.t_ms as f64 / 1000.0);
        let (bold, dim, plain) = if self.color {
            ("\x1b[1m", "\x1b[2m", "\x1b[0m")
        } else {
            ("", "", "")
        };
        println!(
            "{dim}{seconds}{plain}  {bold}{who:<8}{plain} {what:<46} {dim}{}{plain}",
            step.detail
        );
        let _ = std::io::stdout().flush();
        self.steps.push(step);
    }

    /// Adds a handover.
    pub fn handover(&mut self, h: Handover) {
        self.handovers.push(h);
    }

    /// Adds a refusal and prints it.
    pub fn refusal(&mut self, what: &str, refused_by: &str, ok: bool) {
        self.step(
            "refusal",
            what,
            format!(
                "{}{refused_by}",
                if ok { "" } else { "NOT AS IT MUST BE: " }
            ),
        );
        self.refusals.push(Refusal {
            what: what.to_owned(),
            refused_by: refused_by.to_owned(),
            ok,
        });
    }

    /// Judges, writes the JSON and prints the sum.
    pub fn finish(&mut self, story_ended: bool, path: &Path) -> std::io::Result<bool> {
        self.ok = story_ended
            && self.handovers.len() >= 2
            && self.handovers.iter().all(|h| h.identical)
            && self.refusals.len() >= 3
            && self.refusals.iter().all(|r| r.ok);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(path, serde_json::to_vec_pretty(self)?)?;
        println!();
        for h in &self.handovers {
            println!(
                "  {} → {}: {} changes, {:.1} MB; closed {} ms after removal; card seen after {} ms; data there {} ms after the PIN; \
                 {} commands to the card, {} bytes; {}",
                h.from,
                h.to,
                h.files,
                h.bytes as f64 / 1e6,
                h.removal_to_closed_ms,
                h.insertion_seen_ms,
                h.pin_to_synced_ms,
                h.apdus,
                h.apdu_bytes,
                if h.identical {
                    "identical"
                } else {
                    "NOT IDENTICAL"
                }
            );
        }
        println!(
            "  {}",
            if self.ok {
                "All is as it must be."
            } else {
                "Something is not as it must be."
            }
        );
        Ok(self.ok)
    }
}

impl Default for Report {
    fn default() -> Self {
        Self::new()
    }
}
