//! Bulk work beside rsync and `tar`, and the daemon's memory with that many files. Each run has a person, a vault and two terminals
//! of its own, so nothing is known from the run before.

use std::path::{Path, PathBuf};

use serde_json::json;
use simsync_rig::demo::{Person, eject, insert, pair, provision, unlock};
use simsync_rig::rig::{Result, Rig, Secrets, Terminal};
use simsync_rig::tree;

use super::measure::{
    Sample, processor_here, processor_of, resident_at_rest, resident_peak, settle, timed,
};
use super::peer::{Rsync, tar};
use super::plan::{Place, Plan, say};
use super::report::{Cost, Figure, Goal, Measured, Report};

/// Ours and the peers'.
#[derive(Debug, Default)]
struct Sides {
    ours: Cost,
    server: Sample,
    rsync: Cost,
    tar: Cost,
}

#[derive(Debug, Default)]
struct Samples {
    upload: Sides,
    no_change: Sides,
    /// With everything vouched for, in milliseconds.
    no_change_watched: Sample,
    changed: Sides,
    download: Sides,
    memory: Sample,
    memory_taken: Sample,
    peak: Sample,
    peak_taken: Sample,
    /// Bytes of the terminals' databases for each file.
    database: Sample,
    size: tree::Size,
    size_changed: tree::Changed,
}

impl Samples {
    /// Whether more runs are needed to tell what is typical.
    fn lie_apart(&self) -> bool {
        let sides = [&self.upload, &self.changed, &self.download];
        let costs = sides.map(|s| [&s.ours.time, &s.rsync.time, &s.tar.time]);
        costs.iter().flatten().any(|times| times.spread() > SPREAD)
    }
}

/// Values that lie further apart than this part of their median are measured more often.
const SPREAD: f64 = 0.2;

/// Measures, and adds the figures.
pub fn measure(rig: &mut Rig, plan: &Plan, place: Place, report: &mut Report) -> Result<()> {
    let peer_dir = rig.dir.path().join("peer");
    std::fs::create_dir_all(&peer_dir).map_err(|e| format!("{}: {e}", peer_dir.display()))?;
    let rsync = Rsync::start(&peer_dir)?;
    let mut samples = Samples::default();
    for run in 1..=2 * plan.runs {
        if run > plan.runs && !samples.lie_apart() {
            break;
        }
        say(&format!("run {run} of {}, {place:?}", plan.runs));
        Run::start(rig, plan, run)?.measure(rig, plan, &rsync, &mut samples)?;
    }
    figures(samples, place, report);
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
    untarred: PathBuf,
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
        let untarred = rig.dir.path().join(format!("untarred-{number}"));
        for dir in [&given, &taken, &pulled, &untarred] {
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
            untarred,
        })
    }

    fn measure(self, rig: &mut Rig, plan: &Plan, rsync: &Rsync, out: &mut Samples) -> Result<()> {
        let seed = 1000 * self.number as u64;
        let copy = format!("run-{}", self.number);
        out.size = tree::fill(&self.given, plan.files, plan.mean, seed)?;
        let push = || timed(|| rsync.push(&self.given, &copy));
        let sync = || command(&self.giver, &["sync"], &Secrets::default());
        let everything = rig.dir.path().to_owned();
        let rest = || settle(&everything);

        say("first upload");
        rest()?;
        self.ours(rig, &self.giver, &mut out.upload, || {
            add(&self.giver, &self.person, &self.given)
        })?;
        rest()?;
        out.upload.rsync.time.add(push()?);
        equal("rsync's first upload", &self.given, &rsync.copy(&copy))?;

        say("no change");
        rest()?;
        self.ours(rig, &self.giver, &mut out.no_change, sync)?;
        out.no_change.rsync.time.add(push()?);
        // The look before was at everything, for the folder is new; what the watcher vouches for since is not looked at again.
        out.no_change_watched.add(sync()? * 1000.0);

        say("1 % changed");
        out.size_changed =
            tree::change(&self.given, plan.files.div_ceil(100), plan.mean, seed + 1)?;
        rest()?;
        self.ours(rig, &self.giver, &mut out.changed, sync)?;
        rest()?;
        out.changed.rsync.time.add(push()?);
        out.memory.add(memory(&self.giver)?);
        out.peak.add(peak(&self.giver)?);

        say("download");
        eject(rig, &self.giver, &self.person)?;
        insert(rig, &self.taker, &self.person)?;
        unlock(&self.taker, &self.person)?;
        rest()?;
        self.ours(rig, &self.taker, &mut out.download, || {
            add(&self.taker, &self.person, &self.taken)
        })?;
        equal("the download", &self.given, &self.taken)?;
        rest()?;
        let pulled = timed(|| rsync.pull(&copy, &self.pulled))?;
        out.download.rsync.time.add(pulled);
        equal("rsync's download", &self.given, &self.pulled)?;
        rest()?;
        let before = processor_here()?;
        let copied = timed(|| tar(&self.given, &self.untarred))?;
        out.download.tar.time.add(copied);
        out.download.tar.processor.add(processor_here()? - before);
        equal("tar", &self.given, &self.untarred)?;
        out.memory_taken.add(memory(&self.taker)?);
        out.peak_taken.add(peak(&self.taker)?);
        for terminal in [&self.giver, &self.taker] {
            out.database.add(database(terminal)? / plan.files as f64);
        }

        eject(rig, &self.taker, &self.person)?;
        let copy = rsync.copy(&copy);
        for dir in [
            &self.given,
            &self.taken,
            &self.pulled,
            &self.untarred,
            &copy,
        ] {
            remove(dir)?;
        }
        Ok(())
    }

    /// Work of ours, with the processor time of the terminal and of the server.
    fn ours(
        &self,
        rig: &Rig,
        terminal: &Terminal,
        out: &mut Sides,
        work: impl FnOnce() -> Result<f64>,
    ) -> Result<()> {
        let processors = || {
            let terminal = processor_of(terminal.daemon_pid())?;
            Ok::<_, String>((terminal, processor_of(rig.server.pid())?))
        };
        let before = processors()?;
        out.ours.time.add(work()?);
        let after = processors()?;
        out.ours.processor.add(after.0 - before.0);
        out.server.add(after.1 - before.1);
        Ok(())
    }
}

