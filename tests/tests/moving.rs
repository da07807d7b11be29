//! The server moves to another place: announced, agreed to, found there, told to every card; and what does not follow.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use simsync_card::client::{Applet, Info, Pin};
use simsync_card::sign::SecretKey;
use simsync_card::text::{self, CardKeys};
use simsync_rig::demo::{Person, eject, insert, pull, unlock};
use simsync_rig::rig::{DEADLINE, Relay, Rig, Secrets, Terminal, wait_for};
use simsync_rig::scene::{equal, joined, paired, seed};
use simsync_rig::spare::{add, spare_for};

fn reasons(status: &Value) -> Vec<String> {
    let list = status["reasons"].as_array().unwrap();
    list.iter()
        .map(|r| r["code"].as_str().unwrap().to_owned())
        .collect()
}

/// The server that the card in the reader names.
fn on_card(terminal: &Terminal, person: &Person) -> String {
    let told = terminal
        .card_tool(&["info", "--pin"], &Secrets::give("--pin-fd", &person.pin))
        .unwrap()
        .ok("simsync-card info")
        .unwrap();
    told.json["server"].as_str().unwrap().to_owned()
}

fn server(terminal: &Terminal) -> Value {
    let shown = terminal
        .simsync(&["server", "show"], &Secrets::default())
        .unwrap()
        .ok("simsync server show")
        .unwrap();
    shown.json["server"].clone()
}

fn confirm(terminal: &Terminal) -> i32 {
    let done = terminal.simsync(&["server", "confirm", "--yes"], &Secrets::default());
    done.unwrap().code
}

#[test]
fn m19_a_server_that_moves_is_followed_on_the_owners_word_and_told_to_the_card() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (mut a, mut person) = paired(&mut rig, "A").unwrap();
    let mut b = joined(&mut rig, &mut person, "B").unwrap();
    let (old_port, new_port) = (rig.server.public_port, rig.server.public_port + 500);
    let address = |port: u16| format!("server.simsync.test:{port}");
    let new = address(new_port);
    // Nothing is announced: nothing can be agreed to.
    assert_eq!(confirm(&a), 2);
    rig.server.admin(&["move", "to", &new]).unwrap();

    insert(&mut rig, &a, &person).unwrap();
    let status = unlock(&a, &person).unwrap();
    assert!(
        reasons(&status).contains(&"server-moves".to_owned()),
        "{status}"
    );
    assert_eq!(server(&a)["moves_to"]["address"], new);
    assert_eq!(server(&a)["moves_to"]["ca_pin"], rig.server.ca_pin);
    assert_eq!(confirm(&a), 0);
    let status = a
        .wait_status("nothing to agree to any more", |s| {
            !reasons(s).contains(&"server-moves".to_owned())
        })
        .unwrap();
    // It is where it was, and so says the card.
    assert_eq!(status["server"], address(old_port));
    assert_eq!(on_card(&a, &person), address(old_port));
    std::fs::write(a.data.join("before.txt"), "before").unwrap();
    eject(&mut rig, &a, &person).unwrap();

    rig.server.move_away(new_port).unwrap();
    assert!(rig.server.admin(&["move", "show"]).unwrap()["moving"].is_null());
    a.wire_to(&rig.server).unwrap();
    b.wire_to(&rig.server).unwrap();
    // A finds it by itself.
    a.wait_status("A to find the server", |s| {
        s["online"] == true && s["server"] == new
    })
    .unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    assert_eq!(on_card(&a, &person), new);
    std::fs::write(a.data.join("after.txt"), "after").unwrap();
    eject(&mut rig, &a, &person).unwrap();

    // B heard nothing, and goes nowhere by itself: the card tells it.
    let status = b
        .wait_status("B to miss the server", |s| s["online"] == false)
        .unwrap();
    assert_eq!(status["server"], address(old_port));
    insert(&mut rig, &b, &person).unwrap();
    unlock(&b, &person).unwrap();
    assert_eq!(b.status().unwrap()["server"], new);
    equal(&a, &b).unwrap();
    eject(&mut rig, &b, &person).unwrap();
}

/// A new name, also while what was agreed to waits.
#[test]
fn f_g3_a_new_label_forgets_nothing_that_the_owner_agreed_to() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (mut a, person) = paired(&mut rig, "A").unwrap();
    let port = rig.server.public_port + 500;
    let new = format!("server.simsync.test:{port}");
    rig.server.admin(&["move", "to", &new]).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    assert_eq!(confirm(&a), 0);
    let named = a.simsync(&["pair", "--label", "Anton"], &person.secrets());
    named.unwrap().ok("simsync pair --label").unwrap();
    pull(&mut rig, &a, &person).unwrap();
    rig.server.move_away(port).unwrap();
    a.wire_to(&rig.server).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    let status = unlock(&a, &person).unwrap();
    assert_eq!(status["server"], new, "{status}");
    assert_eq!(status["label"], "Anton");
}

