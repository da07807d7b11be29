//! Other programs at the same reader, beside a terminal that syncs.

use std::process::{Command, Stdio};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use simsync_rig::demo::{Person, eject, insert, unlock};
use simsync_rig::rig::{DEADLINE, Guarded, Result, Rig, Secrets, Terminal, program, wait_for};
use simsync_rig::scene;

use super::{Plan, Report};

/// What another program does; whether the card forgets its PIN over it.
const DOINGS: &[(&str, bool)] = &[
    ("opensc-tool", true),
    ("pcsc_scan", false),
    ("exclusive", false),
    ("transaction", false),
    ("reset", true),
    ("select", true),
];

/// The other program, in the terminal's namespace.
fn command(t: &Terminal, doing: &str) -> Result<Command> {
    let mut command = match doing {
        "opensc-tool" => {
            let mut c = t.inside("opensc-tool".as_ref());
            c.args(["--atr", "--reader", "0"]);
            c
        }
        "pcsc_scan" => {
            // One look at all readers.
            let mut c = t.inside("timeout".as_ref());
            c.args(["1", "pcsc_scan", "-r"]);
            c
        }
        other => {
            let mut c = t.inside(&program("other-program")?);
            c.arg(other);
            c
        }
    };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(command)
}

pub fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(plan.seed);
    let mut rig = Rig::start()?;
    let (a, mut person) = scene::paired(&mut rig, "A")?;
    let b = scene::joined(&mut rig, &mut person, "B")?;
    insert(&mut rig, &a, &person)?;
    unlock(&a, &person)?;
    // What one round made the card forget a later one may be the first to need.
    let mut forgot = false;
    for round in 0..plan.foreign {
        let (doing, forgets) = DOINGS[rng.random_range(0..DOINGS.len())];
        forgot |= forgets;
        let pins = report.foreign_pins;
        let cut = rng.random_range(0..3) == 0;
        if let Err(why) = one(report, &a, &person, (round, doing, forgot, cut)) {
            report.fail(format!(
                "round {round}, {doing}{}: {why}\n{}",
                if cut { " and a cut wire" } else { "" },
                scene::tell(&a)
            ));
            return Ok(());
        }
        forgot &= report.foreign_pins == pins;
        report.foreign_rounds += 1;
    }
    eject(&mut rig, &a, &person)?;
    insert(&mut rig, &b, &person)?;
    unlock(&b, &person)?;
    scene::equal(&a, &b)?;
    eject(&mut rig, &b, &person)
}

fn sequence(status: &Value) -> u64 {
    status["sequence"].as_u64().unwrap_or_default()
}

/// Something is written while another program is at the card; it is uploaded, and the PIN asked for only where it must be.
fn one(
    report: &mut Report,
    t: &Terminal,
    person: &Person,
    (round, doing, forgot, cut): (u64, &str, bool, bool),
) -> Result<()> {
    let before = t.status()?;
    let mut other = Guarded::spawn(doing, command(t, doing)?)?;
    if cut {
        t.wire.set_down(true);
    }
    let name = format!("{round}.txt");
    std::fs::write(t.data.join(&name), doing).map_err(|e| e.to_string())?;
    if cut {
        t.wait_status("the server to be missed", |s| s["online"] == false)?;
    }
    wait_for(&format!("the end of {doing}"), DEADLINE, || {
        (!other.is_running()).then_some(())
    })?;
    if cut {
        t.wire.set_down(false);
    }
    let done = |s: &Value| sequence(s) > sequence(&before) && s["state"] == "synced";
    let missed = |s: &Value| s["state"] == "locked";
    let status = t.wait_status("the upload, or the PIN to be missed", |s| {
        done(s) || missed(s)
    })?;
    if !done(&status) {
        if !forgot {
            return Err(
                "the PIN was asked for again, but the card had not forgotten it".to_owned(),
            );
        }
        let reasons = status["reasons"].as_array();
        if !reasons.is_some_and(|all| all.iter().any(|r| r["code"] == "card-reset")) {
            return Err(format!(
                "the other program's doing is not told of: {status}"
            ));
        }
        report.foreign_pins += 1;
        unlock(t, person)?;
        t.wait_status("the upload after the PIN", done)?;
    }
    let status = t
        .simsync(&["status"], &Secrets::default())?
        .ok("simsync status")?
        .json;
    let status = status
        .get("status")
        .filter(|s| s.is_object())
        .unwrap_or(&status);
    if status["cards"][0]["pin_tries"] != 3 || status["conflicts"] != 0 {
        return Err(format!("tries or conflicts are not as they were: {status}"));
    }
    Ok(())
}
