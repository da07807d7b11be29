//! SIMs in readers and modems: what they tell is shown, what a registered one starts, and that they unlock nothing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

#[path = "../../daemon/tests/modem_manager/mod.rs"]
mod modem_manager;

use modem_manager::{ModemManager, TEMPLATE_MODEM, TEMPLATE_SIM};
use serde_json::{Value, json};
use simsync_rig::demo::{Person, eject, insert, unlock};
use simsync_rig::rig::{DEADLINE, Rig, Secrets, Terminal, wait_for};
use simsync_rig::scene::{equal, joined_with, paired};

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

/// Packs that were fetched ahead and wait for the card.
fn fetched_ahead(terminal: &Terminal) -> usize {
    std::fs::read_dir(terminal.home.join("cache/packs")).map_or(0, Iterator::count)
}

/// How often the terminal heard of something new and did not fetch it.
fn left_alone(terminal: &Terminal) -> usize {
    terminal.daemon_log().matches("no prefetch").count()
}

/// The card writes on another terminal and is out again.
fn write_on(rig: &mut Rig, terminal: &Terminal, person: &Person, name: &str) {
    insert(rig, terminal, person).unwrap();
    unlock(terminal, person).unwrap();
    std::fs::write(terminal.data.join(name), name).unwrap();
    eject(rig, terminal, person).unwrap();
}

fn reasons(status: &Value) -> Vec<&str> {
    let reasons = status["reasons"].as_array();
    let codes = reasons.into_iter().flatten().map(|r| r["code"].as_str());
    codes.map(Option::unwrap_or_default).collect()
}

#[test]
fn m14_a_registered_sim_in_a_modem_starts_the_prefetch_and_unlocks_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let settings = json!({ "sim_trigger": "trigger-only", "presence_sims": [ICCID] });
    let b = joined_with(&mut rig, &mut person, "B", &settings).unwrap();
    let manager = runtime.block_on(ModemManager::start(&b.bus_address()));
    b.wait_status("a modem service without a SIM", |s| {
        reasons(s).contains(&"sim-absent")
    })
    .unwrap();

    // B's key is unsealed, its link stands. A's upload is seen there, and nothing is fetched.
    let before = left_alone(&b);
    write_on(&mut rig, &a, &person, "second.txt");
    wait_for("B to leave the prefetch", DEADLINE, || {
        (left_alone(&b) > before).then_some(())
    })
    .unwrap();
    assert_eq!(fetched_ahead(&b), 0);

    // Another SIM does nothing, the registered one fetches.
    let other = "/org/freedesktop/ModemManager1/SIM/9";
    let more = modem_manager::model("EM12");
    runtime.block_on(manager.add_modem(9, Some((other, "8901000000000000999")), more));
    b.wait_status("a SIM of somebody's", |s| {
        s["sims"] == json!([{ "iccid": "…0999", "place": "modem EM12", "registered": false }])
    })
    .unwrap();
    assert_eq!(fetched_ahead(&b), 0);
    runtime.block_on(manager.add_template_modem(ICCID));
    wait_for("the prefetch", DEADLINE, || {
        (fetched_ahead(&b) > 0).then_some(())
    })
    .unwrap();
    let status = b.status().unwrap();
    assert_eq!(reasons(&status), ["no-card", "sim-present"], "{status}");
    assert_eq!(status["state"], "waiting", "{status}");
    assert!(status["session"].is_null(), "{status}");
    let mine = json!({ "iccid": "…0801", "place": "modem E1750", "registered": true });
    assert!(
        status["sims"].as_array().unwrap().contains(&mine),
        "{status}"
    );
    assert!(!b.data.join("second.txt").exists());
    // Whoever asks for more is told what is missing.
    let refused = b.simsync(&["unlock"], &person.secrets()).unwrap();
    assert_eq!(
        (refused.code, &refused.json["error"]["code"]),
        (6, &json!("no-card"))
    );

    // The SIM goes: no removal of a card, and the next upload is not fetched ahead.
    runtime.block_on(manager.remove_modem(TEMPLATE_MODEM, Some(TEMPLATE_SIM)));
    b.wait_status("the SIM to be gone", |s| reasons(s).contains(&"sim-absent"))
        .unwrap();
    let (there, before) = (fetched_ahead(&b), left_alone(&b));
    write_on(&mut rig, &a, &person, "third.txt");
    wait_for("B to leave the prefetch again", DEADLINE, || {
        (left_alone(&b) > before).then_some(())
    })
    .unwrap();
    assert_eq!(fetched_ahead(&b), there);

    // The card does what it always does.
    insert(&mut rig, &b, &person).unwrap();
    unlock(&b, &person).unwrap();
    equal(&a, &b).unwrap();
}
