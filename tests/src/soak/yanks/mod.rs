//! The card is yanked at every single command of every operation: a clear sentence, a retry that ends well, nothing lost.

mod deeds;
mod desk;
mod lives;
mod owner;
mod record;

use simsync_rig::claims::PARTIAL;
use simsync_rig::demo::{eject, insert, unlock};
use simsync_rig::rig::{CliResult, Result, Rig, repository};
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

/// What a command that was interrupted must have said: that it failed, by a code that its document has, and why.
fn check_word(result: &CliResult) -> Result<()> {
    let json = &result.json;
    // A yank at the answer to the last command may come too late to matter; doctor tells line by line.
    if result.code == 0 || json["checks"].is_array() {
        return Ok(());
    }
    // It was done, and what was not is said: the card not told, or files that are not in sync.
    let told = &json["job"]["result"];
    let left = told["outstanding"].as_str().is_some_and(|n| n != "0");
    if result.code == PARTIAL && (left || told["card-not-told"].is_string()) {
        return Ok(());
    }
    let error = &json["error"];
    let text = |key: &str| error[key].as_str().unwrap_or_default();
    let sentence = [text("sentence"), text("message")].concat();
    let path = repository().join("docs/errors.md");
    let known = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    if !known.contains(&format!("`{}`", text("code"))) || sentence.split_whitespace().count() < 3 {
        return Err(format!(
            "exit code {}, and no word of why: {json} {}",
            result.code, result.stderr
        ));
    }
    Ok(())
}
