//! The card is yanked at every single command of every operation: a clear sentence, a retry that ends well, nothing lost.

mod deeds;
mod desk;
mod lives;
mod owner;

use serde_json::Value;
use simsync_rig::demo::{eject, insert, unlock};
use simsync_rig::rig::{CliResult, Result, Rig};
use simsync_rig::scene;

use super::report::Operation;
use super::{Plan, Report};
use lives::World;

/// How the card goes: with the n-th command done and its answer lost, or before it.
const REQUESTS: [&str; 2] = ["yank", "yank-before"];

pub fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut rig = Rig::start()?;
    let (a, mut person) = scene::paired(&mut rig, "A")?;
    let b = scene::joined(&mut rig, &mut person, "B")?;
    let c = rig.terminal("C")?;
    let port = rig.server.public_port;
    let mut world = World {
        rig,
        a,
        b,
        c,
        person,
        tags: 0,
    };
    deeds::run(plan, report, &mut world)?;
    for mut life in desk::all().into_iter().chain(owner::all()) {
        lives::run(plan, report, &mut world, life.as_mut())?;
    }
    // Everything that was written meanwhile is at the other terminal.
    let World {
        rig, a, b, person, ..
    } = &mut world;
    if rig.server.public_port != port {
        b.wire_to(&rig.server)?;
    }
    insert(rig, a, person)?;
    unlock(a, person)?;
    eject(rig, a, person)?;
    insert(rig, b, person)?;
    unlock(b, person)?;
    scene::equal(a, b)?;
    eject(rig, b, person)
}

/// What a command that was interrupted must have said: that it failed, and why.
fn check_word(result: &CliResult) -> Result<()> {
    let json = &result.json;
    let silent =
        result.stderr.trim().is_empty() && json["error"].is_null() && json["checks"].is_null();
    // A yank at the answer to the last command may come too late to matter.
    if result.code != 0 && silent {
        return Err(format!("exit code {} and no word", result.code));
    }
    Ok(())
}

fn is_out(status: &Value) -> bool {
    status["cards"].as_array().is_some_and(Vec::is_empty)
}
