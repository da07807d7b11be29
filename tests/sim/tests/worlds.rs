//! Worlds from seeds: `make test` has 20,000 operations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

/// Operations in all.
const OPERATIONS: u32 = 20_000;

#[test]
fn a_world_under_one_seed_keeps_its_promises() {
    let ended = Command::new(env!("CARGO_BIN_EXE_sim"))
        .arg(OPERATIONS.to_string())
        .status()
        .unwrap();
    assert!(ended.success(), "a world is not as it must be: see above");
}
