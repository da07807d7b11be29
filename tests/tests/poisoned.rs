//! A card's record that nobody can prove: it makes terminals read only, says who wrote it, and is ended by the owner's card.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use serde_json::Value;
use simsync_card::client::Applet;
use simsync_rig::demo::{Person, eject, insert, pull, unlock};
use simsync_rig::impostor::Impostor;
use simsync_rig::poison::{Poison, bogus, far_ahead, lists_and_epochs, next_state, poison};
use simsync_rig::rig::{Rig, Secrets, Terminal};
use simsync_rig::scene::{joined, paired, seed};

/// What commands end with where the server, or the card's record, is not what it was.
const READ_ONLY: i32 = 11;

fn reason(status: &Value, code: &str) -> String {
    let all = status["reasons"].as_array().unwrap();
    let found = all.iter().find(|r| r["code"] == code);
    found.unwrap_or_else(|| panic!("no {code}: {status}"))["sentence"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Nothing is written, that is said, and so is who wrote what the card remembers.
fn reads_only(rig: &mut Rig, t: &Terminal, person: &Person, writer: &str) {
    insert(rig, t, person).unwrap();
    let unlocked = t.simsync(&["unlock"], &person.secrets()).unwrap();
    assert_eq!(unlocked.code, READ_ONLY, "{}", unlocked.json);
    assert_eq!(unlocked.json["error"]["code"], "record-unproven");
    let status = t.wait_state(&["read-only"]).unwrap();
    let sentence = reason(&status, "record-unproven");
    assert!(sentence.contains(writer), "{sentence}");
    let refused = t.simsync(&["sync"], &Secrets::default()).unwrap();
    assert_eq!(refused.code, READ_ONLY, "{}", refused.json);
    let refused = t.simsync(&["terminals", "remove", "B", "--yes"], &person.secrets());
    assert_eq!(refused.unwrap().code, READ_ONLY);
    let doctor = t.simsync(&["doctor"], &Secrets::default()).unwrap();
    assert!(
        doctor.json.to_string().contains("accept-restored"),
        "{}",
        doctor.json
    );
}

fn accept(t: &Terminal, person: &Person) {
    let accepted = t
        .simsync(&["server", "accept-restored", "--yes"], &person.secrets())
        .unwrap();
    accepted.ok("simsync server accept-restored").unwrap();
    t.wait_state(&["synced"]).unwrap();
}

/// The card works everywhere, and the terminals have the same files.
fn goes_on(rig: &mut Rig, from: &Terminal, to: &Terminal, person: &Person, name: &str) {
    std::fs::write(from.data.join(name), name).unwrap();
    eject(rig, from, person).unwrap();
    insert(rig, to, person).unwrap();
    unlock(to, person).unwrap();
    let there = to.data.join(name);
    to.wait_status("the file", |s| s["state"] == "synced" && there.exists())
        .unwrap();
    eject(rig, to, person).unwrap();
}

#[test]
fn w_3_a_record_that_nobody_can_prove_is_ended_by_the_owners_card() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut person, "B").unwrap();
    let c = joined(&mut rig, &mut person, "C").unwrap();
    let thief = Impostor::of(&b, &person).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    // Nothing to accept where all is well.
    let nothing = a
        .simsync(&["server", "accept-restored", "--yes"], &person.secrets())
        .unwrap();
    assert_eq!(
        nothing.json["error"]["code"], "nothing-to-accept",
        "{}",
        nothing.json
    );
    goes_on(&mut rig, &a, &c, &person, "before");

    let kinds: [(&str, Poison); 3] = [
        ("far", far_ahead),
        ("next", next_state),
        ("lists", lists_and_epochs),
    ];
    for (name, kind) in kinds {
        println!("{name}");
        poison(&mut rig, &person, &thief, kind).unwrap();
        reads_only(&mut rig, &a, &person, "\"B\"");
        accept(&a, &person);
        goes_on(&mut rig, &a, &c, &person, name);
    }

    // The one who did it is taken out, and the way out works without it, too.
    poison(&mut rig, &person, &thief, lists_and_epochs).unwrap();
    reads_only(&mut rig, &c, &person, "\"B\"");
    accept(&c, &person);
    let removed = c.simsync(&["terminals", "remove", "B", "--yes"], &person.secrets());
    removed.unwrap().ok("simsync terminals remove").unwrap();
    goes_on(&mut rig, &c, &a, &person, "without B");
    let mut applet = Applet::new(rig.bridge.lend(&person.card).unwrap());
    let refused =
        thief.try_open_at_card(&mut applet, &thief.pairing.card.id, &person.pin, &bogus());
    assert!(refused.is_err());
}

#[test]
fn w_3_a_terminal_that_cannot_leave_in_good_order_forgets_by_itself() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut person, "B").unwrap();
    b.wire.set_down(true);
    let first = std::fs::read_to_string(b.data.join("first.txt")).unwrap();
    let forgotten = b.simsync(&["unpair", "--forget", "--yes"], &Secrets::default());
    forgotten.unwrap().ok("simsync unpair --forget").unwrap();
    b.wait_state(&["unpaired"]).unwrap();
    assert!(!b.home.join("state/terminal.json").exists());
    assert_eq!(
        std::fs::read_to_string(b.data.join("first.txt")).unwrap(),
        first
    );
    // With a session open, too: its keys and its connection go first.
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    let forgotten = a.simsync(&["unpair", "--forget", "--yes"], &Secrets::default());
    forgotten.unwrap().ok("simsync unpair --forget").unwrap();
    a.wait_status("no session", |s| {
        s["state"] == "unpaired" && s["session"].is_null()
    })
    .unwrap();
    pull(&mut rig, &a, &person).unwrap();
}