#[test]
fn m19_another_server_at_the_announced_place_is_not_taken_for_ours() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (mut a, person) = paired(&mut rig, "A").unwrap();
    let port = rig.server.public_port + 500;
    let new = format!("server.simsync.test:{port}");
    rig.server.admin(&["move", "to", &new]).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    assert_eq!(confirm(&a), 0);
    eject(&mut rig, &a, &person).unwrap();
    // The old one is gone, and somebody else answers there.
    rig.server.stop().unwrap();
    let mut other = Rig::start().unwrap();
    other.server.public_port = port;
    a.wire_to(&other.server).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    let refused = a.simsync(&["unlock"], &person.secrets()).unwrap();
    assert_eq!(refused.code, 9, "{}", refused.json);
    assert_eq!(refused.json["error"]["code"], "server-not-trusted");
    let status = a.status().unwrap();
    assert_ne!(status["server"], new, "{status}");
    assert!(status["session"].is_null(), "{status}");
    pull(&mut rig, &a, &person).unwrap();
    // An announcement that is taken back is no longer shown.
    rig.server.serve().unwrap();
    a.wire_to(&rig.server).unwrap();
    rig.server.admin(&["move", "cancel"]).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    let status = unlock(&a, &person).unwrap();
    assert!(!reasons(&status).contains(&"server-moves".to_owned()));
}

#[test]
fn m19_each_card_is_told_at_its_next_session_even_if_that_makes_a_new_key() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (mut a, mut person) = paired(&mut rig, "A").unwrap();
    joined(&mut rig, &mut person, "B").unwrap();
    let mut spare = spare_for(&mut rig, &a, &person, "spare").unwrap();
    add(&mut rig, &a, &person, &mut spare).unwrap();
    let port = rig.server.public_port + 500;
    let new = format!("server.simsync.test:{port}");
    // What is announced is what the operator says, also of the pin.
    let pin = "7f".repeat(32);
    let args = ["move", "to", &new, "--ca-pin", &pin];
    rig.server.admin(&args).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    assert_eq!(server(&a)["moves_to"]["ca_pin"], *pin);
    rig.server.admin(&["move", "to", &new]).unwrap();
    eject(&mut rig, &a, &person).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    assert_eq!(server(&a)["moves_to"]["ca_pin"], rig.server.ca_pin);
    assert_eq!(confirm(&a), 0);
    eject(&mut rig, &a, &person).unwrap();

    rig.server.move_away(port).unwrap();
    let all = rig.server.admin(&["terminal", "list"]).unwrap();
    let mut rows = all["terminals"].as_array().unwrap().iter();
    let b = rows.find(|t| t["label"] == "B").unwrap()["terminal"].clone();
    let revoke = ["terminal", "revoke", "--yes", b.as_str().unwrap()];
    rig.server.admin(&revoke).unwrap();
    a.wire_to(&rig.server).unwrap();
    a.wait_status("A to find the server", |s| {
        s["online"] == true && s["server"] == new
    })
    .unwrap();
    for card in [&person, &spare] {
        insert(&mut rig, &a, card).unwrap();
        assert_ne!(on_card(&a, card), new);
        unlock(&a, card).unwrap();
        assert_eq!(on_card(&a, card), new);
        eject(&mut rig, &a, card).unwrap();
    }
}

/// A card that was in a drawer when the server moved has the old address; the terminal knows better.
#[test]
fn m19_a_card_that_missed_the_move_is_paired_where_the_server_is() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (mut a, person) = paired(&mut rig, "A").unwrap();
    let mut spare = spare_for(&mut rig, &a, &person, "spare").unwrap();
    add(&mut rig, &a, &person, &mut spare).unwrap();
    insert(&mut rig, &a, &spare).unwrap();
    unlock(&a, &spare).unwrap();
    eject(&mut rig, &a, &spare).unwrap();

    let port = rig.server.public_port + 500;
    let new = format!("server.simsync.test:{port}");
    rig.server.admin(&["move", "to", &new]).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    assert_eq!(confirm(&a), 0);
    eject(&mut rig, &a, &person).unwrap();
    rig.server.move_away(port).unwrap();
    a.wire_to(&rig.server).unwrap();
    a.wait_status("A to find the server", |s| {
        s["online"] == true && s["server"] == new
    })
    .unwrap();

    // Another label is told to card and server: the terminal pairs once more, with this card.
    insert(&mut rig, &a, &spare).unwrap();
    assert_ne!(on_card(&a, &spare), new);
    let paired = a.simsync(&["pair", "--label", "Anton"], &spare.secrets());
    let paired = paired.unwrap().ok("simsync pair --label").unwrap();
    assert_eq!(
        paired.json["job"]["result"]["server"], new,
        "{}",
        paired.json
    );
    let status = unlock(&a, &spare).unwrap();
    assert_eq!(
        (&status["server"], &status["label"]),
        (&new.into(), &"Anton".into())
    );
    // The cards are told as if nothing had been between.
    for card in [&spare, &person] {
        assert_eq!(on_card(&a, card), status["server"], "{}", card.card);
        eject(&mut rig, &a, card).unwrap();
        if card.card == spare.card {
            insert(&mut rig, &a, &person).unwrap();
            unlock(&a, &person).unwrap();
        }
    }
}

