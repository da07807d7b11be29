//! What an owner does seldom: pairing, leaving, spare and lost cards, a server that moved.

use serde_json::Value;
use simsync_rig::demo::{Person, eject, insert, pair, provision_inserted, pull, unlock};
use simsync_rig::rig::{CliResult, Result, Secrets, Terminal};
use simsync_rig::scene::on_card;
use simsync_rig::spare::{PIN, add, cards, read, spare_for, step};

use super::deeds::{NEW_PIN, which_pin};
use super::lives::{At, Life, World, again};

pub fn all() -> Vec<Box<dyn Life>> {
    vec![
        Box::new(FirstPairing(None)),
        Box::new(Join),
        Box::new(Unpair),
        Box::new(RemoveTerminal { by_tool: true }),
        Box::new(RemoveTerminal { by_tool: false }),
        Box::new(ReadSpare(None)),
        Box::new(NameSpare(None)),
        Box::new(UseSpare(None)),
        Box::new(RemoveCard(String::new())),
        Box::new(NewEpoch),
        Box::new(super::record::EndRecord),
        Box::new(Moved),
    ]
}

fn ready<T>(value: &Option<T>) -> Result<&T> {
    value.as_ref().ok_or_else(|| "no card is ready".to_owned())
}

/// Of a new card at a terminal that is nobody's: PIN and PUK are set, and the vault is made.
struct FirstPairing(Option<Person>);

impl Life for FirstPairing {
    fn what(&self) -> (&'static str, At) {
        ("simsync pair, the first time", At::C)
    }

    fn prepare(&mut self, world: &mut World, tag: &str) -> Result<String> {
        let secret = world.rig.bridge.blank(tag)?;
        world.put_in(At::C, tag)?;
        let person = provision_inserted(&world.rig, &world.c, tag, &secret)?;
        pull(&mut world.rig, &world.c, &person)?;
        insert(&mut world.rig, &world.c, &person)?;
        self.0 = Some(person);
        Ok(tag.to_owned())
    }

    fn act(&mut self, world: &mut World) -> Result<CliResult> {
        let person = ready(&self.0)?;
        let secrets = person
            .secrets()
            .and("--new-pin-fd", NEW_PIN)
            .take("--puk-fd")
            .take("--recovery-fd");
        world.c.simsync(&["pair"], &secrets)
    }

    fn finish(&mut self, world: &mut World, done: bool) -> Result<()> {
        let person = self.0.as_mut().ok_or("no card is ready")?;
        let letter = person.pin.clone();
        which_pin(&world.c, person)?;
        if !done {
            pair(&world.c, person, person.pin == letter)?;
        }
        unlock(&world.c, person)?;
        leave(&world.c, person)
    }
}

/// With a session open: the terminal is nobody's again.
fn leave(terminal: &Terminal, person: &Person) -> Result<()> {
    terminal
        .simsync(&["unpair", "--yes"], &person.secrets())?
        .ok("simsync unpair")?;
    terminal.wait_state(&["unpaired"]).map(drop)
}

/// Of a further terminal: the vault is there, and so are other terminals.
struct Join;

impl Life for Join {
    fn what(&self) -> (&'static str, At) {
        ("simsync pair, a further terminal", At::C)
    }

    fn prepare(&mut self, world: &mut World, _: &str) -> Result<String> {
        let World { rig, c, person, .. } = world;
        insert(rig, c, person)?;
        Ok(person.card.clone())
    }

    fn act(&mut self, world: &mut World) -> Result<CliResult> {
        let secrets = world.person.secrets();
        world.c.simsync(&["pair"], &secrets)
    }

    fn finish(&mut self, world: &mut World, done: bool) -> Result<()> {
        if !done {
            again(self.act(world)?, self.what().0, &[])?;
        }
        unlock(&world.c, &world.person)?;
        let there = on_card(&world.c, &world.person)?;
        if there != ["A", "B", "C"] {
            return Err(format!("the card holds {there:?}"));
        }
        leave(&world.c, &world.person)
    }
}

