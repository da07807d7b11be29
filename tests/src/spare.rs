//! Spare cards, as an owner adds them with one reader.

use serde_json::Value;

use crate::demo::{Person, eject, insert, provisioned, pull, try_provision};
use crate::rig::{CliResult, Enrolment, Result, Rig, Secrets, Terminal};

/// The PIN that a spare card gets when it is added.
pub const PIN: &str = "1357";

/// Another card of the same person, provisioned at this terminal's reader and out again.
pub fn spare_for(rig: &mut Rig, desk: &Terminal, person: &Person, name: &str) -> Result<Person> {
    let code = rig
        .server
        .admin(&["subscriber", "code", &person.subscriber])?;
    let enrolment = Enrolment {
        subscriber: person.subscriber.clone(),
        code: code["code"].as_str().unwrap_or_default().to_owned(),
    };
    let secret = rig.bridge.blank(name)?;
    rig.bridge.insert(name, desk.port)?;
    desk.wait_status("the blank card", |s| {
        s["cards"].as_array().is_some_and(|c| !c.is_empty())
    })?;
    try_provision(rig, desk, (name, &secret), &enrolment)?.ok("simsync-card provision")?;
    let spare = provisioned(rig, name, &enrolment)?;
    pull(rig, desk, &spare)?;
    Ok(spare)
}

/// One step of `simsync card add`, with the card that is in.
pub fn step(terminal: &Terminal, person: &Person) -> Result<CliResult> {
    let secrets = person.secrets().and("--new-pin-fd", PIN).take("--puk-fd");
    terminal.simsync(&["card", "add", "--step"], &secrets)
}

/// Which card the next step is for.
pub fn next(done: &CliResult) -> &str {
    done.json["job"]["result"]["next"]
        .as_str()
        .unwrap_or_default()
}

/// The new card's keys are read. It is out afterwards.
pub fn read(rig: &mut Rig, terminal: &Terminal, spare: &mut Person) -> Result<()> {
    insert(rig, terminal, spare)?;
    let read = step(terminal, spare)?.ok("card add, the new card")?;
    if next(&read) != "main-card" {
        return Err(format!("after the new card: {}", read.json));
    }
    spare.pin = PIN.to_owned();
    pull(rig, terminal, spare)
}

/// The new card's keys are read, and the card in use names it. Both are out afterwards; answers the new card's ID.
pub fn add(
    rig: &mut Rig,
    terminal: &Terminal,
    person: &Person,
    spare: &mut Person,
) -> Result<String> {
    read(rig, terminal, spare)?;
    insert(rig, terminal, person)?;
    let named = step(terminal, person)?.ok("card add, the usual card")?;
    if next(&named) != "new-card" {
        return Err(format!("after the usual card: {}", named.json));
    }
    eject(rig, terminal, person)?;
    let id = named.json["job"]["result"]["card"].as_str();
    Ok(id.unwrap_or_default().to_owned())
}

/// The person's cards, as `simsync card list` has them.
pub fn cards(terminal: &Terminal) -> Result<Vec<Value>> {
    let shown = terminal
        .simsync(&["card", "list"], &Secrets::default())?
        .ok("simsync card list")?;
    Ok(shown.json["cards"].as_array().cloned().unwrap_or_default())
}
