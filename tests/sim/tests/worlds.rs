//! Worlds from seeds: `make test` has 20,000 operations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

/// Operations in all.
const OPERATIONS: u32 = 20_000;

#[test]
fn a_world_under_one_seed_keeps_its_promises() {
    // The same worlds each time; `make soak` takes others.
    let seed = std::env::var("SIMSYNC_TEST_SEED").unwrap_or_else(|_| "1".to_owned());
    let ended = Command::new(env!("CARGO_BIN_EXE_sim"))
        .arg(OPERATIONS.to_string())
        .env("SIMSYNC_TEST_SEED", seed)
        .status()
        .unwrap();
    assert!(ended.success(), "a world is not as it must be: see above");
}