/// The first session after the operator revoked a terminal: the vault gets a new key.
struct NewEpoch;

impl Life for NewEpoch {
    fn what(&self) -> (&'static str, At) {
        ("simsync unlock, a terminal was revoked", At::A)
    }

    fn prepare(&mut self, world: &mut World, _: &str) -> Result<String> {
        with_c(world)?;
        for row in at_server(world, "terminal")? {
            if row["label"] == "C" && row["state"] != "revoked" {
                let id = row["terminal"].as_str().unwrap_or_default();
                world
                    .rig
                    .server
                    .admin(&["terminal", "revoke", "--yes", id])?;
            }
        }
        insert(&mut world.rig, &world.a, &world.person)?;
        Ok(world.person.card.clone())
    }

    fn act(&mut self, world: &mut World) -> Result<CliResult> {
        let secrets = world.person.secrets();
        world.a.simsync(&["unlock"], &secrets)
    }

    fn finish(&mut self, world: &mut World, _: bool) -> Result<()> {
        unlock(&world.a, &world.person)?;
        let left = on_card(&world.a, &world.person)?;
        if left != ["A", "B"] {
            return Err(format!("the card holds {left:?}"));
        }
        Ok(())
    }
}

/// C is a terminal of the person's, and its card is out.
fn with_c(world: &mut World) -> Result<()> {
    let World { rig, c, person, .. } = world;
    insert(rig, c, person)?;
    // A key that was revoked is discarded at the first try.
    pair(c, person, false).or_else(|_| pair(c, person, false))?;
    unlock(c, person)?;
    eject(rig, c, person)
}

/// A session of the person's at A.
fn at_a(world: &mut World) -> Result<()> {
    let World { rig, a, person, .. } = world;
    insert(rig, a, person)?;
    unlock(a, person).map(drop)
}

/// A terminal leaves.
struct Unpair;

impl Life for Unpair {
    fn what(&self) -> (&'static str, At) {
        ("simsync unpair", At::C)
    }

    fn prepare(&mut self, world: &mut World, _: &str) -> Result<String> {
        with_c(world)?;
        let World { rig, c, person, .. } = world;
        insert(rig, c, person)?;
        unlock(c, person)?;
        Ok(person.card.clone())
    }

    fn act(&mut self, world: &mut World) -> Result<CliResult> {
        let secrets = world.person.secrets();
        world.c.simsync(&["unpair", "--yes"], &secrets)
    }

    fn finish(&mut self, world: &mut World, done: bool) -> Result<()> {
        if !done {
            again(self.act(world)?, "simsync unpair", &["not-paired"])?;
        }
        world.c.wait_state(&["unpaired"])?;
        let left = on_card(&world.c, &world.person)?;
        if left != ["A", "B"] {
            return Err(format!("the card holds {left:?}"));
        }
        Ok(())
    }
}

/// Another terminal is taken off the card; by the daemon, out of the vault, too.
struct RemoveTerminal {
    by_tool: bool,
}

impl Life for RemoveTerminal {
    fn what(&self) -> (&'static str, At) {
        if self.by_tool {
            ("simsync-card terminal remove", At::A)
        } else {
            ("simsync terminals remove", At::A)
        }
    }

    fn prepare(&mut self, world: &mut World, _: &str) -> Result<String> {
        with_c(world)?;
        if self.by_tool {
            insert(&mut world.rig, &world.a, &world.person)?;
        } else {
            at_a(world)?;
        }
        Ok(world.person.card.clone())
    }

    fn act(&mut self, world: &mut World) -> Result<CliResult> {
        let World { a, person, .. } = world;
        if self.by_tool {
            let pin = Secrets::give("--pin-fd", &person.pin);
            return a.card_tool(&["terminal", "remove", "C"], &pin);
        }
        a.simsync(&["terminals", "remove", "--yes", "C"], &person.secrets())
    }

