//! The card is yanked at every single command of every operation: a clear sentence, a retry that ends well, nothing lost.

mod card_tool;
mod deeds;
mod left;
mod lives;
mod owner;
mod record;
mod word;

use simsync_rig::demo::{eject, insert, pull, unlock};
use simsync_rig::rig::{Result, Rig, Secrets};
use simsync_rig::scene;

use super::{Plan, Report};
use lives::World;

pub fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut rig = Rig::start()?;
    let (a, mut person) = scene::paired(&mut rig, "A")?;
    let b = scene::joined(&mut rig, &mut person, "B")?;
    let c = rig.terminal("C")?;
    let long = Secrets::give("--pin-fd", &person.pin).and("--new-pin-fd", deeds::NEW_PIN);
    insert(&mut rig, &a, &person)?;
    a.simsync(&["pin", "change"], &long)?
        .ok("simsync pin change")?;
    person.pin = deeds::NEW_PIN.to_owned();
    pull(&mut rig, &a, &person)?;
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
    for mut life in card_tool::all().into_iter().chain(owner::all()) {
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
