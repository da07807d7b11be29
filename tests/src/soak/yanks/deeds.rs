//! Operations that can be done again and again with the same card.

use std::time::SystemTime;

use serde_json::Value;
use simsync_rig::demo::{Person, gone, insert, pull, unlock};
use simsync_rig::rig::{CliResult, DEADLINE, Result, Rig, Secrets, Terminal, wait_for};
use simsync_rig::scene;

use super::super::Plan;
use super::super::report::{Operation, Report};
use super::left;
use super::lives::World;
use super::word::{REQUESTS, check_word};

/// More commands than any operation needs.
const MOST: usize = 60;

/// What is done with a card that is in.
struct Deed {
    what: &'static str,
    /// Whether a session has to be open before.
    in_session: bool,
    /// Does it; its own failure is the result's exit code.
    act: fn(&Terminal, &mut Person) -> Result<CliResult>,
    /// Puts right what a yank may have left undecided, before it is done again.
    mend: fn(&Terminal, &mut Person) -> Result<()>,
}

fn nothing(_: &Terminal, _: &mut Person) -> Result<()> {
    Ok(())
}

/// The PIN that the card has now: the new one if the change got that far.
pub fn which_pin(t: &Terminal, p: &mut Person) -> Result<()> {
    let mut answers = Vec::new();
    for pin in [p.pin.clone(), other(&p.pin)] {
        let told = t.card_tool(&["info", "--pin"], &Secrets::give("--pin-fd", &pin))?;
        let message = told.json["error"]["message"].as_str();
        // The first PIN, which must be changed still.
        let due = message.is_some_and(|m| m.contains("must be changed"));
        if told.code == 0 || due {
            p.pin = pin;
            return Ok(());
        }
        answers.push(told.json["error"].to_string());
    }
    Err(format!(
        "neither the old PIN nor the new one is the card's: {}",
        answers.join(", ")
    ))
}

/// A collection that comes and goes.
const MORE: &str = "More";

/// Takes it out again, if it is there.
fn without_more(t: &Terminal, p: &mut Person) -> Result<()> {
    let status = t.status()?;
    let collections = status["collections"].as_array();
    // Without a path it is one that others could sync.
    let is_here = |c: &Value| c["name"] == MORE && c["path"].is_string();
    if collections.is_some_and(|all| all.iter().any(is_here)) {
        t.simsync(&["collections", "remove", MORE], &p.secrets())?
            .ok("simsync collections remove")?;
    }
    Ok(())
}

/// As long as a PIN can be, so that it is not found in a memory by chance.
pub(super) const NEW_PIN: &str = "24681357";

fn other(pin: &str) -> String {
    if pin == NEW_PIN { "86427531" } else { NEW_PIN }.to_owned()
}

const DEEDS: &[Deed] = &[
    Deed {
        what: "simsync unlock",
        in_session: false,
        act: |t, p| t.simsync(&["unlock"], &p.secrets()),
        mend: nothing,
    },
    Deed {
        what: "simsync eject",
        in_session: true,
        act: |t, _| t.simsync(&["eject"], &Secrets::default()),
        mend: nothing,
    },
    Deed {
        what: "simsync sync, after the wire was cut",
        in_session: true,
        act: |t, p| {
            t.wire.set_down(true);
            let name = t.data.join("while the wire was cut.txt");
            std::fs::write(name, format!("{:?}", SystemTime::now())).map_err(|e| e.to_string())?;
            t.wait_status("the server to be missed", |s| s["online"] == false)?;
            t.wire.set_down(false);
            t.simsync(&["sync"], &p.secrets())
        },
        mend: nothing,
    },
    Deed {
        what: "simsync collections add",
        in_session: true,
        act: |t, p| {
            let path = t.data.with_file_name("more");
            std::fs::create_dir_all(&path).map_err(|e| e.to_string())?;
            let args = ["collections", "add", MORE, &path.to_string_lossy()];
            t.simsync(&args, &p.secrets())
        },
        mend: without_more,
    },
    Deed {
        what: "simsync pin change",
        in_session: false,
        act: |t, p| {
            let secrets = Secrets::give("--pin-fd", &p.pin).and("--new-pin-fd", &other(&p.pin));
            t.simsync(&["pin", "change"], &secrets)
        },
        mend: which_pin,
    },
    Deed {
        what: "simsync pair, again",
        in_session: false,
        act: |t, p| t.simsync(&["pair"], &p.secrets()),
        mend: nothing,
    },
    Deed {
        what: "simsync-card info",
        in_session: false,
        act: |t, p| t.card_tool(&["info", "--pin"], &Secrets::give("--pin-fd", &p.pin)),
        mend: nothing,
    },
    Deed {
        what: "simsync-card pin change",
        in_session: false,
        act: |t, p| {
            let secrets = Secrets::give("--pin-fd", &p.pin).and("--new-pin-fd", &other(&p.pin));
            t.card_tool(&["pin", "change"], &secrets)
        },
        mend: which_pin,
    },
    Deed {
        what: "simsync-card pin unblock",
        in_session: false,
        act: |t, p| {
            let secrets = Secrets::give("--puk-fd", &p.puk).and("--new-pin-fd", &p.pin);
            t.card_tool(&["pin", "unblock"], &secrets)
        },
        mend: nothing,
    },
    Deed {
        what: "simsync-card doctor",
        in_session: false,
        act: |t, p| t.card_tool(&["doctor", "--pin"], &Secrets::give("--pin-fd", &p.pin)),
        mend: nothing,
    },
    Deed {
        what: "simsync-card readers",
        in_session: false,
        act: |t, _| t.card_tool(&["readers"], &Secrets::default()),
        mend: nothing,
    },
    Deed {
        what: "simsync-card terminal list",
        in_session: false,
        act: |t, p| t.card_tool(&["terminal", "list"], &Secrets::give("--pin-fd", &p.pin)),
        mend: nothing,
    },
];

