//! The life of a card at the desk: PIN blocked and unblocked, PUK blocked, wiped for good, made anew.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use serde_json::Value;
use simsync_rig::demo::{Person, install, provision_inserted, try_provision};
use simsync_rig::rig::{CliResult, Rig, Secrets, Terminal};

fn tool(desk: &Terminal, args: &[&str], secrets: &Secrets) -> CliResult {
    desk.card_tool(args, secrets).unwrap()
}

/// Tries left of PIN and PUK.
fn tries(desk: &Terminal) -> (u64, u64) {
    let info = tool(desk, &["info"], &Secrets::default())
        .ok("info")
        .unwrap();
    let of = |name: &str| info.json[name].as_u64().unwrap();
    (of("pin_tries"), of("puk_tries"))
}

fn state(desk: &Terminal) -> String {
    let info = tool(desk, &["info"], &Secrets::default())
        .ok("info")
        .unwrap();
    info.json["state"].as_str().unwrap().to_owned()
}

fn unblock(desk: &Terminal, puk: &str, pin: &str) -> CliResult {
    let secrets = Secrets::give("--puk-fd", puk).and("--new-pin-fd", pin);
    tool(desk, &["pin", "unblock"], &secrets)
}

/// An enrolled card in the desk's reader, and its transport secret.
fn issued(rig: &mut Rig, desk: &Terminal) -> (Person, String) {
    let secret = install(rig, desk, "card").unwrap();
    (
        provision_inserted(rig, desk, "card", &secret).unwrap(),
        secret,
    )
}

#[test]
fn m5_a_card_is_blocked_unblocked_and_wiped_without_its_puk() {
    let mut rig = Rig::start().unwrap();
    let desk = rig.terminal("desk").unwrap();
    let (person, _) = issued(&mut rig, &desk);
    for left in [2, 1, 0] {
        let refused = tool(&desk, &["info"], &Secrets::give("--pin-fd", "9999"));
        assert_eq!(refused.code, 5, "{}", refused.stderr);
        assert_eq!(tries(&desk), (left, 10));
    }
    // The right one comes too late.
    let refused = tool(&desk, &["info"], &Secrets::give("--pin-fd", &person.pin));
    assert_eq!(refused.code, 5);
    assert!(refused.stderr.contains("blocked"), "{}", refused.stderr);
    unblock(&desk, &person.puk, "1357")
        .ok("pin unblock")
        .unwrap();
    assert_eq!(tries(&desk), (3, 10));

    for left in (0..10).rev() {
        assert_eq!(unblock(&desk, "00000000", "2468").code, 5);
        assert_eq!(tries(&desk), (3, left));
    }
    let refused = unblock(&desk, &person.puk, "2468");
    assert_eq!(refused.code, 5, "{}", refused.stderr);
    // Not by the way, and then without a PUK.
    let refused = tool(&desk, &["terminate"], &Secrets::default());
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("--destroy-keys"),
        "{}",
        refused.stderr
    );
    assert_eq!(state(&desk), "in use");
    tool(&desk, &["terminate", "--destroy-keys"], &Secrets::default())
        .ok("terminate")
        .unwrap();
    assert_eq!(state(&desk), "terminated");
}

