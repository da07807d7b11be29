//! Worlds from seeds: `make test` has 20,000 operations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

/// Operations in all.
const OPERATIONS: u32 = 20_000;
/// The first of the worlds, where none is asked for: the same ones each time, so that what fails here was broken by a change.
/// `make soak` goes to worlds where nobody was.
const FIRST: &str = "1";

#[test]
fn a_world_under_one_seed_keeps_its_promises() {
    let ended = Command::new(env!("CARGO_BIN_EXE_sim"))
        .arg(OPERATIONS.to_string())
        .env(
            "SIMSYNC_TEST_SEED",
            std::env::var("SIMSYNC_TEST_SEED")
                .as_deref()
                .unwrap_or(FIRST),
        )
        .status()
        .unwrap();
    assert!(ended.success(), "a world is not as it must be: see above");
}
