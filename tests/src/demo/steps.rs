//! What a person does, each as one function that tests use too.

use std::time::Duration;

use serde_json::Value;

use crate::rig::{CliResult, Enrolment, Result, Rig, Secrets, Terminal, repository};

/// Somebody with a card.
#[derive(Debug, Clone)]
pub struct Person {
    /// The card's name at the bridge.
    pub card: String,
    /// Subscriber ID.
    pub subscriber: String,
    /// The present PIN.
    pub pin: String,
    /// The present PUK.
    pub puk: String,
    /// The terminal PIN that the person uses everywhere.
    pub terminal_pin: String,
    /// The recovery code, once the vault was made.
    pub recovery: Option<String>,
}

impl Person {
    /// The PINs that the person gives to a command.
    pub fn secrets(&self) -> Secrets {
        Secrets::give("--pin-fd", &self.pin).and("--terminal-pin-fd", &self.terminal_pin)
    }
}

/// A card as it comes from the factory gets the applet, at the reader of `desk`, by GlobalPlatform. It stays there; answers
/// its transport secret.
pub fn install(rig: &mut Rig, desk: &Terminal, name: &str) -> Result<String> {
    rig.bridge.call(&format!("blank-gp {name}"))?;
    rig.bridge.insert(name, desk.port)?;
    desk.wait_status("a card in the reader", |s| {
        s["cards"].as_array().is_some_and(|c| !c.is_empty())
    })?;
    let file = rig.dir.path().join(format!("transport-secret-{name}"));
    let cap = repository().join("target/cap/simsync-simulator.cap");
    let (cap, out) = (cap.to_string_lossy(), file.to_string_lossy());
    desk.card_tool(
        &[
            "install",
            "--cap",
            &cap,
            "--default-test-keys",
            "--transport-secret-out",
            &out,
        ],
        &Secrets::default(),
    )?
    .ok("simsync-card install")?;
    let secret = std::fs::read_to_string(&file).map_err(|e| format!("{out}: {e}"))?;
    Ok(secret.trim().to_owned())
}

/// A card that has the applet already becomes somebody's, at the reader of `desk`.
pub fn provision(rig: &mut Rig, desk: &Terminal, name: &str) -> Result<Person> {
    let secret = rig.bridge.blank(name)?;
    rig.bridge.insert(name, desk.port)?;
    desk.wait_status("a card in the reader", |s| {
        s["cards"].as_array().is_some_and(|c| !c.is_empty())
    })?;
    let person = provision_inserted(rig, desk, name, &secret)?;
    pull(rig, desk, &person)?;
    Ok(person)
}

/// The same, with the card in the reader and its transport secret known; it stays there.
pub fn provision_inserted(rig: &Rig, desk: &Terminal, name: &str, secret: &str) -> Result<Person> {
    let enrolment = rig.server.subscriber(name)?;
    try_provision(rig, desk, (name, secret), &enrolment)?.ok("simsync-card provision")?;
    provisioned(rig, name, &enrolment)
}

/// `simsync-card provision`, whatever comes of it.
pub fn try_provision(
    rig: &Rig,
    desk: &Terminal,
    (name, secret): (&str, &str),
    enrolment: &Enrolment,
) -> Result<CliResult> {
    let letter = rig.dir.path().join(format!("letter-{name}.txt"));
    let server = format!("server.simsync.test:{}", rig.server.public_port);
    desk.card_tool(
        &[
            "provision",
            "--server",
            &server,
            "--ca-pin",
            &rig.server.ca_pin,
            "--subscriber",
            &enrolment.subscriber,
            "--label",
            name,
            "--letter",
            &letter.to_string_lossy(),
        ],
        &Secrets::give("--code-fd", &enrolment.code).and("--transport-secret-fd", secret),
    )
}

/// Who the card of this name belongs to, by its letter.
pub fn provisioned(rig: &Rig, name: &str, enrolment: &Enrolment) -> Result<Person> {
    let letter = rig.dir.path().join(format!("letter-{name}.txt"));
    let text = std::fs::read_to_string(&letter).map_err(|e| e.to_string())?;
    let field = |name: &str| {
        text.lines()
            .find_map(|l| l.strip_prefix(name))
            .map(|v| v.trim().to_owned())
            .ok_or_else(|| format!("the letter has no {name}"))
    };
    Ok(Person {
        card: name.to_owned(),
        subscriber: enrolment.subscriber.clone(),
        pin: field("PIN ")?,
        puk: field("PUK ")?,
        terminal_pin: "a terminal's PIN".to_owned(),
        recovery: None,
    })
}

/// Puts the card in and waits until the daemon knows what it is. Answers the status, and how long that took in
/// milliseconds.
pub fn insert(rig: &mut Rig, terminal: &Terminal, person: &Person) -> Result<(Value, i64)> {
    rig.bridge.reset_stats(&person.card)?;
    let start = now_ms();
    rig.bridge.insert(&person.card, terminal.port)?;
    let looked_at = |s: &Value| {
        s["cards"].as_array().is_some_and(|c| {
            c.iter()
                .any(|c| c["state"].as_str().is_some_and(|s| s != "looking"))
        })
    };
    seen_or_again(rig, terminal, &person.card)?;
    let status = terminal.wait_status("the card to be looked at", looked_at)?;
    let seen = crate::rig::mark(&status, "inserted").map_or(0, |t| t - start);
    Ok((status, seen))
}

/// After so long without a sign of the card pcscd is asked.
const BLIND_AFTER: Duration = Duration::from_secs(3);

