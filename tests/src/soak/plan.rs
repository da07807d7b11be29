//! How much of everything is done.

use simsync_rig::rig::Result;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Sequences of commands for the applet and its model.
    pub sequences: u64,
    /// Rounds of other programs at the reader.
    pub foreign: u64,
    /// People who get cards in one batch.
    pub cards: usize,
    /// Each how-manieth APDU of an operation is yanked.
    pub stride: usize,
    /// Seconds for each decoder that is fuzzed.
    pub fuzz_seconds: u64,
    /// Operations in worlds of the simulator.
    pub operations: u64,
    /// Where all chance comes from.
    pub seed: u64,
}

impl Plan {
    /// By `SOAK` (`quick`, or not set) and `SOAK_SEED`.
    pub fn from_environment() -> Result<Self> {
        let seed = match std::env::var("SOAK_SEED") {
            Ok(text) => text
                .parse()
                .map_err(|_| format!("SOAK_SEED={text} is no number"))?,
            Err(_) => u64::from(rand::random::<u32>()),
        };
        let whole = Self {
            sequences: 1_000_000,
            foreign: 1_000,
            cards: 200,
            stride: 1,
            fuzz_seconds: 60,
            operations: 2_000_000,
            seed,
        };
        match std::env::var("SOAK").as_deref() {
            Err(_) => Ok(whole),
            Ok("quick") => Ok(Self {
                sequences: whole.sequences / 100,
                foreign: whole.foreign / 100,
                cards: whole.cards / 100,
                stride: 7,
                fuzz_seconds: 1,
                operations: whole.operations / 100,
                ..whole
            }),
            Ok(other) => Err(format!(
                "SOAK={other} is unknown; give quick, or nothing for all of it"
            )),
        }
    }
}