fn verified<T: simsync_card::transport::Transport>(applet: &mut Applet<T>, person: &Person) {
    applet.select().unwrap();
    let pin = Pin::parse(person.pin.as_bytes()).unwrap();
    applet.verify(&pin).unwrap();
}

fn lv(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

const READ_INFO: u8 = 0x20;
const READ_KEYS: u8 = 0x22;

/// A card of the same ID and subscriber, that knows the PIN, and has keys of its own; and a lie about the server.
fn with_other_keys(info: &Info, server: &str, command: &[u8], answer: Vec<u8>) -> Vec<u8> {
    let data = match command {
        [0x80, READ_INFO, ..] => [
            &info.card.0[..],
            &lv(info.subscriber.as_str().as_bytes()),
            &lv(info.label.as_bytes()),
            &lv(server.as_bytes()),
            info.ca_pin.as_bytes(),
        ]
        .concat(),
        [0x80, READ_KEYS, _, _, 32, data @ ..] => {
            let sig = SecretKey::from_bytes(&[3; 32]).unwrap();
            let kem = SecretKey::from_bytes(&[4; 32]).unwrap().point();
            let point = sig.point();
            let keys = CardKeys { sig: point, kem };
            let nonce = data[..32].try_into().unwrap();
            let signed = sig.sign(&text::keys(&info.card, &keys, &nonce));
            [&point.0[..], &kem.0, &lv(signed.as_der())].concat()
        }
        _ => return answer,
    };
    [&data[..], &[0x90, 0x00]].concat()
}

#[test]
fn w_8_a_servers_address_is_taken_only_from_a_card_that_proves_its_own_keys() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (mut a, person) = paired(&mut rig, "A").unwrap();
    let old = a.status().unwrap()["server"].clone();
    let port = rig.server.public_port + 500;
    let new = format!("server.simsync.test:{port}");
    // The server is there indeed: nothing but the card's word is in question.
    rig.server.move_away(port).unwrap();
    a.wire_to(&rig.server).unwrap();

    let mut card = rig.bridge.lend(&person.card).unwrap();
    let mut applet = Applet::new(&mut card);
    verified(&mut applet, &person);
    let info = applet.read_info().unwrap();
    let ca_pin = info.ca_pin;
    let asked = Arc::new(AtomicBool::new(false));
    let (noted, server) = (asked.clone(), new.clone());
    let relay = Relay::start(card, a.port, move |command, answer| {
        let is_keys = command.starts_with(&[0x80, READ_KEYS]);
        noted.fetch_or(is_keys, Ordering::Relaxed);
        with_other_keys(&info, &server, command, answer)
    });
    let relay = relay.unwrap();
    a.wait_status("the card to be known", |s| {
        s["cards"][0]["state"] == "paired"
    })
    .unwrap();
    let refused = a.simsync(&["unlock"], &person.secrets()).unwrap();
    assert_eq!(refused.json["error"]["code"], "offline", "{}", refused.json);
    assert!(asked.load(Ordering::Relaxed), "the card was asked");
    let status = a.status().unwrap();
    assert_eq!(status["server"], old, "{status}");
    assert!(status["session"].is_null(), "{status}");
    drop(relay);
    a.wait_status("the card to be gone", |s| {
        s["cards"].as_array().is_some_and(Vec::is_empty)
    })
    .unwrap();

    // The owner's card itself, told the same, is believed.
    let mut card = wait_for("the card to be out", DEADLINE, || {
        rig.bridge.lend(&person.card).ok()
    })
    .unwrap();
    let mut applet = Applet::new(&mut card);
    verified(&mut applet, &person);
    applet.set_server(&new, &ca_pin).unwrap();
    drop(card);
    insert(&mut rig, &a, &person).unwrap();
    let status = unlock(&a, &person).unwrap();
    assert_eq!(status["server"], new, "{status}");
    eject(&mut rig, &a, &person).unwrap();
}