/// Waits a moment for the daemon to see a card that was put in. If pcscd itself does not see it, it is put in once more,
/// as a person would.
fn seen_or_again(rig: &mut Rig, terminal: &Terminal, card: &str) -> Result<()> {
    let seen = terminal.wait_status_for("the card to be seen", BLIND_AFTER, |s| {
        s["cards"].as_array().is_some_and(|c| !c.is_empty())
    });
    if seen.is_err() && pcscd_is_blind(terminal)? {
        rig.bridge.eject(card)?;
        // What is counted is counted from the insertion that was seen.
        rig.bridge.reset_stats(card)?;
        rig.bridge.insert(card, terminal.port)?;
    }
    Ok(())
}

/// Whether pcscd itself sees no card in any reader. Debian 12's (1.9.9) can lose sight of one for good when a program that
/// was connected dies while the card is changed: it says "removed" while its driver talks to the card. What a
/// daemon does not see while pcscd does is still a failure.
fn pcscd_is_blind(terminal: &Terminal) -> Result<bool> {
    let told = terminal
        .card_tool(&["readers"], &Secrets::default())?
        .ok("simsync-card readers")?;
    let readers = told.json["readers"].as_array();
    Ok(readers.is_some_and(|all| all.iter().all(|r| r["state"] == "empty")))
}

/// Takes a card out at once, and waits until the terminal has noticed.
pub fn take_out(rig: &mut Rig, terminal: &Terminal, card: &str) -> Result<()> {
    rig.bridge.eject(card)?;
    gone(rig, terminal, card)
}

/// The card is out: waits until the terminal has noticed. If pcscd itself goes on seeing it, which is the same weakness the
/// other way round, it is put in and taken out once more.
pub fn gone(rig: &mut Rig, terminal: &Terminal, card: &str) -> Result<()> {
    let is_out = |s: &Value| s["cards"].as_array().is_some_and(Vec::is_empty);
    let noticed = terminal.wait_status_for("the card to be gone", BLIND_AFTER, is_out);
    if noticed.is_err() && !pcscd_is_blind(terminal)? {
        rig.bridge.insert(card, terminal.port)?;
        rig.bridge.eject(card)?;
    }
    terminal.wait_status("the card to be gone", is_out)?;
    Ok(())
}

/// Pairs the terminal with the person's card, which is in. At the first pairing the PIN of the letter is changed.
pub fn pair(terminal: &Terminal, person: &mut Person, first: bool) -> Result<()> {
    let new_pin = if first {
        "2468".to_owned()
    } else {
        person.pin.clone()
    };
    let secrets = Secrets::give("--pin-fd", &person.pin)
        .and("--new-pin-fd", &new_pin)
        .and("--terminal-pin-fd", &person.terminal_pin)
        .take("--puk-fd")
        .take("--recovery-fd");
    let result = terminal.simsync(&["pair"], &secrets)?.ok("simsync pair")?;
    if first {
        person.pin = new_pin;
        if let Some(puk) = result.secrets.get("--puk-fd").filter(|p| !p.is_empty()) {
            person.puk.clone_from(puk);
        }
        person.recovery = result
            .secrets
            .get("--recovery-fd")
            .filter(|r| !r.is_empty())
            .cloned();
    }
    terminal.wait_status("the card to be known after pairing", |s| {
        s["state"]
            .as_str()
            .is_some_and(|s| s != "pairing" && s != "unpaired")
            && s["cards"]
                .as_array()
                .is_some_and(|c| c.iter().any(|c| c["state"] == "paired"))
    })?;
    Ok(())
}

/// Types the PIN and waits until the data is there. Answers the status.
pub fn unlock(terminal: &Terminal, person: &Person) -> Result<Value> {
    terminal
        .simsync(&["unlock"], &person.secrets())?
        .ok("simsync unlock")?;
    terminal.wait_status("the data to be there", |s| {
        s["state"] == "synced" && crate::rig::mark(s, "synced") >= crate::rig::mark(s, "opened")
    })
}

/// `simsync unlock --await-card`, and the card put in while it waits.
pub fn unlock_at_insertion(
    rig: &mut Rig,
    terminal: &Terminal,
    person: &Person,
) -> Result<CliResult> {
    let secrets =
        Secrets::give("--pin-fd", &person.pin).and("--terminal-pin-fd", &person.terminal_pin);
    rig.bridge.reset_stats(&person.card)?;
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| terminal.simsync(&["unlock", "--await-card"], &secrets));
        terminal.wait_status("somebody who has the PIN", |s| s["has_agent"] == true)?;
        rig.bridge.insert(&person.card, terminal.port)?;
        seen_or_again(rig, terminal, &person.card)?;
        waiting
            .join()
            .unwrap_or_else(|_| Err("simsync unlock: the thread that waited for it ended".into()))
    })
}

/// Registers the terminal's folder as the collection `name`.
pub fn add_collection(terminal: &Terminal, person: &Person, name: &str) -> Result<Value> {
    let path = terminal.data.to_string_lossy().into_owned();
    let r = terminal
        .simsync(
            &["collections", "add", name, &path],
            &Secrets::give("--pin-fd", &person.pin),
        )?
        .ok("simsync collections add")?;
    Ok(r.json)
}

/// `simsync eject`, then takes the card out.
pub fn eject(rig: &mut Rig, terminal: &Terminal, person: &Person) -> Result<()> {
    // Asked for only where another program made the card forget the session.
    let secrets = Secrets::give("--pin-fd", &person.pin);
    terminal
        .simsync(&["eject"], &secrets)?
        .ok("simsync eject")?;
    pull(rig, terminal, person)
}

/// Takes the card out as it is, and waits until the terminal has noticed.
pub fn pull(rig: &mut Rig, terminal: &Terminal, person: &Person) -> Result<()> {
    take_out(rig, terminal, &person.card)
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
