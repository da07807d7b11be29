//! The house itself: no module depends on itself through others, and no link of a document leads nowhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

mod circles;
mod links;
mod modules;

use std::path::{Path, PathBuf};

use modules::Modules;

/// Folders with a `src` of their own, and what stands at its top.
fn crates() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut out: Vec<PathBuf> = std::fs::read_dir(top.join("crates"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    for name in [
        "daemon",
        "cli",
        "server",
        "card-tools",
        "tests",
        "tests/ifd",
        "tests/fuzz",
    ] {
        out.push(top.join(name));
    }
    out.sort();
    out
}

#[test]
fn no_module_depends_on_itself_through_others() {
    let mut found = Vec::new();
    for folder in crates() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let modules = Modules::read(&folder.join("src"));
        assert!(!modules.is_empty(), "{name} has no modules");
        let edges = modules.edges();
        for circle in circles::circles(&edges) {
            let uses = circle.iter().map(|module| {
                let within: Vec<&str> = edges[module]
                    .iter()
                    .filter(|used| circle.contains(used))
                    .map(String::as_str)
                    .collect();
                format!("\n  {module} uses {}", within.join(", "))
            });
            found.push(format!("{name}:{}", uses.collect::<String>()));
        }
    }
    assert!(
        found.is_empty(),
        "{} circles:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn a_circle_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod a;\nmod b;\npub use a::A;\n");
    write("a.rs", "use crate::b::f;\npub struct A;\nfn g() { f() }\n");
    write("b/mod.rs", "mod c;\npub use c::f;\n");
    // By a re-export of the crate, and in an expression.
    write("b/c.rs", "pub fn f() { let _ = crate::A; }\n");
    let circles = circles::circles(&Modules::read(dir.path()).edges());
    assert_eq!(circles, [["a", "b::c"]]);
    // Tests may look at everything.
    write(
        "b/c.rs",
        "pub fn f() {}\n#[cfg(test)]\nmod tests { use crate::A; }\n",
    );
    assert!(circles::circles(&Modules::read(dir.path()).edges()).is_empty());
    // A child that uses what its parent holds, where the parent uses the child.
    write("b/mod.rs", "mod c;\npub struct B;\nfn g() { c::f() }\n");
    write("b/c.rs", "use super::B;\npub fn f() { let _ = B; }\n");
    let circles = circles::circles(&Modules::read(dir.path()).edges());
    assert_eq!(circles, [["b", "b::c"]]);
}

#[test]
fn links_of_the_documents_lead_somewhere() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let documents = links::documents(&top);
    assert!(documents.len() > 30, "{} documents", documents.len());
    let broken: Vec<String> = documents.iter().flat_map(|d| links::broken(d)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_broken_link_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let document = dir.path().join("a.md");
    let text = "# One `word`, two\n[a](b.md) [c](#one-word-two) [d](#three) [e](a.md#one-word-two)\n```\n[f](g.md)\n```\n";
    std::fs::write(&document, text).unwrap();
    let found: Vec<String> = links::broken(&document);
    let links: Vec<&str> = found
        .iter()
        .map(|l| l.rsplit(' ').next().unwrap())
        .collect();
    assert_eq!(links, ["b.md", "#three"]);
}
