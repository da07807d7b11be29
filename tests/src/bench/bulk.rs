//! Bulk work beside rsync, and the daemon's memory with that many files. Each run has a person, a vault and two terminals
//! of its own, so nothing is known from the run before.

use std::path::{Path, PathBuf};

use serde_json::json;
use simsync_rig::demo::{Person, eject, insert, pair, provision, unlock};
use simsync_rig::rig::{Result, Rig, Secrets, Terminal};
use simsync_rig::tree;

use super::measure::{Sample, resident_at_rest, settle, timed};
use super::peer::Rsync;
use super::plan::{Plan, say};
use super::report::{Figure, Goal, Measured, Report};

/// Ours and rsync's.
#[derive(Debug, Default)]
struct Pair {
    ours: Sample,
    rsync: Sample,
}

#[derive(Debug, Default)]
struct Samples {
    upload: Pair,
    no_change: Pair,
    changed: Pair,
    download: Pair,
    memory: Sample,
    memory_taken: Sample,
    size: tree::Size,
    size_changed: tree::Changed,
}

/// Measures, and adds the figures.
pub fn measure(rig: &mut Rig, plan: &Plan, report: &mut Report) -> Result<()> {
    let peer_dir = rig.dir.path().join("peer");
    std::fs::create_dir_all(&peer_dir).map_err(|e| format!("{}: {e}", peer_dir.display()))?;
    let rsync = Rsync::start(&peer_dir)?;
    let mut samples = Samples::default();
    for run in 1..=plan.runs {
        say(&format!("run {run} of {}", plan.runs));
        Run::start(rig, plan, run)?.measure(rig, plan, &rsync, &mut samples)?;
    }
    figures(samples, report);
    Ok(())
}

/// Nothing but what is asked for moves while it is timed.
fn settings() -> serde_json::Value {
    json!({ "sync_on_change": false })
}

/// `simsync …`, from start to end.
fn command(terminal: &Terminal, args: &[&str], secrets: &Secrets) -> Result<f64> {
    timed(|| {
        terminal
            .simsync(args, secrets)?
            .ok(&format!("simsync {}", args.join(" ")))
            .map(|_| ())
    })
}

/// `simsync collections add`, for a folder.
fn add(terminal: &Terminal, person: &Person, folder: &Path) -> Result<f64> {
    let folder = folder.to_string_lossy();
    command(
        terminal,
        &["collections", "add", "Bench", &folder],
        &Secrets::give("--pin-fd", &person.pin),
    )
}

fn make(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))
}

fn remove(dir: &Path) -> Result<()> {
    std::fs::remove_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))
}

fn equal(what: &str, a: &Path, b: &Path) -> Result<()> {
    match tree::differences(a, b)? {
        None => Ok(()),
        Some(d) => Err(format!("after {what} the folders differ: {d}")),
    }
}

struct Run {
    number: usize,
    person: Person,
    giver: Terminal,
    taker: Terminal,
    given: PathBuf,
    taken: PathBuf,
    pulled: PathBuf,
}

impl Run {
    fn start(rig: &mut Rig, plan: &Plan, number: usize) -> Result<Self> {
        let giver = rig.terminal_with(&format!("giver-{number}"), &settings())?;
        let taker = rig.terminal_with(&format!("taker-{number}"), &settings())?;
        let mut person = provision(rig, &giver, &format!("bench-{number}"))?;
        // The taker first: the card is in the giver then, with its session open.
        insert(rig, &taker, &person)?;
        pair(&taker, &mut person, true)?;
        unlock(&taker, &person)?;
        eject(rig, &taker, &person)?;
        insert(rig, &giver, &person)?;
        pair(&giver, &mut person, false)?;
        unlock(&giver, &person)?;
        let (given, taken) = (giver.data.join("files"), taker.data.join("files"));
        let pulled = rig.dir.path().join(format!("pulled-{number}"));
        for dir in [&given, &taken, &pulled] {
            make(dir)?;
        }
        say(&format!("{} files are written", plan.files));
        Ok(Self {
            number,
            person,
            giver,
            taker,
            given,
            taken,
            pulled,
        })
    }

