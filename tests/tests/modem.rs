//! The full card in a modem: simsync-card and simsyncd reach its applet over a logical channel, as they do in a reader.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use serde_json::{Value, json};
use simsync_rig::demo::{add_collection, pair, provision, unlock};
use simsync_rig::rig::{DEADLINE, Manner, Modem, Rig, Secrets, wait_for};
use simsync_rig::scene::{equal, joined, paired};

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

fn reasons(status: &Value) -> Vec<&str> {
    let reasons = status["reasons"].as_array();
    let codes = reasons.into_iter().flatten().map(|r| r["code"].as_str());
    codes.map(Option::unwrap_or_default).collect()
}

#[test]
fn m14_a_card_in_a_modem_opens_syncs_and_is_missed_as_in_a_reader() {
    let mut rig = Rig::start().unwrap();
    let mut a = rig.terminal("A").unwrap();
    let mut person = provision(&mut rig, &a, "card").unwrap();
    let modem = Modem::empty().unwrap();
    let device = modem.device().to_str().unwrap().to_owned();
    a.stop_daemon().unwrap();
    a.configure(&json!({ "modems": [device] })).unwrap();
    a.start_daemon().unwrap();
    let name = format!("modem {device}");
    let status = a
        .wait_status("the modem", |s| {
            s["readers"]
                .as_array()
                .is_some_and(|r| r.contains(&json!(name)))
        })
        .unwrap();
    assert_eq!(status["cards"], json!([]), "{status}");

    // What is in the way is told.
    modem.put_in(rig.bridge.lend(&person.card).unwrap());
    modem.behave(Manner::Without);
    a.wait_status("a modem that is of no use", |s| {
        reasons(s).contains(&"no-channel")
    })
    .unwrap();
    modem.behave(Manner::Good);
    a.wait_status("a new card", |s| {
        s["cards"][0]["reader"] == json!(name) && s["cards"][0]["state"] == "unpaired"
    })
    .unwrap();

    // Pairing, a session, an upload.
    pair(&a, &mut person, true).unwrap();
    unlock(&a, &person).unwrap();
    std::fs::write(a.data.join("first.txt"), "first").unwrap();
    add_collection(&a, &person, "Documents").unwrap();
    let uploaded = |s: &Value| s["state"] == "synced" && s["sequence"].as_u64() > Some(0);
    a.wait_status("the upload", uploaded).unwrap();

    // The SIM is pulled: the session is over, the keys are gone, and what was not uploaded is sealed.
    a.wire.set_down(true);
    std::fs::write(a.data.join("second.txt"), "second").unwrap();
    a.wait_status("the server to be missed", |s| s["online"] == false)
        .unwrap();
    modem.take_out();
    a.wait_status("the card to be missed", |s| {
        s["cards"] == json!([]) && s["session"].is_null()
    })
    .unwrap();
    a.wire.set_down(false);

    // In again: the PIN is asked for, as the card forgot it.
    modem.put_in(rig.bridge.lend(&person.card).unwrap());
    a.wait_status("the card", |s| s["cards"][0]["state"] == "paired")
        .unwrap();
    unlock(&a, &person).unwrap();
    a.wait_status("all of it at the server", |s| {
        uploaded(s) && s["sequence"].as_u64() > Some(1)
    })
    .unwrap();

    // A daemon that is killed leaves its channel, and the next one closes it.
    a.kill_daemon();
    assert!(modem.is_open());
    modem.free_port().unwrap();
    a.start_daemon().unwrap();
    a.wait_status("the card", |s| s["cards"][0]["state"] == "paired")
        .unwrap();
    unlock(&a, &person).unwrap();
    a.simsync(&["eject"], &Secrets::default())
        .unwrap()
        .ok("simsync eject")
        .unwrap();
    // One that ends in good order closes it itself.
    a.stop_daemon().unwrap();
    assert!(!modem.is_open());
    a.start_daemon().unwrap();
    modem.take_out();
    wait_for("the card to be out", DEADLINE, || {
        (!rig.bridge.is_in(&person.card).unwrap()).then_some(())
    })
    .unwrap();

    // The same card in a reader, at another terminal.
    let b = joined(&mut rig, &mut person, "B").unwrap();
    equal(&a, &b).unwrap();
}
