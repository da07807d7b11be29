//! Worlds from seeds, one after another, or many at a time: `sim OPERATIONS`, `sim worlds FIRST STEP COUNT`.
//!
//! `SIMSYNC_TEST_SEED=N sim` is the one world of this seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use simsync_sim::{disk, run};

/// Worlds make and free many small things in several threads.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |n: usize| {
        arguments
            .get(n)
            .map(|a| a.parse::<u64>().expect("a number"))
    };
    let seed = std::env::var("SIMSYNC_TEST_SEED").ok();
    let ended = match (seed, arguments.first().map(String::as_str)) {
        (Some(seed), None) => run::alone(seed.parse().expect("a number")),
        (_, Some("worlds")) => {
            disk::mount_own();
            simsync_card::sign::remember_verdicts();
            let (first, step, count) = (number(1), number(2), number(3));
            run::worlds(first.unwrap(), step.unwrap(), count.unwrap())
        }
        _ => run::many(number(0).unwrap_or(20_000)),
    };
    if !ended {
        std::process::exit(1);
    }
}
