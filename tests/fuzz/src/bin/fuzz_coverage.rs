//! libFuzzer over one target, which `SIMSYNC_FUZZ_TARGET` names. `make fuzz` builds it with coverage and runs it.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer finds its entry by a symbol")]

use std::sync::OnceLock;

use simsync_fuzz::run::one;
use simsync_fuzz::{TARGETS, Target};

fn target() -> &'static Target {
    static TARGET: OnceLock<&'static Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("SIMSYNC_FUZZ_TARGET").unwrap_or_default();
        let Some(found) = TARGETS.iter().find(|t| t.name == name) else {
            eprintln!("SIMSYNC_FUZZ_TARGET={name} is no target");
            std::process::exit(2);
        };
        found
    })
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Err(failure) = one(target(), input) {
        eprintln!("fuzz: {}: {}", failure.target, failure.why);
        std::process::abort();
    }
});
