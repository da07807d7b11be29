//! How most end-to-end tests begin.

use crate::demo::{Person, add_collection, eject, insert, pair, provision, unlock};
use crate::rig::{Result, Rig, Terminal};

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
    paired_with(rig, name, "card")
}

/// The same, with a card of this name: for worlds with several persons.
pub fn paired_with(rig: &mut Rig, name: &str, card: &str) -> Result<(Terminal, Person)> {
    let terminal = rig.terminal(name)?;
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
    let terminal = rig.terminal(name)?;
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
