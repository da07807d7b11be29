//! The life of a card at the desk: PIN blocked and unblocked, PUK blocked, wiped for good, made anew.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use simsync_rig::demo::{Person, install, provision_inserted};
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
