//! How most end-to-end tests begin.

use crate::demo::{Person, add_collection, eject, insert, pair, provision, unlock};
use crate::rig::{DEADLINE, Result, Rig, Secrets, Terminal, wait_for};
use crate::tree;

/// The seed of this run, printed so that a failure can be repeated with `SIMSYNC_TEST_SEED`.
pub fn seed() -> u64 {
    let given = std::env::var("SIMSYNC_TEST_SEED")
        .ok()
        .and_then(|s| s.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("SIMSYNC_TEST_SEED={seed}");
    seed
}

/// A person with one paired terminal that syncs a folder holding `first.txt`; the card is out.
pub fn paired(rig: &mut Rig, name: &str) -> Result<(Terminal, Person)> {
    paired_with(rig, name, "card", &serde_json::json!({}))
}

/// The same, with a card of this name (for worlds with several persons) and settings of the terminal.
pub fn paired_with(
    rig: &mut Rig,
    name: &str,
    card: &str,
    settings: &serde_json::Value,
) -> Result<(Terminal, Person)> {
    let terminal = rig.terminal_with(name, settings)?;
    let mut person = provision(rig, &terminal, card)?;
    insert(rig, &terminal, &person)?;
    pair(&terminal, &mut person, true)?;
    unlock(&terminal, &person)?;
    std::fs::write(terminal.data.join("first.txt"), "first").map_err(|e| e.to_string())?;
    add_collection(&terminal, &person, "Documents")?;
    eject(rig, &terminal, &person)?;
    Ok((terminal, person))
}

/// A second terminal of the same person with the same folder, holding what the first one has; the card is out.
pub fn joined(rig: &mut Rig, person: &mut Person, name: &str) -> Result<Terminal> {
    joined_with(rig, person, name, &serde_json::json!({}))
}

/// The same, with settings of the terminal.
pub fn joined_with(
    rig: &mut Rig,
    person: &mut Person,
    name: &str,
    settings: &serde_json::Value,
) -> Result<Terminal> {
    let terminal = rig.terminal_with(name, settings)?;
    insert(rig, &terminal, person)?;
    pair(&terminal, person, false)?;
    unlock(&terminal, person)?;
    add_collection(&terminal, person, "Documents")?;
    terminal.wait_status("the folder to be there", |_| {
        terminal.data.join("first.txt").exists()
    })?;
    eject(rig, &terminal, person)?;
    Ok(terminal)
}

/// Whether a status gives this reason.
pub fn has_reason(status: &serde_json::Value, code: &str) -> bool {
    let reasons = status["reasons"].as_array();
    reasons.is_some_and(|all| all.iter().any(|r| r["code"] == code))
}

/// Labels of the terminals on the card that is in, sorted.
pub fn on_card(terminal: &Terminal, person: &Person) -> Result<Vec<String>> {
    let shown = terminal
        .card_tool(
            &["terminal", "list"],
            &Secrets::give("--pin-fd", &person.pin),
        )?
        .ok("simsync-card terminal list")?;
    let list = shown.json["terminals"].as_array();
    let labels = list.into_iter().flatten();
    let mut labels: Vec<String> = labels
        .filter_map(|t| Some(t["label"].as_str()?.to_owned()))
        .collect();
    labels.sort();
    Ok(labels)
}

/// Waits until two terminals hold the same; tells what differs and what they say of themselves if that does not come.
pub fn equal(a: &Terminal, b: &Terminal) -> Result<()> {
    let mut last = String::new();
    let found = wait_for(
        &format!("{} and {} to be equal", a.name, b.name),
        DEADLINE,
        || match tree::differences(&a.data, &b.data) {
            Ok(None) => Some(()),
            Ok(Some(why)) | Err(why) => {
                last = why;
                None
            }
        },
    );
    found.map_err(|e| format!("{e}: {last}\n{}\n{}", tell(a), tell(b)))
}

/// What a terminal says of itself, for a failed test.
pub fn tell(t: &Terminal) -> String {
    let status = t.status().map_or_else(|e| e, |s| s.to_string());
    let log = t.daemon_log();
    let lines: Vec<&str> = log.lines().collect();
    let tail = &lines[lines.len().saturating_sub(25)..];
    format!("{}: {status}\n{}", t.name, tail.join("\n"))
}
