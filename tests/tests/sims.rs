//! SIMs in the reader: what they tell is shown, and that they unlock nothing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use serde_json::{Value, json};
use simsync_rig::rig::{DEADLINE, Rig, Secrets, Terminal, wait_for};

const ICCID: &str = "8901000000000000801";
const IMSI: &str = "001010000000001";

/// What `simsync-card info` says, once pcscd has seen the card.
fn info(rig: &mut Rig, desk: &Terminal, card: &str) -> Value {
    rig.bridge.call(&format!("sim card {card}")).unwrap();
    rig.bridge.insert("card", desk.port).unwrap();
    let told = wait_for("the card's word", DEADLINE, || {
        let info = desk.card_tool(&["info"], &Secrets::default()).unwrap();
        (info.json["error"]["code"] != "no-card").then_some(info)
    })
    .unwrap();
    let told = told.ok("info").unwrap().json;
    rig.bridge.eject("card").unwrap();
    desk.wait_status("an empty reader", |s| {
        s["cards"].as_array().is_some_and(Vec::is_empty)
    })
    .unwrap();
    told
}

#[test]
fn m14_a_sim_tells_who_it_is_and_unlocks_nothing() {
    let mut rig = Rig::start().unwrap();
    let desk = rig.terminal("desk").unwrap();
    for (kind, word) in [("sim", "SIM"), ("usim", "USIM")] {
        let open = info(&mut rig, &desk, &format!("{kind} {ICCID} {IMSI}"));
        let wanted = json!({
            "kind": word, "applet": false, "iccid": ICCID, "imsi": IMSI, "imsi_state": "read",
            "pin_enabled": false, "pin_tries": 3, "schema_version": 1,
        });
        assert_eq!(open, wanted);
        let locked = info(&mut rig, &desk, &format!("{kind} {ICCID} {IMSI} 1234"));
        let wanted = json!({
            "kind": word, "applet": false, "iccid": ICCID, "imsi": null, "imsi_state": "locked",
            "pin_enabled": true, "pin_tries": 3, "schema_version": 1,
        });
        assert_eq!(locked, wanted);
    }
    // The daemon sees it, knows it for none of its own, and asks for no PIN.
    rig.bridge
        .call(&format!("sim card usim {ICCID} {IMSI}"))
        .unwrap();
    rig.bridge.insert("card", desk.port).unwrap();
    let status = desk
        .wait_status("the SIM to be looked at", |s| {
            s["cards"].as_array().is_some_and(|c| {
                c.iter()
                    .any(|c| c["state"].as_str().is_some_and(|s| s != "looking"))
            })
        })
        .unwrap();
    assert!(status["session"].is_null(), "{status}");
    assert!(
        !["synced", "opening", "locked"].contains(&status["state"].as_str().unwrap()),
        "{status}"
    );
}
