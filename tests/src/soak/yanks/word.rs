//! How the card goes, and what must be said then.

use simsync_rig::claims::PARTIAL;
use simsync_rig::rig::{CliResult, Result, repository};

/// How the card goes: with the n-th command done and its answer lost, or before it.
pub(super) const REQUESTS: [&str; 2] = ["yank", "yank-before"];

/// What a command that was interrupted must have said: that it failed, by a code that its document has, and why.
pub(super) fn check_word(result: &CliResult) -> Result<()> {
    let json = &result.json;
    // A yank at the answer to the last command may come too late to matter; doctor tells line by line.
    if result.code == 0 || json["checks"].is_array() {
        return Ok(());
    }
    // It was done, and what was not is said: the card not told, or files that are not in sync.
    let told = &json["job"]["result"];
    let left = told["outstanding"].as_str().is_some_and(|n| n != "0");
    if result.code == PARTIAL && (left || told["card-not-told"].is_string()) {
        return Ok(());
    }
    let error = &json["error"];
    let text = |key: &str| error[key].as_str().unwrap_or_default();
    let sentence = [text("sentence"), text("message")].concat();
    let path = repository().join("docs/errors.md");
    let known = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    if !known.contains(&format!("`{}`", text("code"))) || sentence.split_whitespace().count() < 3 {
        return Err(format!(
            "exit code {}, and no word of why: {json} {}",
            result.code, result.stderr
        ));
    }
    Ok(())
}
