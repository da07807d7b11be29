//! The end of a record that nobody can prove, interrupted anywhere.

use serde_json::Value;
use simsync_rig::demo::{eject, insert, unlock};
use simsync_rig::impostor::Impostor;
use simsync_rig::poison::{lists_and_epochs, poison};
use simsync_rig::rig::{CliResult, Result};
use simsync_rig::scene::has_reason;

use super::lives::{At, Life, World, again};

/// B's stolen key wrote into the card; its owner goes on from what the server shows.
pub struct EndRecord;

const WHAT: &str = "simsync server accept-restored";

/// Gives the PIN; the session may be one that only reads.
fn open(world: &World) -> Result<Value> {
    let World { a, person, .. } = world;
    again(
        a.simsync(&["unlock"], &person.secrets())?,
        "simsync unlock",
        &["record-unproven"],
    )?;
    a.wait_status("an open session that was looked at", |s| {
        s["state"] == "read-only" || s["state"] == "synced"
    })
}

impl Life for EndRecord {
    fn what(&self) -> (&'static str, At) {
        (WHAT, At::A)
    }

    fn prepare(&mut self, world: &mut World, _: &str) -> Result<String> {
        let thief = Impostor::of(&world.b, &world.person)?;
        poison(&mut world.rig, &world.person, &thief, lists_and_epochs)?;
        let World { rig, a, person, .. } = world;
        insert(rig, a, person)?;
        let status = open(world)?;
        if status["state"] != "read-only" {
            return Err(format!("a false record was believed: {status}"));
        }
        Ok(world.person.card.clone())
    }

    fn act(&mut self, world: &mut World) -> Result<CliResult> {
        let World { a, person, .. } = world;
        a.simsync(&["server", "accept-restored", "--yes"], &person.secrets())
    }

    fn finish(&mut self, world: &mut World, done: bool) -> Result<()> {
        let status = open(world)?;
        if !done && (status["state"] == "read-only" || has_reason(&status, "card-not-told")) {
            again(self.act(world)?, WHAT, &[])?;
        }
        // The card and the vault agree, here and elsewhere.
        let World {
            rig, a, b, person, ..
        } = world;
        a.wait_state(&["synced"])?;
        for terminal in [&*b, &*a] {
            eject(rig, if terminal.name == "B" { a } else { b }, person)?;
            insert(rig, terminal, person)?;
            let status = unlock(terminal, person)?;
            if has_reason(&status, "card-not-told") {
                return Err(format!("the card was not told: {status}"));
            }
        }
        Ok(())
    }
}
