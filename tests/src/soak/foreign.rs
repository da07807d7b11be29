//! Other programs at the same reader, beside a terminal that syncs.

use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use simsync_rig::demo::{Person, eject, insert, unlock};
use simsync_rig::rig::{DEADLINE, Result, Rig, Secrets, Terminal, program, wait_for};
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
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
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
        // Where it forgets, it went on forgetting after the PIN was given.
        forgot &= forgets || report.foreign_pins == pins;
        report.foreign_rounds += 1;
    }
    if let Err(why) = held_for_long(&a, &person) {
        report.fail(format!("held for long: {why}\n{}", scene::tell(&a)));
    }
    eject(&mut rig, &a, &person)?;
    insert(&mut rig, &b, &person)?;
    unlock(&b, &person)?;
    scene::equal(&a, &b)?;
    eject(&mut rig, &b, &person)
}

/// A transaction that lasts longer than anybody here waits for the card, just when the card has to prove its presence: the
/// session goes on afterwards, without a PIN.
fn held_for_long(t: &Terminal, person: &Person) -> Result<()> {
    // The rounds before may have made the card forget: without the PIN it could not be told of the end.
    t.simsync(&["eject"], &Secrets::give("--pin-fd", &person.pin))?
        .ok("simsync eject")?;
    let before = unlock(t, person)?;
    let mut other = command(t, "transaction")?
        .spawn()
        .map_err(|e| e.to_string())?;
    t.wire.set_down(true);
    std::fs::write(t.data.join("held for long.txt"), "held").map_err(|e| e.to_string())?;
    t.wait_status("the server to be missed", |s| s["online"] == false)?;
    let ended = "outcome: Later(Reason { code: CardBusy";
    let times = || t.daemon_log().matches(ended).count();
    let already = times();
    t.wire.set_down(false);
    let told = t.wait_status("the other program to be told of", |s| {
        has_reason(s, "card-busy")
    });
    let given_up = wait_for("the sync to be put off", DEADLINE, || {
        (times() > already).then_some(())
    });
    drop(other.stdin.take());
    other.wait().map_err(|e| e.to_string())?;
    told.and(given_up)?;
    let after = t.wait_status("the upload, without a PIN", |s| {
        sequence(s) > sequence(&before) && s["state"] == "synced"
    })?;
    if after["session"] != before["session"] {
        return Err(format!("the session is another one: {after}"));
    }
    Ok(())
}

fn has_reason(status: &Value, code: &str) -> bool {
    let reasons = status["reasons"].as_array();
    reasons.is_some_and(|all| all.iter().any(|r| r["code"] == code))
}

fn sequence(status: &Value) -> u64 {
    status["sequence"].as_u64().unwrap_or_default()
}

/// Something is written while another program is at the card again and again, until it is uploaded; the PIN is asked for only
/// where it must be.
fn one(
    report: &mut Report,
    t: &Terminal,
    person: &Person,
    (round, doing, forgot, cut): (u64, &str, bool, bool),
) -> Result<()> {
    let before = t.status()?;
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let visits = std::thread::scope(|scope| {
        let visits = scope.spawn(move || visit(t, doing, &stopped));
        let synced = synced(report, t, person, (round, doing, forgot, cut), &before);
        drop(stop);
        let visits = visits
            .join()
            .map_err(|_| "the other program's thread panicked")?;
        synced.and(visits)
    })?;
    report.foreign_visits += visits.all;
    report.foreign_refusals += visits.refused;
    let status = t.status()?;
    if status["cards"][0]["pin_tries"] != 3 || status["conflicts"] != 0 {
        return Err(format!("tries or conflicts are not as they were: {status}"));
    }
    Ok(())
}

/// How it went that somebody wanted the card.
#[derive(Default)]
struct Visits {
    all: u64,
    refused: u64,
}

/// The other program, over and over, until nobody sends on `stop` any more. What holds the card holds it for a while.
fn visit(t: &Terminal, doing: &str, stop: &Receiver<()>) -> Result<Visits> {
    let mut visits = Visits::default();
    loop {
        let mut other = command(t, doing)?
            .spawn()
            .map_err(|e| format!("{doing}: {e}"))?;
        let hold = Duration::from_millis(40 * (visits.all % 6));
        let is_over = matches!(stop.recv_timeout(hold), Err(RecvTimeoutError::Disconnected));
        drop(other.stdin.take());
        let ended = wait_for(&format!("the end of {doing}"), DEADLINE, || {
            other.try_wait().ok().flatten()
        });
        let _ = other.kill();
        let out = other.wait_with_output().map_err(|e| e.to_string())?;
        visits.all += 1;
        let text = String::from_utf8_lossy(&out.stderr);
        match ended? {
            ended if ended.success() => {}
            // Nobody gets the card alone while simsyncd has it.
            _ if doing == "exclusive" && text.contains("other connections outstanding") => {
                visits.refused += 1
            }
            // timeout(1), as a rule: pcsc_scan does not end by itself.
            ended if doing == "pcsc_scan" && ended.code() == Some(124) => {}
            ended => return Err(format!("{doing} ended with {ended}: {text}")),
        }
        if is_over {
            return Ok(visits);
        }
    }
}

fn synced(
    report: &mut Report,
    t: &Terminal,
    person: &Person,
    (round, doing, forgot, cut): (u64, &str, bool, bool),
    before: &Value,
) -> Result<()> {
    if cut {
        // A lost connection is what makes the card prove its presence.
        t.wire.set_down(true);
    }
    let name = format!("{round}.txt");
    std::fs::write(t.data.join(&name), doing).map_err(|e| e.to_string())?;
    if cut {
        t.wait_status("the server to be missed", |s| s["online"] == false)?;
        t.wire.set_down(false);
    }
    let done = |s: &Value| sequence(s) > sequence(before) && s["state"] == "synced";
    let missed = |s: &Value| s["state"] == "locked";
    let status = t.wait_status("the upload, or the PIN to be missed", |s| {
        done(s) || missed(s)
    })?;
    if done(&status) {
        return Ok(());
    }
    if !forgot {
        return Err("the PIN was asked for again, but the card had not forgotten it".to_owned());
    }
    if !has_reason(&status, "card-reset") {
        return Err(format!(
            "the other program's doing is not told of: {status}"
        ));
    }
    report.foreign_pins += 1;
    unlock(t, person)?;
    t.wait_status("the upload after the PIN", done)?;
    Ok(())
}
