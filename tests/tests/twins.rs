//! The applet against the model: a sample of what `make soak` does at length.
#![allow(clippy::unwrap_used)]

use simsync_rig::scene;
use simsync_rig::twins::{compare, undocumented};

/// Sequences, unless `SIMSYNC_SEQUENCES` says otherwise.
const SEQUENCES: u64 = 2_000;

#[test]
fn m18_model_and_applet_answer_alike_and_survive_cuts() {
    let least = std::env::var("SIMSYNC_SEQUENCES").ok();
    let least = least.and_then(|n| n.parse().ok()).unwrap_or(SEQUENCES);
    let counts = compare(scene::seed(), least, |_| {}).unwrap_or_else(|e| panic!("{e}"));
    println!("{counts:?}");
    assert!(counts.cuts > least / 20, "{counts:?}");
    assert!(counts.status_words.len() > 10, "{counts:?}");
    assert_eq!(undocumented(&counts).unwrap(), Vec::<String>::new());
    assert!(counts.longest <= 255, "{counts:?}");
}
