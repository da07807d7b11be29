//! docs/durability.md lists every step that the code has, and no other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;

fn steps_in(dir: &Path, out: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            steps_in(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let calls = text.split("failpoint::step(\"").skip(1);
            out.extend(calls.filter_map(|c| c.split('"').next()).map(str::to_owned));
        }
    }
}

#[test]
fn every_durable_step_is_listed() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut in_code = Vec::new();
    for part in ["daemon/src", "server/src"] {
        steps_in(&top.join(part), &mut in_code);
    }
    let once: BTreeSet<String> = in_code.iter().cloned().collect();
    assert_eq!(once.len(), in_code.len(), "two steps have one name");
    let page = std::fs::read_to_string(top.join("docs/durability.md")).unwrap();
    let rows = page.lines().filter(|l| l.starts_with("| `"));
    let first = rows.filter_map(|l| l.split('|').nth(1));
    let listed: BTreeSet<String> = first
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    assert_eq!(once, listed);
}

#[test]
fn what_is_installed_is_built_without_fail_points() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let makefile = std::fs::read_to_string(top.join("Makefile")).unwrap();
    let mut builds = makefile.lines().filter(|l| l.contains("--release"));
    assert!(builds.all(|l| l.contains("--exclude simsync-sim")));
    for manifest in ["daemon/Cargo.toml", "server/Cargo.toml"] {
        let text = std::fs::read_to_string(top.join(manifest)).unwrap();
        assert!(!text.contains("default ="), "{manifest}");
    }
}