    fn finish(&mut self, world: &mut World, done: bool) -> Result<()> {
        if !done {
            if !self.by_tool {
                unlock(&world.a, &world.person)?;
            }
            // It is gone already: the sentence says so.
            again(
                self.act(world)?,
                self.what().0,
                &["usage", "no-such-terminal"],
            )?;
        }
        let left = on_card(&world.a, &world.person)?;
        if left != ["A", "B"] {
            return Err(format!("the card holds {left:?}"));
        }
        if self.by_tool {
            return Ok(());
        }
        let mut rows = at_server(world, "terminal")?;
        rows.retain(|row| row["label"] == "C");
        all_revoked(&rows)
    }
}

/// The server's terminals or cards.
fn at_server(world: &World, what: &str) -> Result<Vec<Value>> {
    let all = world.rig.server.admin(&[what, "list"])?;
    let rows = all[format!("{what}s")].as_array();
    Ok(rows.cloned().unwrap_or_default())
}

fn all_revoked(rows: &[Value]) -> Result<()> {
    match rows.iter().find(|row| row["state"] != "revoked") {
        None if !rows.is_empty() => Ok(()),
        None => Err("the server knows nothing of it".to_owned()),
        Some(row) => Err(format!("the server still trusts {row}")),
    }
}

/// The first step to a spare card: its keys are read.
struct ReadSpare(Option<Person>);

impl Life for ReadSpare {
    fn what(&self) -> (&'static str, At) {
        ("simsync card add, the new card", At::A)
    }

    fn prepare(&mut self, world: &mut World, tag: &str) -> Result<String> {
        let World { rig, a, person, .. } = world;
        let spare = spare_for(rig, a, person, tag)?;
        insert(rig, a, &spare)?;
        self.0 = Some(spare);
        Ok(tag.to_owned())
    }

    fn act(&mut self, world: &mut World) -> Result<CliResult> {
        step(&world.a, ready(&self.0)?)
    }

    fn finish(&mut self, world: &mut World, done: bool) -> Result<()> {
        let spare = self.0.as_mut().ok_or("no card is ready")?;
        which_pin_of_two(world, spare)?;
        if !done {
            again(step(&world.a, spare)?, "simsync card add", &[])?;
        }
        Ok(())
    }
}

/// The letter's PIN, or the one that was set when the card was read.
fn which_pin_of_two(world: &World, spare: &mut Person) -> Result<()> {
    let told = world
        .a
        .card_tool(&["info", "--pin"], &Secrets::give("--pin-fd", PIN))?;
    if told.code == 0 {
        spare.pin = PIN.to_owned();
    }
    Ok(())
}

/// The second step: the card in use names it.
struct NameSpare(Option<Person>);

impl Life for NameSpare {
    fn what(&self) -> (&'static str, At) {
        ("simsync card add, the usual card", At::A)
    }

    fn prepare(&mut self, world: &mut World, tag: &str) -> Result<String> {
        let World { rig, a, person, .. } = world;
        let mut spare = spare_for(rig, a, person, tag)?;
        read(rig, a, &mut spare)?;
        insert(rig, a, person)?;
        self.0 = Some(spare);
        Ok(person.card.clone())
    }

    fn act(&mut self, world: &mut World) -> Result<CliResult> {
        step(&world.a, &world.person)
    }

    fn finish(&mut self, world: &mut World, done: bool) -> Result<()> {
        if !done {
            again(self.act(world)?, self.what().0, &["no-new-card"])?;
        }
        unlock(&world.a, &world.person)?;
        let known = cards(&world.a)?;
        let spare = known.iter().find(|c| c["in_use"] != true);
        let (Some(spare), 2) = (spare, known.len()) else {
            return Err(format!("the cards are {known:?}"));
        };
        remove(world, spare["card"].as_str().unwrap_or_default())
    }
}

/// With a session at A: takes the spare card out of the vault again.
fn remove(world: &World, card: &str) -> Result<()> {
    world
        .a
        .simsync(&["card", "remove", "--yes", card], &world.person.secrets())?
        .ok("simsync card remove")
        .map(drop)
}

/// The spare card's first use: it takes the terminals in.
struct UseSpare(Option<(Person, String)>);

impl Life for UseSpare {
    fn what(&self) -> (&'static str, At) {
        ("simsync unlock, a new spare card", At::A)
    }

