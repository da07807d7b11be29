//! Operations that can be done to a card or a terminal once: each yank needs the world made ready anew.

use simsync_rig::demo::{Person, gone, take_out};
use simsync_rig::rig::{CliResult, Result, Rig, Terminal};
use simsync_rig::scene;

use super::super::Plan;
use super::super::report::{Operation, Report};
use super::left;
use super::word::{REQUESTS, check_word};

/// More commands than any operation needs: LOAD takes the most.
const MOST: usize = 200;

/// A person with two terminals, and one that is nobody's.
pub struct World {
    pub rig: Rig,
    pub a: Terminal,
    pub b: Terminal,
    pub c: Terminal,
    pub person: Person,
    /// How many cards, or names of cards, there were.
    pub tags: usize,
}

/// Which terminal something is done at.
#[derive(Debug, Clone, Copy)]
pub enum At {
    A,
    C,
}

impl World {
    pub fn at(&self, at: At) -> &Terminal {
        match at {
            At::A => &self.a,
            At::C => &self.c,
        }
    }

    pub fn terminals(&self) -> [&Terminal; 3] {
        [&self.a, &self.b, &self.c]
    }

    /// Puts a card in, and waits until the daemon has looked at it.
    pub fn put_in(&mut self, at: At, card: &str) -> Result<()> {
        let port = self.at(at).port;
        self.rig.bridge.insert(card, port)?;
        self.at(at).wait_status("the card to be looked at", |s| {
            s["cards"].as_array().is_some_and(|all| {
                all.iter()
                    .any(|c| c["state"].as_str().is_some_and(|s| s != "looking"))
            })
        })?;
        self.rig
            .bridge
            .call(&format!("wait-idle {card} 150"))
            .map(drop)
    }

    /// Takes out whatever is in.
    pub fn take_out(&mut self) -> Result<()> {
        let Self {
            rig,
            a,
            b,
            c,
            person,
            ..
        } = self;
        let terminals = [&*a, b, c];
        for (card, port) in rig.bridge.inserted()? {
            match terminals.iter().find(|t| t.port == port) {
                Some(terminal) => take_out(rig, terminal, &card)?,
                None => rig.bridge.eject(&card)?,
            }
        }
        for terminal in terminals {
            gone(rig, terminal, &person.card)?;
        }
        Ok(())
    }
}

/// An operation that is done again and again, each time with the card yanked at another of its commands.
pub trait Life {
    /// What is done, and at which terminal.
    fn what(&self) -> (&'static str, At);
    /// Makes the world ready, with a card in the reader. Answers the card's name. `tag` is new each time.
    fn prepare(&mut self, world: &mut World, tag: &str) -> Result<String>;
    /// Does it; its own failure is the result's exit code.
    fn act(&mut self, world: &mut World) -> Result<CliResult>;
    /// The card is in again. If it was not `done`, it is done now; then what must be true is looked at.
    fn finish(&mut self, world: &mut World, done: bool) -> Result<()>;
}

/// An operation at every yank. Fails only where the world is of no use any more.
pub fn run(plan: &Plan, report: &mut Report, world: &mut World, life: &mut dyn Life) -> Result<()> {
    let (what, at) = life.what();
    for request in REQUESTS {
        for (yanked, n) in (1..MOST).step_by(plan.stride).enumerate() {
            world.tags += 1;
            let tag = format!("card-{}", world.tags);
            let undisturbed = once(report, world, life, &tag, (request, n));
            if let Err(why) = &undisturbed {
                let told = scene::tell(world.at(at));
                report.fail(format!("{what}, {request} at {n}: {why}\n{told}"));
            }
            world.take_out()?;
            // Also those of an epoch that was made meanwhile.
            let keys = left::needles(&world.a, &world.person);
            let searched = keys.and_then(|keys| left::search(report, world.terminals(), &keys));
            if let Err(why) = searched {
                report.fail(format!("{what}, {request} at {n}, afterwards: {why}"));
            }
            match undisturbed {
                Ok(false) => report.yanks += 1,
                Ok(true) => {
                    report.operations.push(Operation {
                        what: format!("{what}, {request}"),
                        apdus: n - 1,
                        yanked,
                    });
                    break;
                }
                // What it left may be in the way of the next one.
                Err(_) => return Ok(()),
            }
        }
    }
    Ok(())
}

/// Answers whether nothing interrupted it: it needs fewer commands than that.
fn once(
    report: &mut Report,
    world: &mut World,
    life: &mut dyn Life,
    tag: &str,
    (request, n): (&str, usize),
) -> Result<bool> {
    let (what, at) = life.what();
    let card = life.prepare(world, tag)?;
    world.rig.bridge.call(&format!("wait-idle {card} 150"))?;
    world.rig.bridge.call(&format!("{request} {card} {n}"))?;
    let keys = left::needles(&world.a, &world.person)?;
    let first = life.act(world)?;
    let undisturbed = world.rig.bridge.is_in(&card)?;
    let done = first.code == 0;
    check_word(&first)?;
    if undisturbed {
        first.ok(what)?;
    }
    world.take_out()?;
    left::search(report, world.terminals(), &keys)?;
    world.put_in(at, &card)?;
    life.finish(world, done)?;
    Ok(undisturbed)
}

/// The same once more; fine as well if it says by one of these codes that there is nothing left to do.
pub fn again(result: CliResult, what: &str, or_codes: &[&str]) -> Result<()> {
    let code = result.json["error"]["code"].as_str().unwrap_or_default();
    if or_codes.contains(&code) {
        return Ok(());
    }
    result.ok(&format!("{what}, again")).map(drop)
}