fn memory(terminal: &Terminal) -> Result<f64> {
    let pid = terminal.daemon_pid().ok_or("the daemon does not run")?;
    resident_at_rest(pid)
}

/// Size of a terminal's database, in bytes.
fn database(terminal: &Terminal) -> Result<f64> {
    let path = terminal.home.join("state/state.db");
    let meta = std::fs::metadata(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(meta.len() as f64)
}

/// The most memory that a terminal's daemon took.
fn peak(terminal: &Terminal) -> Result<f64> {
    let pid = terminal.daemon_pid().ok_or("the daemon does not run")?;
    resident_peak(pid)
}

fn figures(s: Samples, place: Place, report: &mut Report) {
    let all = (s.size.files, s.size.bytes);
    let changed = (s.size_changed.files, s.size_changed.bytes);
    let mut times = |ids: [&'static str; 2], what: &str, (files, bytes), sides: Sides, goals| {
        let mut peers = vec![("rsync", sides.rsync)];
        if sides.tar.time.median() > 0.0 {
            peers.push(("tar", sides.tar));
        }
        let [on_disk, in_memory] = goals;
        let (id, what, goal) = match place {
            Place::Disk => (ids[0], what.to_owned(), on_disk),
            Place::Memory => (ids[1], format!("{what}, in memory"), in_memory),
        };
        report.add(Figure {
            id,
            what,
            files,
            bytes,
            measured: Measured::Times {
                ours: sides.ours,
                server: sides.server,
                peers,
            },
            goal,
        });
    };
    let ids = ["first_upload", "first_upload_memory"];
    let goals = [Goal::Times("rsync", 0.5), Goal::None];
    times(ids, "first upload", all, s.upload, goals);
    let ids = ["no_change", "no_change_memory"];
    let goals = [Goal::Times("rsync", 0.6), Goal::None];
    times(ids, "no change", all, s.no_change, goals);
    let (id, what) = match place {
        Place::Disk => ("no_change_watched", "no change, watched"),
        Place::Memory => ("no_change_watched_memory", "no change, watched, in memory"),
    };
    let watched = s.no_change_watched.median();
    let ids = ["one_percent", "one_percent_memory"];
    let goals = [Goal::Times("rsync", 0.3), Goal::None];
    times(ids, "1 % changed", changed, s.changed, goals);
    let ids = ["download", "download_memory"];
    let goals = [Goal::TimesOfBoth("tar", 1.2), Goal::TimesOfBoth("tar", 1.5)];
    times(ids, "download and apply", all, s.download, goals);
    report.add(Figure {
        id,
        what: what.to_owned(),
        files: all.0,
        bytes: all.1,
        measured: Measured::Number {
            value: watched,
            unit: "ms",
        },
        goal: Goal::AtMost(20.0),
    });
    if place == Place::Memory {
        return;
    }
    report.add(Figure {
        id: "database",
        what: "local database, for each file".to_owned(),
        files: all.0,
        bytes: 0,
        measured: Measured::Number {
            value: s.database.max(),
            unit: "bytes",
        },
        goal: Goal::AtMost(400.0),
    });
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
    let at_rest = Goal::AtMost(50.0);
    let what = "memory at rest, after uploading";
    memory("daemon_rss", what, &s.memory, at_rest);
    let what = "memory at rest, after downloading";
    memory("daemon_rss_taker", what, &s.memory_taken, at_rest);
    let at_peak = Goal::AtMost(150.0);
    let what = "most memory, uploading";
    memory("daemon_peak", what, &s.peak, at_peak);
    let what = "most memory, downloading";
    memory("daemon_peak_taker", what, &s.peak_taken, at_peak);
}
