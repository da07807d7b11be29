//! With the card out, no daemon holds what the session needed.

use simsync_rig::demo::Person;
use simsync_rig::memory::{Needles, nothing_is_left, vault_keys};
use simsync_rig::rig::{Result, Terminal};

use super::super::report::Report;

/// Keys of the vault as a terminal of this person knows them now, and what the person types and keeps.
pub(super) fn needles(t: &Terminal, person: &Person) -> Result<Needles> {
    let mut out = vault_keys(t, person)?;
    let code = person.recovery.clone().unwrap_or_default();
    let typed = [
        ("the card's PIN", person.pin.clone()),
        ("the PUK", person.puk.clone()),
        ("the terminal's PIN", person.terminal_pin.clone()),
        ("the recovery code", code),
    ];
    // Shorter ones are found by chance.
    let long = typed.into_iter().filter(|(_, text)| text.len() >= 8);
    out.extend(long.map(|(name, text)| (name.to_owned(), text.into_bytes())));
    Ok(out)
}

/// Looks through the memory of those of these terminals whose daemon runs.
pub(super) fn search<'a>(
    report: &mut Report,
    terminals: impl IntoIterator<Item = &'a Terminal>,
    needles: &Needles,
) -> Result<()> {
    for t in terminals {
        if t.daemon_pid().is_some() {
            nothing_is_left(t, needles).map_err(|why| format!("{}: {why}", t.name))?;
            report.memories += 1;
        }
    }
    Ok(())
}
