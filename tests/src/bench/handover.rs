//! The handover: a hundred changed files of 2 KB, out of one terminal and into the other; and what the card is asked
//! until a session is open.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use simsync_rig::demo::{
    Person, add_collection, eject, insert, pair, provision, pull, unlock, unlock_at_insertion,
};
use simsync_rig::rig::{CardStats, DEADLINE, Result, Rig, Secrets, Terminal, mark};
use simsync_rig::tree;

use super::measure::{Sample, rest};
use super::plan::{Plan, say};
use super::report::{Figure, Goal, Measured, Report};

/// Files that change in a handover.
const CHANGES: usize = 100;
/// Files that are few.
const FEW: usize = 2_000;
/// Nobody asks for the status so long after the PIN: asking costs the processor that the handover needs.
const QUIET: Duration = Duration::from_millis(750);

/// Measures, and adds the figures.
pub fn measure(rig: &mut Rig, plan: &Plan, beside: usize, report: &mut Report) -> Result<()> {
    say("two terminals are paired");
    let quiet = json!({ "sync_on_change": false });
    let (a, b) = (
        rig.terminal_with(&format!("left-{beside}"), &quiet)?,
        rig.terminal_with(&format!("right-{beside}"), &quiet)?,
    );
    let mut person = provision(rig, &a, &format!("handover-{beside}"))?;
    tree::fill(&a.data, beside, plan.mean, 1)?;
    for (terminal, first) in [(&a, true), (&b, false)] {
        insert(rig, terminal, &person)?;
        pair(terminal, &mut person, first)?;
        unlock(terminal, &person)?;
        add_collection(terminal, &person, "Handover")?;
        eject(rig, terminal, &person)?;
    }
    insert(rig, &a, &person)?;
    unlock(&a, &person)?;

    let (mut from, mut to) = (&a, &b);
    let (mut times, mut seen, mut bytes) = (Sample::default(), Sample::default(), 0);
    // Beside many files a hundred changes are in a hundred folders, beside few in all there are. So once more, beside many, in as
    // many folders as there are beside few.
    let mut in_few = (beside > FEW).then(Sample::default);
    for (few, times) in
        std::iter::once((false, &mut times)).chain(in_few.iter_mut().map(|t| (true, t)))
    {
        say(&format!("{} handovers", plan.handovers));
        for round in 0..plan.handovers {
            let seed = 100 + round as u64 + u64::from(few) * 100;
            let first = tree::first_folders(&from.data, FEW);
            let is_meant = |path: &Path| !few || first.iter().any(|f| path.starts_with(f));
            let changed = tree::change_among(&from.data, CHANGES, plan.mean, seed, is_meant)?;
            bytes = changed.bytes;
            eject(rig, from, &person)?;
            let (_, seen_ms) = insert(rig, to, &person)?;
            seen.add(seen_ms as f64);
            times.add(pin_to_synced(to, &person)?);
            if let Some(d) = tree::differences(&from.data, &to.data)? {
                return Err(format!("after a handover the folders differ: {d}"));
            }
            std::mem::swap(&mut from, &mut to);
        }
    }
    eject(rig, from, &person)?;
    let once = if Some(&beside) == plan.beside.first() {
        // Before cards are pulled amid uploads: as long as a session is not settled its number is asked for.
        let stats = session(rig, &mut person)?;
        Some((stats, wiping(rig, from, &person, plan)?))
    } else {
        None
    };

    let id = match beside {
        2_000 => "handover_pin_to_synced",
        100_000 => "handover_beside_100000",
        1_000_000 => "handover_beside_1000000",
        _ => "handover_beside_others",
    };
    let mut add = |id, what: &str, (value, unit), files, bytes, goal| {
        report.add(Figure {
            id,
            what: what.to_owned(),
            files,
            bytes,
            measured: Measured::Number { value, unit },
            goal,
        });
    };
    let what = format!("handover, PIN to synced, beside {beside} files");
    add(
        id,
        &what,
        (times.median(), "ms"),
        CHANGES,
        bytes,
        Goal::AtMost(150.0),
    );
    if let Some(times) = in_few {
        let folders = tree::first_folders(&a.data, FEW).len();
        add(
            "handover_in_few_folders",
            &format!("the same, of files in {folders} folders"),
            (times.median(), "ms"),
            CHANGES,
            bytes,
            Goal::AtMost(150.0),
        );
    }
    let Some(([stats, after_pull], wiped)) = once else {
        return Ok(());
    };
    let mut add = |id, what: &str, (value, unit), goal| {
        report.add(Figure {
            id,
            what: what.to_owned(),
            files: 0,
            bytes: 0,
            measured: Measured::Number { value, unit },
            goal,
        });
    };
    add(
        "insertion_seen",
        "insertion until the daemon saw it (pcscd polls vpcd)",
        (seen.median(), "ms"),
        Goal::None,
    );
    add(
        "keys_wiped",
        "removal amid an upload until the keys are wiped, the slowest",
        (wiped.max(), "ms"),
        Goal::AtMost(50.0),
    );
    let (commands, exchanged) = (stats.apdus as f64, stats.bytes as f64);
    add(
        "session_commands",
        "insertion to an open session: commands",
        (commands, "commands"),
        Goal::AtMost(3.0),
    );
    add(
        "session_commands_after_pull",
        "the same, after a session whose card was pulled",
        (after_pull.apdus as f64, "commands"),
        Goal::None,
    );
    add(
        "session_bytes",
        "insertion to an open session: bytes",
        (exchanged, "bytes"),
        Goal::AtMost(700.0),
    );
    Ok(())
}