    fn measure(self, rig: &mut Rig, plan: &Plan, rsync: &Rsync, out: &mut Samples) -> Result<()> {
        let seed = 1000 * self.number as u64;
        let copy = format!("run-{}", self.number);
        out.size = tree::fill(&self.given, plan.files, plan.mean, seed)?;
        let push = || timed(|| rsync.push(&self.given, &copy));
        let sync = || command(&self.giver, &["sync"], &Secrets::default());
        let rest = || settle(rig.dir.path());

        say("first upload");
        rest()?;
        out.upload
            .ours
            .add(add(&self.giver, &self.person, &self.given)?);
        rest()?;
        out.upload.rsync.add(push()?);
        equal("rsync's first upload", &self.given, &rsync.copy(&copy))?;

        say("no change");
        rest()?;
        out.no_change.ours.add(sync()?);
        out.no_change.rsync.add(push()?);

        say("1 % changed");
        out.size_changed =
            tree::change(&self.given, plan.files.div_ceil(100), plan.mean, seed + 1)?;
        rest()?;
        out.changed.ours.add(sync()?);
        rest()?;
        out.changed.rsync.add(push()?);
        out.memory.add(memory(&self.giver)?);

        say("download");
        eject(rig, &self.giver, &self.person)?;
        insert(rig, &self.taker, &self.person)?;
        unlock(&self.taker, &self.person)?;
        settle(rig.dir.path())?;
        out.download
            .ours
            .add(add(&self.taker, &self.person, &self.taken)?);
        equal("the download", &self.given, &self.taken)?;
        settle(rig.dir.path())?;
        out.download
            .rsync
            .add(timed(|| rsync.pull(&copy, &self.pulled))?);
        equal("rsync's download", &self.given, &self.pulled)?;
        out.memory_taken.add(memory(&self.taker)?);

        eject(rig, &self.taker, &self.person)?;
        for dir in [&self.given, &self.taken, &self.pulled, &rsync.copy(&copy)] {
            remove(dir)?;
        }
        Ok(())
    }
}

fn memory(terminal: &Terminal) -> Result<f64> {
    let pid = terminal.daemon_pid().ok_or("the daemon does not run")?;
    resident_at_rest(pid)
}

fn figures(s: Samples, report: &mut Report) {
    let all = (s.size.files, s.size.bytes);
    let changed = (s.size_changed.files, s.size_changed.bytes);
    let mut times = |id, what: &str, (files, bytes), pair: Pair, goal| {
        report.add(Figure {
            id,
            what: what.to_owned(),
            files,
            bytes,
            measured: Measured::Times {
                ours: pair.ours,
                rsync: pair.rsync,
            },
            goal,
        });
    };
    times(
        "first_upload",
        "first upload",
        all,
        s.upload,
        Goal::Times(1.5),
    );
    times("no_change", "no change", all, s.no_change, Goal::Times(2.0));
    times("one_percent", "1 % changed", changed, s.changed, Goal::None);
    times(
        "download",
        "download and apply",
        all,
        s.download,
        Goal::None,
    );
    let mut memory = |id, what: &str, sample: &Sample, goal| {
        report.add(Figure {
            id,
            what: what.to_owned(),
            files: all.0,
            bytes: all.1,
            measured: Measured::Number {
                value: sample.median(),
                unit: "MB",
            },
            goal,
        });
    };
    memory(
        "daemon_rss",
        "memory at rest, after uploading",
        &s.memory,
        Goal::Below(60.0),
    );
    memory(
        "daemon_rss_taker",
        "memory at rest, after downloading",
        &s.memory_taken,
        Goal::Below(60.0),
    );
}
