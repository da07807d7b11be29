//! One world from its seed to its end, and how many operations it took.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tempfile::TempDir;

use crate::check::Broken;
use crate::ops::{Op, draw};
use crate::shrink;
use crate::world::World;

/// Operations of one world.
pub const OPERATIONS: usize = 400;
/// Work that takes longer than this will not end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A world in which something is not as it must be.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed that the world was made from.
    pub seed: u64,
    /// How many operations happened.
    pub after: usize,
    /// What is not as it must be, in words; a panic counts too.
    pub what: String,
}

/// Lets these operations happen in a new world.
pub fn play(seed: u64, ops: &[Op]) -> Result<(), Failure> {
    // Threads of the engines work beside it; all that waits for a wire is on this one.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let ended = runtime.block_on(async {
        let mut world = World::new(seed).await;
        for (after, op) in ops.iter().enumerate() {
            if is_told() {
                println!("{after}: {op:?}");
            }
            let happened = AssertUnwindSafe(world.happen(*op)).catch_unwind();
            let result = match tokio::time::timeout(PATIENCE, happened).await {
                Ok(Ok(result)) => result,
                Ok(Err(panic)) => Err(Broken::new(format!("panicked: {}", message(&*panic)))),
                Err(_) => Err(Broken::new("it does not end".to_owned())),
            };
            if is_told() {
                world.tell();
            }
            result.map_err(|broken| Failure {
                seed,
                after,
                what: broken.what,
            })?;
        }
        world.person.server.stop().await;
        Ok(())
    });
    simsync_failpoint::disarm();
    simsync_failpoint::revive("daemon");
    simsync_failpoint::revive("server");
    runtime.shutdown_timeout(Duration::from_secs(5));
    ended
}

/// Only what is left after shrinking is told.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Whether somebody wants to see each operation, the files after it and the log (`SIMSYNC_SIM_TELL=1`).
fn is_told() -> bool {
    TOLD.load(Ordering::Relaxed) && std::env::var_os("SIMSYNC_SIM_TELL").is_some()
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let killed = panic.downcast_ref::<simsync_failpoint::Killed>();
    match (text, killed) {
        (Some(text), _) => text.to_owned(),
        (None, Some(killed)) => format!("{killed:?}"),
        (None, None) => "without a word".to_owned(),
    }
}

/// A world of a seed; if it fails, what it needs to fail is printed.
pub fn world(seed: u64) -> Result<(), Failure> {
    let ops = draw(seed, OPERATIONS);
    let Err(failure) = play(seed, &ops) else {
        return Ok(());
    };
    println!("SIMSYNC_TEST_SEED={seed}");
    println!(
        "broken after {} operations: {}",
        failure.after, failure.what
    );
    let begun = Instant::now();
    let needed = shrink::shrink(&ops[..=failure.after], |ops| {
        begun.elapsed() < shrink::TIME && play(seed, ops).is_err()
    });
    println!("of these operations {} are enough:", needed.len());
    for op in &needed {
        println!("    {op:?}");
    }
    TOLD.store(true, Ordering::Relaxed);
    if is_told() {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .init();
    }
    if let Err(still) = play(seed, &needed) {
        println!("then: {}", still.what);
    }
    Err(failure)
}

/// Worlds of the seeds `first`, `first + step` and so on. Whether all went well.
pub fn worlds(first: u64, step: u64, count: u64) -> bool {
    for i in 0..count {
        let seed = first.wrapping_add(i.wrapping_mul(step));
        if world(seed).is_err() {
            return false;
        }
    }
    true
}

/// This program where it sees no other process, if that can be had: terminals look into every process of their user.
fn apart(program: &Path) -> Command {
    let mut apart = Command::new("unshare");
    apart.args(["--pid", "--fork", "--kill-child", "--mount", "--mount-proc"]);
    let can = apart.arg("true").stderr(Stdio::null()).status();
    if !can.is_ok_and(|ended| ended.success()) {
        return Command::new(program);
    }
    let mut apart = Command::new("unshare");
    apart.args(["--pid", "--fork", "--kill-child", "--mount", "--mount-proc"]);
    apart.arg(program);
    apart
}

/// A process with these worlds, and the folder that its disk is mounted at. What is armed is armed for a process.
fn spawn(first: u64, step: u64, count: u64) -> (Child, TempDir) {
    // Nothing here needs to outlast a power cut.
    let memory = Some(Path::new("/dev/shm")).filter(|m| m.is_dir());
    let above = memory.map_or_else(std::env::temp_dir, Path::to_owned);
    let folder = tempfile::tempdir_in(above).unwrap();
    let program = std::env::current_exe().unwrap();
    let mut sim = apart(&program);
    sim.arg("worlds");
    sim.args([first, step, count].map(|n| n.to_string()));
    sim.env_remove("SIMSYNC_TEST_SEED");
    sim.env("TMPDIR", folder.path());
    // Nobody looks for secrets in this memory: what is freed is not overwritten.
    sim.env("MALLOC_CONF", "junk:false");
    (sim.spawn().unwrap(), folder)
}

/// The one world of a seed, in a process of its own.
pub fn alone(seed: u64) -> bool {
    let (mut sim, _folder) = spawn(seed, 1, 1);
    sim.wait().unwrap().success()
}

/// Worlds with so many operations in all, in some processes at a time.
pub fn many(operations: u64) -> bool {
    let first: u64 = match std::env::var("SIMSYNC_TEST_SEED") {
        Ok(text) => text.parse().expect("SIMSYNC_TEST_SEED is a number"),
        Err(_) => rand::random::<u32>().into(),
    };
    let cores = std::thread::available_parallelism().map_or(2, usize::from) as u64;
    let (processes, worlds) = (2 * cores, operations.div_ceil(OPERATIONS as u64));
    println!("SIMSYNC_TEST_SEED={first}, and the {worlds} from there on, {processes} at a time");
    let begun = Instant::now();
    let running: Vec<_> = (0..processes)
        .map(|i| {
            let count = (worlds + processes - 1 - i) / processes;
            spawn(first + i, processes, count)
        })
        .collect();
    let mut all = true;
    for (mut sim, _folder) in running {
        all &= sim.wait().unwrap().success();
    }
    let (done, seconds) = (worlds * OPERATIONS as u64, begun.elapsed().as_secs_f64());
    println!(
        "{done} operations in {seconds:.1} s, {:.0} a second",
        done as f64 / seconds
    );
    all
}
