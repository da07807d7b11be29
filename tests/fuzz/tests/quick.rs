//! A few thousand inputs for each decoder, the same ones each time. `make fuzz` takes longer.
#![allow(clippy::panic, reason = "a failed test is told by its panic")]

use simsync_fuzz::run::{Until, run};
use simsync_fuzz::{TARGETS, Target, corpus};

/// Inputs of each target. Those with a public-key operation in each are slow.
fn inputs(target: &Target) -> u64 {
    match target.name {
        "item" | "card" | "card-text" => 1_000,
        "sealed" => 2_000,
        _ => 4_000,
    }
}

#[test]
fn w_8_no_decoder_panics_or_takes_more_memory_than_it_may() {
    let failed: Vec<String> = TARGETS
        .iter()
        .filter_map(|target| run(target, 8, Until::Inputs(inputs(target))).err())
        .map(|f| format!("{}: {}\n{}", f.target, f.why, hex::encode(&f.input)))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn w_8_each_decoder_takes_what_our_own_code_makes() {
    for target in TARGETS {
        let samples = (target.samples)();
        let taken = samples.iter().filter(|s| (target.feed)(s)).count();
        assert!(taken > 0, "{} takes none of its samples", target.name);
    }
}

#[test]
fn w_8_kept_inputs_belong_to_a_target() {
    let Some(first) = TARGETS.first() else {
        panic!("no targets")
    };
    let Some(folder) = corpus::stored(first)
        .parent()
        .map(std::path::Path::to_owned)
    else {
        panic!("no folder")
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let known = TARGETS.iter().any(|t| *t.name == name);
        assert!(known, "{} is no target", name.display());
    }
}