/// Types the PIN; answers the milliseconds until the data was there, by the daemon's own marks.
fn pin_to_synced(terminal: &Terminal, person: &Person) -> Result<f64> {
    let secrets =
        Secrets::give("--pin-fd", &person.pin).and("--terminal-pin-fd", &person.terminal_pin);
    let unlocked = terminal
        .simsync(&["unlock"], &secrets)?
        .ok("simsync unlock");
    unlocked.map_err(|why| format!("{why}\n{}", last_lines(&terminal.daemon_log(), 40)))?;
    rest(QUIET);
    let status = terminal.wait_status_for("the handover's end", DEADLINE, |s| {
        // What was written here a moment ago may be looked at again by the regular look only: changes start nothing here.
        matches!(s["state"].as_str(), Some("synced" | "pending"))
            && mark(s, "synced") >= mark(s, "opened")
            && mark(s, "opened").is_some()
    })?;
    match (mark(&status, "synced"), mark(&status, "pin")) {
        (Some(synced), Some(pin)) => Ok((synced - pin) as f64),
        _ => Err(format!("the status has no marks: {status}")),
    }
}

/// The card is pulled while files go up: how long after the daemon hears of it the keys are wiped, by its own marks.
fn wiping(rig: &mut Rig, terminal: &Terminal, person: &Person, plan: &Plan) -> Result<Sample> {
    say("cards are pulled amid uploads");
    let mut times = Sample::default();
    for round in 0..plan.handovers {
        insert(rig, terminal, person)?;
        unlock(terminal, person)?;
        tree::change(&terminal.data, 10 * CHANGES, plan.mean, 500 + round as u64)?;
        let begun = terminal.simsync(&["sync", "--no-wait"], &Secrets::default())?;
        begun.ok("simsync sync --no-wait")?;
        rig.bridge.eject(&person.card)?;
        let status = terminal.wait_status_for("the card to be gone", DEADLINE, |s| {
            mark(s, "wiped") >= mark(s, "removed") && mark(s, "removed").is_some()
        })?;
        if let (Some(wiped), Some(removed)) = (mark(&status, "wiped"), mark(&status, "removed")) {
            times.add((wiped - removed) as f64);
        }
        terminal.wait_status_for("the tail to be delivered", DEADLINE, |s| {
            mark(s, "tail-delivered").is_some() || s["state"] == "waiting"
        })?;
    }
    Ok(times)
}

fn last_lines(text: &str, n: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(n)..)
        .unwrap_or_default()
        .join("\n")
}

/// What the card is asked from its insertion until a session is open, on a terminal that does nothing more by itself: after a
/// session that ended in good order, and after one whose card was pulled.
fn session(rig: &mut Rig, person: &mut Person) -> Result<[CardStats; 2]> {
    let terminal = rig.terminal_with(
        "counter",
        &json!({ "sync_on_insertion": false, "sync_on_change": false }),
    )?;
    insert(rig, &terminal, person)?;
    pair(&terminal, person, false)?;
    eject(rig, &terminal, person)?;
    let opens = |rig: &mut Rig| -> Result<CardStats> {
        let opened = unlock_at_insertion(rig, &terminal, person)?;
        opened.ok("simsync unlock --await-card")?;
        rig.bridge.stats(&person.card)
    };
    let after_eject = opens(rig)?;
    pull(rig, &terminal, person)?;
    let after_pull = opens(rig)?;
    eject(rig, &terminal, person)?;
    Ok([after_eject, after_pull])
}
