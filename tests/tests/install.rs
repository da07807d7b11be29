//! `simsync-card install` and its like, with a blank card in a real pcscd's reader: the applet goes on, is provisioned,
//! is protected, and goes off again (M5).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use std::process::Command;

use serde_json::Value;
use simsync_rig::demo::provision_inserted;
use simsync_rig::rig::{CliResult, DEADLINE, Rig, Secrets, Terminal, repository, wait_for};

const TEST_KEY: &str = "404142434445464748494A4B4C4D4E4F";
const WRONG_KEY: &str = "5EC5EC5EC5EC5EC5EC5EC5EC5EC5EC5E";

/// A world with a blank card in the desk's reader, and the file that a simulated card takes.
struct World {
    rig: Rig,
    desk: Terminal,
    cap: String,
}

impl World {
    fn new(card: &str) -> Self {
        let mut rig = Rig::start().unwrap();
        let desk = rig.terminal("desk").unwrap();
        let cap = rig.dir.path().join("simulator.cap");
        let made = Command::new("java")
            .arg("-cp")
            .arg(repository().join("javacard-applet/target/simsync-bridge.jar"))
            .arg("org.simsync.bridge.gp.LoadFile")
            .arg(&cap)
            .status()
            .unwrap();
        assert!(made.success());
        rig.bridge.call(&format!("blank-gp card {card}")).unwrap();
        let cap = cap.to_string_lossy().into_owned();
        let mut world = Self { rig, desk, cap };
        world.insert();
        world
    }

    /// Puts the card in, and waits until pcscd has seen it.
    fn insert(&mut self) {
        let Self { rig, desk, .. } = self;
        rig.bridge
            .insert_until("card", desk.port, || is_in(desk).filter(|there| *there))
            .unwrap();
    }

    /// Until pcscd has seen that the card is out.
    fn wait_for_removal(&self) {
        wait_for("an empty reader", DEADLINE, || {
            is_in(&self.desk).filter(|there| !there)
        })
        .unwrap();
    }

    fn tool(&self, args: &[&str], secrets: &Secrets) -> CliResult {
        self.desk.card_tool(args, secrets).unwrap()
    }

    fn install(&self, more: &[&str], secrets: &Secrets) -> CliResult {
        let args = [&["install", "--cap", &self.cap], more].concat();
        self.tool(&args, secrets)
    }
}

/// Whether pcscd sees a card in any reader of the desk.
fn is_in(desk: &Terminal) -> Option<bool> {
    let shown = desk.card_tool(&["readers"], &Secrets::default()).ok()?;
    let readers = shown.json["readers"].as_array()?;
    Some(readers.iter().any(|r| r["state"] != "empty"))
}

fn keys(key: &str) -> Secrets {
    Secrets::give("--keys-fd", key)
}

fn code(result: &CliResult) -> (i32, &str) {
    let code = result.json["error"]["code"].as_str();
    (result.code, code.unwrap_or("none"))
}

fn aids(list: &Value) -> Vec<String> {
    let entries = list.as_array().unwrap();
    entries
        .iter()
        .filter_map(|e| e["name"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn m5_a_blank_card_is_installed_used_protected_and_wiped() {
    let world = World::new("tries=1 kdd=00112233445566778899");
    let told = world
        .tool(&["lock-info"], &Secrets::default())
        .ok("lock-info")
        .unwrap();
    assert_eq!(told.json["card_data"]["protocols"][0], "SCP03 i=70");
    assert_eq!(
        told.json["initialize_update"]["diversification_data"],
        "00112233445566778899"
    );
    let plan = world
        .install(&["--dry-run"], &Secrets::default())
        .ok("dry run")
        .unwrap();
    assert_eq!(plan.json["steps"].as_array().unwrap().len(), 4);

    // One try is all this card has, and wrong keys do not cost it.
    let file = world.rig.dir.path().join("transport-secret");
    let out = ["--transport-secret-out", file.to_str().unwrap()];
    for _ in 0..3 {
        let wrong = world.install(&out, &keys(WRONG_KEY));
        assert_eq!(code(&wrong), (7, "keys"), "{}", wrong.stderr);
        assert!(!file.exists());
    }
    let traced = [&out[..], &["-vv"]].concat();
    let done = world
        .install(&traced, &keys(TEST_KEY))
        .ok("install")
        .unwrap();
    assert_eq!(done.json["changed"], true);
    let secret = std::fs::read_to_string(&file).unwrap();
    let secret = secret.trim();
    assert_eq!(secret.len(), 32);
    // Every APDU is shown, and nothing secret in them.
    assert!(
        done.stderr.contains("> 84 E6 0C 00 [72 bytes]"),
        "{}",
        done.stderr
    );
    let shown = done.stderr.to_uppercase();
    assert!(!shown.contains(&secret.to_uppercase()) && !shown.contains(TEST_KEY));

    let again = world.install(&out, &keys(TEST_KEY));
    assert_eq!(
        code(&again),
        (2, "usage"),
        "the file is there: {}",
        again.stderr
    );
    let given = keys(TEST_KEY).and("--transport-secret-fd", secret);
    let again = world.install(&[], &given).ok("install again").unwrap();
    assert_eq!(
        (&again.json["changed"], &again.json["state"]),
        (&false.into(), &"blank".into())
    );

    provision_inserted(&world.rig, &world.desk, "card", secret).unwrap();
    let info = world
        .tool(&["info"], &Secrets::default())
        .ok("info")
        .unwrap();
    assert_eq!(info.json["state"], "in use");
    let list = world.tool(&["list"], &keys(TEST_KEY)).ok("list").unwrap();
    assert_eq!(aids(&list.json["applications"]), ["simsync applet"]);
    assert_eq!(aids(&list.json["load_files"]), ["simsync package"]);

    // A card in use is not destroyed by the way.
    for refused in [
        world.install(&["--replace"], &given),
        world.tool(&["delete"], &keys(TEST_KEY)),
    ] {
        assert_eq!(code(&refused), (1, "failed"));
        assert!(
            refused.stderr.contains("--destroy-keys"),
            "{}",
            refused.stderr
        );
    }
    let info = world
        .tool(&["info"], &Secrets::default())
        .ok("info")
        .unwrap();
    assert_eq!(info.json["state"], "in use");
    let gone = world
        .tool(&["delete", "--destroy-keys"], &keys(TEST_KEY))
        .ok("delete")
        .unwrap();
    assert_eq!(gone.json["deleted"].as_array().unwrap().len(), 2);
    let info = world.tool(&["info"], &Secrets::default());
    assert_eq!(code(&info), (4, "no-card"));
}

#[test]
fn m5_a_yank_in_the_middle_is_repeated_with_the_same_secret() {
    let mut world = World::new("scp=02");
    let file = world.rig.dir.path().join("transport-secret");
    let out = ["--transport-secret-out", file.to_str().unwrap()];
    // In LOAD.
    world.rig.bridge.call("yank card 30").unwrap();
    let yanked = world.install(&out, &keys(TEST_KEY));
    assert_eq!(code(&yanked), (4, "no-card"), "{}", yanked.stderr);
    assert!(
        yanked.stderr.contains("--transport-secret-fd"),
        "{}",
        yanked.stderr
    );
    let secret = std::fs::read_to_string(&file).unwrap();
    world.wait_for_removal();
    world.insert();
    let given = keys(TEST_KEY).and("--transport-secret-fd", secret.trim());
    let done = world.install(&[], &given).ok("install").unwrap();
    assert_eq!(done.json["changed"], true);
    provision_inserted(&world.rig, &world.desk, "card", secret.trim()).unwrap();
}
