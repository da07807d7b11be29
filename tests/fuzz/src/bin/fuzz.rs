//! Feeds targets with changed samples: those that are named, or all. `FUZZ_SECONDS` (60) each, or `FUZZ_INPUTS` each;
//! `FUZZ_SEED` repeats a run. `--list` names the targets, `--samples DIR` writes what they begin with below a folder, and
//! `--replay TARGET FILE...` feeds files. Exits 0 only if nothing failed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use simsync_fuzz::run::{Failure, Until, one, run};
use simsync_fuzz::{TARGETS, Target};

type Result<T> = std::result::Result<T, String>;

fn number(name: &str) -> Result<Option<u64>> {
    match std::env::var(name) {
        Err(_) => Ok(None),
        Ok(text) => match text.parse() {
            Ok(n) => Ok(Some(n)),
            Err(_) => Err(format!("{name}={text} is no number")),
        },
    }
}

fn named(name: &str) -> Result<&'static Target> {
    let found = TARGETS.iter().find(|t| t.name == name);
    found.ok_or_else(|| format!("{name} is no target; --list names them"))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["--list"] => {
            TARGETS.iter().for_each(|t| println!("{}", t.name));
            Ok(())
        }
        ["--samples", folder] => write_samples(Path::new(folder)),
        ["--replay", target, files @ ..] => replay(target, files),
        names => feed(names),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("fuzz: {why}");
            ExitCode::FAILURE
        }
    }
}

fn feed(names: &[&str]) -> Result<()> {
    let until = match number("FUZZ_INPUTS")? {
        Some(n) => Until::Inputs(n),
        None => Until::Time(Duration::from_secs(number("FUZZ_SECONDS")?.unwrap_or(60))),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seed = match number("FUZZ_SEED")? {
        Some(seed) => seed,
        None => now.map_or(0, |n| u64::from(n.subsec_nanos())),
    };
    let targets: Vec<&Target> = if names.is_empty() {
        TARGETS.iter().collect()
    } else {
        names.iter().map(|n| named(n)).collect::<Result<_>>()?
    };
    println!("fuzz: FUZZ_SEED={seed}");
    let mut failures = 0;
    for target in targets {
        match run(target, seed, until) {
            Ok(counts) => println!(
                "fuzz: {:<18} {:>9} inputs, {:>8} taken, {:>9} bytes at most",
                target.name, counts.inputs, counts.taken, counts.memory
            ),
            Err(failure) => {
                failures += 1;
                tell(&failure, seed);
            }
        }
    }
    match failures {
        0 => Ok(()),
        n => Err(format!("{n} targets failed")),
    }
}

fn tell(failure: &Failure, seed: u64) {
    let name = format!("{}-{seed}", failure.target);
    let path = PathBuf::from("target/fuzz/failures").join(name);
    let kept = std::fs::create_dir_all("target/fuzz/failures")
        .and_then(|()| std::fs::write(&path, &failure.input));
    eprintln!("fuzz: FAILED: {}: {}", failure.target, failure.why);
    match kept {
        Ok(()) => eprintln!("fuzz: its input is {}", path.display()),
        Err(e) => eprintln!("fuzz: its input could not be kept ({e})"),
    }
    eprintln!("fuzz: FUZZ_SEED={seed} repeats it");
}

fn replay(target: &str, files: &[&str]) -> Result<()> {
    let target = named(target)?;
    for file in files {
        let input = std::fs::read(file).map_err(|e| format!("{file}: {e}"))?;
        let (taken, memory) = one(target, &input).map_err(|f| format!("{file}: {}", f.why))?;
        println!("fuzz: {file}: taken: {taken}, {memory} bytes");
    }
    Ok(())
}

fn write_samples(folder: &Path) -> Result<()> {
    for target in TARGETS {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        for (i, sample) in (target.samples)().iter().enumerate() {
            std::fs::write(folder.join(format!("sample-{i:02}")), sample)
                .map_err(|e| e.to_string())?;
        }
    }
    println!("fuzz: samples are below {}", folder.display());
    Ok(())
}
