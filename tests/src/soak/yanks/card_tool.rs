//! What is done at an operator's desk, by simsync-card.

use simsync_rig::demo::{Person, provision_inserted, provisioned, try_provision};
use simsync_rig::rig::{CliResult, Enrolment, Result, Secrets, repository};

use super::lives::{At, Life, World, again};

pub fn all() -> Vec<Box<dyn Life>> {
    vec![
        Box::new(Install),
        Box::new(ToManager(&["list"], false)),
        Box::new(ToManager(&["lock-info"], false)),
        Box::new(ToManager(&["delete"], true)),
        Box::new(Replace),
        Box::new(Provision(None)),
        Box::new(Terminate(None)),
    ]
}

/// A card's transport secret that is no secret.
const TRANSPORT: &str = "00112233445566778899aabbccddeeff";

fn install(world: &World) -> Result<CliResult> {
    install_with(world, &[])
}

fn install_with(world: &World, more: &[&str]) -> Result<CliResult> {
    let cap = repository().join("target/cap/simsync-simulator.cap");
    let cap = cap.to_string_lossy();
    let args = [&["install", "--cap", &cap, "--default-test-keys"], more].concat();
    let secret = Secrets::give("--transport-secret-fd", TRANSPORT);
    world.at(At::A).card_tool(&args, &secret)
}

fn state(world: &World) -> Result<String> {
    let told = world
        .at(At::A)
        .card_tool(&["info"], &Secrets::default())?
        .ok("simsync-card info")?;
    Ok(told.json["state"].as_str().unwrap_or_default().to_owned())
}

fn is(world: &World, wanted: &str) -> Result<()> {
    match state(world)? {
        state if state == wanted => Ok(()),
        other => Err(format!("the card is {other} and not {wanted}")),
    }
}

/// The applet onto a blank card.
struct Install;

impl Life for Install {
    fn what(&self) -> (&'static str, At) {
        ("simsync-card install", At::A)
    }

    fn prepare(&mut self, world: &mut World, tag: &str) -> Result<String> {
        world.rig.bridge.call(&format!("blank-gp {tag}"))?;
        world.put_in(At::A, tag)?;
        Ok(tag.to_owned())
    }

    fn act(&mut self, world: &mut World) -> Result<CliResult> {
        install(world)
    }

    fn finish(&mut self, world: &mut World, done: bool) -> Result<()> {
        if !done {
            again(install(world)?, "simsync-card install", &[])?;
        }
        is(world, "blank")
    }
}

/// The applet onto a card that has it.
struct Replace;

impl Life for Replace {
    fn what(&self) -> (&'static str, At) {
        ("simsync-card install --replace", At::A)
    }

    fn prepare(&mut self, world: &mut World, tag: &str) -> Result<String> {
        Install.prepare(world, tag)?;
        install(world)?.ok("simsync-card install")?;
        Ok(tag.to_owned())
    }

    fn act(&mut self, world: &mut World) -> Result<CliResult> {
        install_with(world, &["--replace"])
    }

    fn finish(&mut self, world: &mut World, done: bool) -> Result<()> {
        if !done {
            again(self.act(world)?, self.what().0, &[])?;
        }
        is(world, "blank")
    }
}

/// What is said to the card manager of a card with the applet; whether that is gone afterwards.
struct ToManager(&'static [&'static str], bool);

impl ToManager {
    fn run(&self, world: &World) -> Result<CliResult> {
        let keys: &[&str] = if self.0 == ["lock-info"] {
            &[]
        } else {
            &["--default-test-keys"]
        };
        let args = [self.0, keys].concat();
        world.at(At::A).card_tool(&args, &Secrets::default())
    }
}

impl Life for ToManager {
    fn what(&self) -> (&'static str, At) {
        let what = match self.0 {
            ["list"] => "simsync-card list",
            ["lock-info"] => "simsync-card lock-info",
            _ => "simsync-card delete",
        };
        (what, At::A)
    }

    fn prepare(&mut self, world: &mut World, tag: &str) -> Result<String> {
        Install.prepare(world, tag)?;
        install(world)?.ok("simsync-card install")?;
        Ok(tag.to_owned())
    }

    fn act(&mut self, world: &mut World) -> Result<CliResult> {
        self.run(world)
    }

    fn finish(&mut self, world: &mut World, done: bool) -> Result<()> {
        if !done {
            again(self.run(world)?, self.what().0, &[])?;
        }
        if self.1 {
            let told = world.at(At::A).card_tool(&["info"], &Secrets::default())?;
            return match told.json["error"]["code"].as_str() {
                Some("no-card") => Ok(()),
                _ => Err(format!("the applet is still there: {}", told.json)),
            };
        }
        is(world, "blank")
    }
}

/// A blank card becomes somebody's, and the letter's PIN is the card's.
struct Provision(Option<(String, String, Enrolment)>);

impl Provision {
    fn run(&self, world: &World) -> Result<CliResult> {
        let (card, secret, enrolment) = self.0.as_ref().ok_or("no card is ready")?;
        try_provision(&world.rig, world.at(At::A), (card, secret), enrolment)
    }
}

impl Life for Provision {
    fn what(&self) -> (&'static str, At) {
        ("simsync-card provision", At::A)
    }

    fn prepare(&mut self, world: &mut World, tag: &str) -> Result<String> {
        let secret = world.rig.bridge.blank(tag)?;
        let enrolment = world.rig.server.subscriber(tag)?;
        self.0 = Some((tag.to_owned(), secret, enrolment));
        world.put_in(At::A, tag)?;
        Ok(tag.to_owned())
    }

    fn act(&mut self, world: &mut World) -> Result<CliResult> {
        self.run(world)
    }

    fn finish(&mut self, world: &mut World, done: bool) -> Result<()> {
        if !done {
            again(self.run(world)?, "simsync-card provision", &[])?;
        }
        let (card, _, enrolment) = self.0.as_ref().ok_or("no card is ready")?;
        let person = provisioned(&world.rig, card, enrolment)?;
        let secrets = Secrets::give("--pin-fd", &person.pin).and("--new-pin-fd", "8642");
        world
            .at(At::A)
            .card_tool(&["pin", "change"], &secrets.take("--puk-fd"))?
            .ok("pin change, with the letter's PIN")
            .map(drop)
    }
}

/// A card is wiped.
struct Terminate(Option<Person>);

impl Terminate {
    fn run(&self, world: &World) -> Result<CliResult> {
        let person = self.0.as_ref().ok_or("no card is ready")?;
        let puk = Secrets::give("--puk-fd", &person.puk);
        world
            .at(At::A)
            .card_tool(&["terminate", "--destroy-keys"], &puk)
    }
}

impl Life for Terminate {
    fn what(&self) -> (&'static str, At) {
        ("simsync-card terminate", At::A)
    }

    fn prepare(&mut self, world: &mut World, tag: &str) -> Result<String> {
        let secret = world.rig.bridge.blank(tag)?;
        world.put_in(At::A, tag)?;
        self.0 = Some(provision_inserted(
            &world.rig,
            world.at(At::A),
            tag,
            &secret,
        )?);
        Ok(tag.to_owned())
    }

    fn act(&mut self, world: &mut World) -> Result<CliResult> {
        self.run(world)
    }

    fn finish(&mut self, world: &mut World, done: bool) -> Result<()> {
        if !done {
            again(self.run(world)?, "simsync-card terminate", &[])?;
        }
        is(world, "terminated")
    }
}