#[test]
fn m18_a_card_whose_last_answers_were_lost_is_told_from_one_that_was_issued_before() {
    let mut rig = Rig::start().unwrap();
    let desk = rig.terminal("desk").unwrap();
    let mut issue = |name: &str, yank: Option<u64>| {
        let secret = rig.bridge.blank(name).unwrap();
        let enrolment = rig.server.subscriber(name).unwrap();
        let there = |s: &Value| s["cards"].as_array().is_some_and(|c| c.len() == 1);
        let gone = |s: &Value| s["cards"].as_array().is_some_and(Vec::is_empty);
        rig.bridge.insert(name, desk.port).unwrap();
        desk.wait_status("a card", there).unwrap();
        rig.bridge.call(&format!("wait-idle {name} 150")).unwrap();
        rig.bridge.reset_stats(name).unwrap();
        if let Some(n) = yank {
            rig.bridge.call(&format!("yank {name} {n}")).unwrap();
            let cut = try_provision(&rig, &desk, (name, &secret), &enrolment).unwrap();
            if cut.code == 0 {
                rig.bridge.take_out(name).unwrap();
                desk.wait_status("no card", gone).unwrap();
                return None;
            }
            assert_eq!(cut.code, 4, "{}", cut.stderr);
            desk.wait_status("no card", gone).unwrap();
            rig.bridge.insert(name, desk.port).unwrap();
            desk.wait_status("a card", there).unwrap();
        }
        let done = try_provision(&rig, &desk, (name, &secret), &enrolment).unwrap();
        let done = done.ok("simsync-card provision").unwrap();
        let commands = rig.bridge.stats(name).unwrap().apdus;
        // Again, as the letter is there; and not with a letter of another card.
        let again = try_provision(&rig, &desk, (name, &secret), &enrolment).unwrap();
        let again = again.ok("simsync-card provision, again").unwrap();
        assert_eq!(again.json["already_enrolled"], true);
        assert_eq!(again.json["card"], done.json["card"]);
        std::fs::remove_file(rig.dir.path().join(format!("letter-{name}.txt"))).unwrap();
        let refused = try_provision(&rig, &desk, (name, &secret), &enrolment).unwrap();
        assert!(
            refused.stderr.contains("provisioned already"),
            "{refused:?}"
        );
        rig.bridge.eject(name).unwrap();
        desk.wait_status("no card", gone).unwrap();
        Some((commands, done.json["already_enrolled"] == true))
    };
    let (commands, already) = issue("first", None).unwrap();
    assert!(!already);
    // The last command is ENROLLED, but for those of the daemon, which looks at the card again: it was done, and nobody heard.
    let cut = (1..=commands)
        .rev()
        .find_map(|n| issue(&format!("cut-at-{n}"), Some(n)));
    assert!(cut.unwrap().1);
}

#[test]
fn m5_a_card_is_wiped_with_its_puk_and_made_anew() {
    let mut rig = Rig::start().unwrap();
    let desk = rig.terminal("desk").unwrap();
    let (person, _) = issued(&mut rig, &desk);
    let wrong = tool(
        &desk,
        &["terminate", "--destroy-keys"],
        &Secrets::give("--puk-fd", "00000000"),
    );
    assert_eq!(wrong.code, 5, "{}", wrong.stderr);
    assert_eq!((tries(&desk), state(&desk).as_str()), ((3, 9), "in use"));
    tool(
        &desk,
        &["terminate", "--destroy-keys"],
        &Secrets::give("--puk-fd", &person.puk),
    )
    .ok("terminate")
    .unwrap();
    assert_eq!(state(&desk), "terminated");
    // Who did not hear of it asks again.
    tool(&desk, &["terminate", "--destroy-keys"], &Secrets::default())
        .ok("terminate, again")
        .unwrap();
    // Nothing of it is left; the card manager's owner makes it another card.
    for refused in [
        tool(&desk, &["info"], &Secrets::give("--pin-fd", &person.pin)),
        unblock(&desk, &person.puk, "2468"),
    ] {
        assert_ne!(refused.code, 0, "{}", refused.json);
    }
    let secret = "00112233445566778899aabbccddeeff";
    let cap = simsync_rig::rig::repository().join("target/cap/simsync-simulator.cap");
    tool(
        &desk,
        &[
            "install",
            "--replace",
            "--default-test-keys",
            "--cap",
            &cap.to_string_lossy(),
        ],
        &Secrets::give("--transport-secret-fd", secret),
    )
    .ok("install --replace")
    .unwrap();
    assert_eq!(state(&desk), "blank");
    std::fs::remove_file(rig.dir.path().join("letter-card.txt")).unwrap();
    provision_inserted(&rig, &desk, "card", secret).unwrap();
    assert_eq!(state(&desk), "in use");
}
