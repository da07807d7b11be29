//! The card is yanked at every single command of every operation: a clear sentence, a retry that ends well, nothing lost.

use serde_json::Value;
use simsync_rig::demo::{Person, eject, insert, provisioned, pull, try_provision, unlock};
use simsync_rig::rig::{CliResult, Result, Rig, Secrets, Terminal};
use simsync_rig::scene;

use super::report::Operation;
use super::{Plan, Report};

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
fn which_pin(t: &Terminal, p: &mut Person) -> Result<()> {
    let mut answers = Vec::new();
    for pin in [p.pin.clone(), other(&p.pin)] {
        let told = t.card_tool(&["info", "--pin"], &Secrets::give("--pin-fd", &pin))?;
        if told.code == 0 {
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

fn other(pin: &str) -> String {
    if pin == "2468" { "8642" } else { "2468" }.to_owned()
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
        what: "simsync-card terminal list",
        in_session: false,
        act: |t, p| t.card_tool(&["terminal", "list"], &Secrets::give("--pin-fd", &p.pin)),
        mend: nothing,
    },
];

pub fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut rig = Rig::start()?;
    let (a, mut person) = scene::paired(&mut rig, "A")?;
    let b = scene::joined(&mut rig, &mut person, "B")?;
    for deed in DEEDS {
        for request in ["yank", "yank-before"] {
            if let Err(why) = everywhere(plan, report, (&mut rig, &a, &mut person), deed, request) {
                report.fail(format!(
                    "{}, {request}: {why}\n{}",
                    deed.what,
                    scene::tell(&a)
                ));
                if rig.bridge.is_in(&person.card)? {
                    pull(&mut rig, &a, &person)?;
                }
            }
        }
    }
    if let Err(why) = provisioning(plan, report, &mut rig, &a) {
        report.fail(format!("simsync-card provision: {why}"));
    }
    // Everything that was written meanwhile is at the other terminal.
    insert(&mut rig, &a, &person)?;
    unlock(&a, &person)?;
    eject(&mut rig, &a, &person)?;
    insert(&mut rig, &b, &person)?;
    unlock(&b, &person)?;
    scene::equal(&a, &b)?;
    eject(&mut rig, &b, &person)
}

/// Each time another blank card.
fn provisioning(plan: &Plan, report: &mut Report, rig: &mut Rig, desk: &Terminal) -> Result<()> {
    for request in ["yank", "yank-before"] {
        for (yanked, n) in (1..MOST).step_by(plan.stride).enumerate() {
            let card = format!("{request}-{n}");
            let done = provision_interrupted(rig, desk, &card, (request, n));
            if rig.bridge.is_in(&card)? {
                rig.bridge.eject(&card)?;
            }
            desk.wait_status("the card to be gone", is_out)?;
            if done.map_err(|e| format!("{request} at {n}: {e}"))? {
                report.operations.push(Operation {
                    what: format!("simsync-card provision, {request}"),
                    apdus: n - 1,
                    yanked,
                });
                break;
            }
            report.yanks += 1;
        }
    }
    Ok(())
}

/// Interrupted anywhere, the same command ends in the same state, and the letter's PIN is the card's. Answers whether nothing
/// interrupted it.
fn provision_interrupted(
    rig: &mut Rig,
    desk: &Terminal,
    card: &str,
    (request, n): (&str, usize),
) -> Result<bool> {
    let secret = rig.bridge.blank(card)?;
    let enrolment = rig.server.subscriber(card)?;
    put_in(rig, desk, card)?;
    rig.bridge.call(&format!("{request} {card} {n}"))?;
    let first = try_provision(rig, desk, (card, &secret), &enrolment)?;
    let undisturbed = rig.bridge.is_in(card)?;
    let done = first.code == 0;
    if undisturbed {
        first.ok("simsync-card provision")?;
        rig.bridge.eject(card)?;
    } else if !done && first.stderr.trim().is_empty() {
        return Err(format!("exit code {} and no word", first.code));
    }
    desk.wait_status("the card to be gone", is_out)?;
    put_in(rig, desk, card)?;
    if !done {
        try_provision(rig, desk, (card, &secret), &enrolment)?
            .ok("simsync-card provision, again")?;
    }
    let person = provisioned(rig, card, &enrolment)?;
    let secrets = Secrets::give("--pin-fd", &person.pin).and("--new-pin-fd", "8642");
    desk.card_tool(&["pin", "change"], &secrets.take("--puk-fd"))?
        .ok("pin change, with the letter's PIN")?;
    Ok(undisturbed)
}

/// Puts a card in that is nobody's yet, and waits until the daemon has looked at it.
fn put_in(rig: &mut Rig, desk: &Terminal, card: &str) -> Result<()> {
    rig.bridge.insert(card, desk.port)?;
    desk.wait_status("the card to be looked at", |s| {
        s["cards"].as_array().is_some_and(|all| {
            all.iter()
                .any(|c| c["state"].as_str().is_some_and(|s| s != "looking"))
        })
    })?;
    rig.bridge.call(&format!("wait-idle {card} 150")).map(drop)
}

fn is_out(status: &Value) -> bool {
    status["cards"].as_array().is_some_and(Vec::is_empty)
}

fn everywhere(
    plan: &Plan,
    report: &mut Report,
    (rig, t, person): (&mut Rig, &Terminal, &mut Person),
    deed: &Deed,
    request: &str,
) -> Result<()> {
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
            pull(rig, t, person)?;
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
        // A yank at the answer to the last command may come too late to matter; else a sentence says what happened.
        if result.code != 0 && result.stderr.trim().is_empty() && result.json["error"].is_null() {
            return Err(format!(
                "yanked at {n}: exit code {} and no word",
                result.code
            ));
        }
        t.wait_status("the card to be gone", is_out)?;
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
