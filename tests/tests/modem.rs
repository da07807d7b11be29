//! The full card in a modem: simsync-card reaches its applet over a logical channel, as it does in a reader.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use serde_json::json;
use simsync_rig::rig::{Manner, Modem, Rig, Secrets};
use simsync_rig::scene::paired;

#[test]
fn m18_simsync_card_speaks_to_the_applet_on_a_modems_sim() {
    let mut rig = Rig::start().unwrap();
    let (desk, person) = paired(&mut rig, "desk").unwrap();
    let modem = Modem::start(rig.bridge.lend(&person.card).unwrap()).unwrap();
    let device = modem.device().to_str().unwrap();
    let tool = |args: &[&str], secrets: &Secrets| {
        let all = [&["--modem", device], args].concat();
        desk.card_tool(&all, secrets).unwrap()
    };
    let none = Secrets::default();
    let pin = Secrets::give("--pin-fd", &person.pin);

    let info = tool(&["info"], &pin).ok("info").unwrap().json;
    assert_eq!(
        (&info["state"], &info["label"]),
        (&json!("in use"), &json!("card")),
        "{info}"
    );
    let list = tool(&["terminal", "list"], &pin).ok("list").unwrap().json;
    assert_eq!(list["terminals"][0]["label"], "desk", "{list}");
    let doctor = tool(&["doctor"], &pin).ok("doctor").unwrap().json;
    let checks = doctor["checks"].as_array().unwrap();
    let names: Vec<_> = checks.iter().map(|c| c["name"].as_str().unwrap()).collect();
    let wanted = ["modem", "applet", "time to answer", "tries", "time to sign"];
    assert_eq!(names, wanted, "{doctor}");

    // The PIN is the card's, wherever it is: a wrong one costs a try, a new one counts.
    let wrong = tool(&["info"], &Secrets::give("--pin-fd", "999999"));
    assert_eq!(
        (wrong.code, &wrong.json["error"]["code"]),
        (5, &json!("pin"))
    );
    assert_eq!(tool(&["info"], &none).json["pin_tries"], 2);
    let change = Secrets::give("--pin-fd", &person.pin).and("--new-pin-fd", "864209");
    tool(&["pin", "change"], &change).ok("pin change").unwrap();
    let info = tool(&["info"], &Secrets::give("--pin-fd", "864209"));
    assert_eq!(info.ok("info").unwrap().json["pin_tries"], 3);
    // Every command closed its channel.
    assert!(!modem.is_open());

    // What is not there, or not for a modem, is told and touches nothing.
    let install = tool(&["lock-info"], &none);
    assert_eq!(
        (install.code, &install.json["error"]["code"]),
        (2, &json!("usage"))
    );
    for (manner, code, word) in [
        (Manner::Without, 3, "no logical channels"),
        (Manner::Refuses("+CME ERROR: 10"), 4, "no SIM"),
        (Manner::Refuses("+CME ERROR: 22"), 4, "no simsync applet"),
        (Manner::Refuses("+CME ERROR: 11"), 1, "its own PIN"),
    ] {
        modem.behave(manner.clone());
        let failed = tool(&["info"], &none);
        let said = failed.json["error"]["message"].as_str().unwrap_or_default();
        assert!(
            failed.code == code && said.contains(word),
            "{manner:?}: {failed:?}"
        );
    }
    let doctor = tool(&["doctor"], &none);
    assert_eq!(
        (doctor.code, &doctor.json["ok"]),
        (1, &json!(false)),
        "{doctor:?}"
    );
}
