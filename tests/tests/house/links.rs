//! Links of the documents: what they lead to is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Markdown files of the project, by Git's list of files: what is built, or fetched, is not among them.
pub fn documents(top: &Path) -> Vec<PathBuf> {
    let out = std::process::Command::new("git")
        .arg("-C")
        .arg(top)
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--", "*.md"])
        .output()
        .expect("git");
    assert!(out.status.success(), "git ls-files failed");
    let names = out.stdout.split(|b| *b == 0).filter(|n| !n.is_empty());
    names
        .map(|n| top.join(std::str::from_utf8(n).expect("names are UTF-8")))
        .collect()
}

/// What the links of a text lead to, code left out.
fn links(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for part in line.split("](").skip(1) {
            if let Some(end) = part.find(')') {
                out.push(&part[..end]);
            }
        }
    }
    out
}

/// The anchor of a heading, as renderers of Markdown make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter_map(|l| {
        let rest = l.trim_start_matches('#');
        (rest.len() < l.len()).then(|| anchor(rest))
    });
    headings.collect()
}

/// Links of a document that lead nowhere.
pub fn broken(document: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(document).expect("a document");
    let folder = document.parent().expect("a folder");
    let leads_nowhere = |link: &&str| {
        if link.contains("://") || link.starts_with("mailto:") {
            return false;
        }
        let (path, part) = link.split_once('#').unwrap_or((link, ""));
        let target = if path.is_empty() {
            document.to_owned()
        } else {
            folder.join(path)
        };
        if !target.exists() {
            return true;
        }
        let is_text = target.extension().is_some_and(|e| e == "md");
        !part.is_empty()
            && is_text
            && !anchors(&std::fs::read_to_string(&target).expect("a document")).contains(part)
    };
    links(&text)
        .into_iter()
        .filter(leads_nowhere)
        .map(|link| format!("{}: {link}", document.display()))
        .collect()
}