pub fn run(plan: &Plan, report: &mut Report, world: &mut World) -> Result<()> {
    for deed in DEEDS {
        for request in REQUESTS {
            if let Err(why) = everywhere(plan, report, world, deed, request) {
                let told = scene::tell(&world.a);
                report.fail(format!("{}, {request}: {why}\n{told}", deed.what));
                world.take_out()?;
            }
        }
    }
    for request in REQUESTS {
        if let Err(why) = at_insertion(plan, report, world, request) {
            let told = scene::tell(&world.a);
            report.fail(format!("{LOOK}, {request}: {why}\n{told}"));
            world.take_out()?;
        }
    }
    Ok(())
}

const LOOK: &str = "simsyncd, a card comes";

/// The daemon's own look at a card that comes: yanked, it is looked at anew when it is in again.
fn at_insertion(plan: &Plan, report: &mut Report, world: &mut World, request: &str) -> Result<()> {
    let World {
        rig, a: t, person, ..
    } = world;
    for (yanked, n) in (1..MOST).step_by(plan.stride).enumerate() {
        rig.bridge.insert(&person.card, t.port)?;
        // pcscd has not even seen it yet.
        rig.bridge.call(&format!("{request} {} {n}", person.card))?;
        let yanked_now = wait_for("the look to end", DEADLINE, || {
            let is_in = rig.bridge.is_in(&person.card).unwrap_or(false);
            let known = t.status().is_ok_and(|s| s["cards"][0]["state"] == "paired");
            (!is_in || known).then_some(!is_in)
        })?;
        put_away(rig, t, person)?;
        insert(rig, t, person)?;
        unlock(t, person)?;
        pull(rig, t, person)?;
        if !yanked_now {
            report.operations.push(Operation {
                what: format!("{LOOK}, {request}"),
                apdus: n - 1,
                yanked,
            });
            return Ok(());
        }
        report.yanks += 1;
    }
    Err(format!("more than {MOST} commands"))
}

/// The card is out afterwards, also if it was yanked only now, in the middle of what the daemon still did with it.
fn put_away(rig: &mut Rig, t: &Terminal, person: &Person) -> Result<()> {
    let idle = rig.bridge.call(&format!("wait-idle {} 150", person.card));
    if rig.bridge.is_in(&person.card)? {
        idle?;
    }
    rig.bridge.take_out(&person.card)?;
    gone(rig, t, &person.card)
}

fn everywhere(
    plan: &Plan,
    report: &mut Report,
    world: &mut World,
    deed: &Deed,
    request: &str,
) -> Result<()> {
    let World {
        rig, a: t, person, ..
    } = world;
    for (yanked, n) in (1..MOST).step_by(plan.stride).enumerate() {
        insert(rig, t, person)?;
        if deed.in_session {
            unlock(t, person)?;
            let name = format!("{} {request} {n}.txt", deed.what.replace(' ', "-"));
            std::fs::write(t.data.join(&name), &name).map_err(|e| e.to_string())?;
        }
        // The daemon's own look at the card is over: what comes now is the deed's.
        rig.bridge.call(&format!("wait-idle {} 150", person.card))?;
        rig.bridge.call(&format!("{request} {} {n}", person.card))?;
        let result = (deed.act)(t, person)?;
        if rig.bridge.is_in(&person.card)? {
            // It needs fewer commands than that: this one was done undisturbed.
            result.ok(deed.what)?;
            // Out and in again: the yank is still to come otherwise.
            put_away(rig, t, person)?;
            insert(rig, t, person)?;
            (deed.mend)(t, person)?;
            pull(rig, t, person)?;
            report.operations.push(Operation {
                what: format!("{}, {request}", deed.what),
                apdus: n - 1,
                yanked,
            });
            return Ok(());
        }
        report.yanks += 1;
        check_word(&result).map_err(|e| format!("yanked at {n}: {e}"))?;
        gone(rig, t, &person.card)?;
        let keys = left::needles(t, person)?;
        left::search(report, [&*t], &keys).map_err(|e| format!("yanked at {n}: {e}"))?;
        insert(rig, t, person)?;
        (deed.mend)(t, person)?;
        if deed.in_session {
            unlock(t, person)?;
        }
        (deed.act)(t, person)?
            .ok(deed.what)
            .map_err(|e| format!("again after a yank at {n}: {e}"))?;
        (deed.mend)(t, person)?;
        pull(rig, t, person)?;
    }
    Err(format!("more than {MOST} commands"))
}
