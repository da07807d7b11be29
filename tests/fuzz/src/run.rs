//! Feeds a target, and says how to do the very same again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::corpus;
use crate::meter::measure;
use crate::mutate::{Chance, mutate};
use crate::targets::Target;

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After so many inputs.
    Inputs(u64),
    /// After so long.
    Time(Duration),
}

/// What was done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Inputs that were fed, samples among them.
    pub inputs: u64,
    /// Those that the target took for right.
    pub taken: u64,
    /// Most memory for one of them, in bytes.
    pub memory: usize,
}

/// An input that a target fails at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Name of the target.
    pub target: &'static str,
    /// The bytes that it was fed.
    pub input: Vec<u8>,
    /// What went wrong.
    pub why: String,
}

/// Inputs that were taken and are kept to be changed further.
const POOL_MAX: usize = 256;

/// One input. Answers whether the target took it, and the memory for it.
pub fn one(target: &Target, input: &[u8]) -> Result<(bool, usize), Failure> {
    let fail = |why: String| Failure {
        target: target.name,
        input: input.to_vec(),
        why,
    };
    let (result, memory) = measure(|| catch_unwind(AssertUnwindSafe(|| (target.feed)(input))));
    let taken = result.map_err(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        fail(format!("it panicked: {}", said.unwrap_or_default()))
    })?;
    let most = (target.memory)(input);
    if memory > most {
        return Err(fail(format!(
            "it took {memory} bytes of memory and may take {most}"
        )));
    }
    Ok((taken, memory))
}

/// Feeds every sample, then what becomes of them, until it is time.
pub fn run(target: &Target, seed: u64, until: Until) -> Result<Counts, Failure> {
    let mut pool = corpus::samples(target);
    let (mut counts, start) = (Counts::default(), Instant::now());
    let mut feed = |input: &[u8]| -> Result<bool, Failure> {
        let (taken, memory) = one(target, input)?;
        counts.inputs += 1;
        counts.taken += u64::from(taken);
        counts.memory = counts.memory.max(memory);
        Ok(taken)
    };
    for sample in &pool {
        feed(sample)?;
    }
    let mut chance = Chance::new(seed);
    let mut done = 0;
    loop {
        let over = match until {
            Until::Inputs(n) => done >= n,
            Until::Time(time) => start.elapsed() >= time,
        };
        if over {
            return Ok(counts);
        }
        let input = mutate(&mut chance, &pool);
        if feed(&input)? {
            // Where it stays near the samples, others do not have to start at the beginning.
            if pool.len() < POOL_MAX {
                pool.push(input);
            } else {
                let at = chance.below(POOL_MAX);
                pool[at] = input;
            }
        }
        done += 1;
    }
}