    fn prepare(&mut self, world: &mut World, tag: &str) -> Result<String> {
        let World { rig, a, person, .. } = world;
        let mut spare = spare_for(rig, a, person, tag)?;
        let id = add(rig, a, person, &mut spare)?;
        insert(rig, a, &spare)?;
        self.0 = Some((spare, id));
        Ok(tag.to_owned())
    }

    fn act(&mut self, world: &mut World) -> Result<CliResult> {
        let (spare, _) = ready(&self.0)?;
        world.a.simsync(&["unlock"], &spare.secrets())
    }

    fn finish(&mut self, world: &mut World, _: bool) -> Result<()> {
        let (spare, id) = self.0.take().ok_or("no card is ready")?;
        unlock(&world.a, &spare)?;
        let there = on_card(&world.a, &spare)?;
        if there != ["A", "B"] {
            return Err(format!("the spare card holds {there:?}"));
        }
        pull(&mut world.rig, &world.a, &spare)?;
        at_a(world)?;
        remove(world, &id)?;
        eject(&mut world.rig, &world.a, &world.person)
    }
}

/// A lost card is taken out of the vault, which gets a new key.
struct RemoveCard(String);

impl Life for RemoveCard {
    fn what(&self) -> (&'static str, At) {
        ("simsync card remove", At::A)
    }

    fn prepare(&mut self, world: &mut World, tag: &str) -> Result<String> {
        let World { rig, a, person, .. } = world;
        let mut spare = spare_for(rig, a, person, tag)?;
        self.0 = add(rig, a, person, &mut spare)?;
        at_a(world)?;
        Ok(world.person.card.clone())
    }

    fn act(&mut self, world: &mut World) -> Result<CliResult> {
        let secrets = world.person.secrets();
        world
            .a
            .simsync(&["card", "remove", "--yes", &self.0], &secrets)
    }

    fn finish(&mut self, world: &mut World, done: bool) -> Result<()> {
        if !done {
            unlock(&world.a, &world.person)?;
            again(self.act(world)?, self.what().0, &["no-such-card"])?;
        }
        match cards(&world.a)?.len() {
            1 => {}
            n => return Err(format!("the vault has {n} cards")),
        }
        let mut rows = at_server(world, "card")?;
        rows.retain(|row| row["card"] == self.0.as_str());
        all_revoked(&rows)
    }
}

/// The first session after the server moved: the card is told, in this one or the next.
struct Moved;

impl Life for Moved {
    fn what(&self) -> (&'static str, At) {
        ("simsync unlock, the server moved", At::A)
    }

    fn prepare(&mut self, world: &mut World, _: &str) -> Result<String> {
        let port = world.rig.server.public_port + 1;
        let new = format!("server.simsync.test:{port}");
        world.rig.server.admin(&["move", "to", &new])?;
        at_a(world)?;
        world
            .a
            .simsync(&["server", "confirm", "--yes"], &Secrets::default())?
            .ok("simsync server confirm")?;
        let World { rig, a, person, .. } = world;
        eject(rig, a, person)?;
        rig.server.move_away(port)?;
        a.wire_to(&rig.server)?;
        a.wait_status("A to find the server", |s| {
            s["online"] == true && s["server"] == new
        })?;
        insert(rig, a, person)?;
        Ok(person.card.clone())
    }

    fn act(&mut self, world: &mut World) -> Result<CliResult> {
        let secrets = world.person.secrets();
        world.a.simsync(&["unlock"], &secrets)
    }

    fn finish(&mut self, world: &mut World, _: bool) -> Result<()> {
        unlock(&world.a, &world.person)?;
        let port = world.rig.server.public_port;
        let pin = Secrets::give("--pin-fd", &world.person.pin);
        let told = world
            .a
            .card_tool(&["info", "--pin"], &pin)?
            .ok("simsync-card info")?;
        if told.json["server"] != format!("server.simsync.test:{port}") {
            return Err(format!("the card says {}", told.json["server"]));
        }
        Ok(())
    }
}
