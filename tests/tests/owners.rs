//! What an owner orders about terminals and PINs, from the command to what every part knows afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use serde_json::Value;
use simsync_card::client::{Applet, Pin};
use simsync_card::ids::Hash;
use simsync_card::sign::SecretKey;
use simsync_card::status::Status as CardStatus;
use simsync_protocol::problem::Code;
use simsync_rig::demo::{Person, add_collection, eject, insert, pair, provision, pull, unlock};
use simsync_rig::impostor::{Impostor, refused, run};
use simsync_rig::rig::{Rig, Secrets, Terminal, mark};
use simsync_rig::scene::{joined, on_card, paired, seed};

fn write(terminal: &Terminal, name: &str, text: &str) {
    std::fs::write(terminal.data.join(name), text).unwrap();
}

fn read(terminal: &Terminal, name: &str) -> Option<String> {
    std::fs::read_to_string(terminal.data.join(name)).ok()
}

/// Puts the card in, types the PIN, waits for the data.
fn arrive(rig: &mut Rig, terminal: &Terminal, person: &Person) -> Value {
    insert(rig, terminal, person).unwrap();
    unlock(terminal, person).unwrap()
}

/// Carries a new file from one terminal to the other.
fn carries(rig: &mut Rig, from: &Terminal, to: &Terminal, person: &Person, name: &str) {
    arrive(rig, from, person);
    write(from, name, name);
    eject(rig, from, person).unwrap();
    arrive(rig, to, person);
    assert_eq!(read(to, name).as_deref(), Some(name));
    eject(rig, to, person).unwrap();
}

/// Labels of the terminals that `simsync terminals list` shows.
fn labels(terminal: &Terminal) -> Vec<String> {
    let shown = terminal
        .simsync(&["terminals", "list"], &Secrets::default())
        .unwrap()
        .ok("simsync terminals list")
        .unwrap();
    let list = shown.json["terminals"].as_array().unwrap().clone();
    let mut labels: Vec<String> = list
        .iter()
        .map(|t| t["label"].as_str().unwrap().to_owned())
        .collect();
    labels.sort();
    labels
}

/// What the server's operator sees of a terminal.
fn at_server(rig: &Rig, id: &str) -> String {
    let all = rig.server.admin(&["terminal", "list"]).unwrap();
    let list = all["terminals"].as_array().unwrap().clone();
    let row = list.iter().find(|t| t["terminal"] == id).unwrap();
    row["state"].as_str().unwrap().to_owned()
}

/// The newest epoch and list number that a terminal knows.
fn epoch(terminal: &Terminal) -> (u32, u32) {
    let store = simsyncd::store::Store::open(&terminal.home.join("state/state.db")).unwrap();
    let newest = store.key_objects().unwrap().pop().unwrap();
    (newest.body.epoch, newest.body.list_number)
}

fn own_id(terminal: &Terminal) -> String {
    terminal.status().unwrap()["terminal"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn b8_an_unpaired_terminal_is_out_everywhere_and_the_next_session_makes_a_new_key() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut person, "B").unwrap();
    let id = own_id(&a);
    let stolen = Impostor::of(&a, &person).unwrap();

    arrive(&mut rig, &a, &person);
    assert_eq!(on_card(&a, &person).unwrap(), ["A", "B"]);
    let (before, _) = epoch(&a);
    write(&a, "last words.txt", "written just before");
    a.simsync(&["unpair", "--yes"], &person.secrets())
        .unwrap()
        .ok("simsync unpair")
        .unwrap();
    let status = a.wait_state(&["unpaired"]).unwrap();
    assert_eq!(status["unsealed"], false, "{status}");
    // The card, the server, the disk.
    assert_eq!(on_card(&a, &person).unwrap(), ["B"]);
    assert_eq!(at_server(&rig, &id), "revoked");
    assert!(!a.home.join("state/terminal.json").exists());
    // The files stay.
    assert_eq!(
        read(&a, "last words.txt").as_deref(),
        Some("written just before")
    );
    pull(&mut rig, &a, &person).unwrap();

    // The next session elsewhere has what A wrote, and makes a new key before it writes.
    arrive(&mut rig, &b, &person);
    assert_eq!(
        read(&b, "last words.txt").as_deref(),
        Some("written just before")
    );
    assert_eq!(epoch(&b).0, before + 1);
    assert_eq!(labels(&b), ["B"]);
    write(&b, "after.txt", "under the new key");
    eject(&mut rig, &b, &person).unwrap();

    // A closed its session in good order.
    let log = b.simsync(&["log"], &Secrets::default()).unwrap();
    let entries = log.json["log"].as_array().unwrap().clone();
    let last = entries.iter().find(|e| e["label"] == "A").unwrap();
    assert_eq!(last["closing"], true, "{last}");

    // With everything that A ever had, nothing comes from the card or the server.
    let mut applet = Applet::new(rig.bridge.lend(&person.card).unwrap());
    let card = stolen.pairing.card.id;
    let refusal = stolen
        .try_open_at_card(&mut applet, &card, &person.pin, &Hash([7; 32]))
        .unwrap_err();
    assert_eq!(refusal.status(), Some(CardStatus::NotFound));
    drop(applet);
    run(async {
        let connection = stolen.connect(&rig.server).await.unwrap();
        refused(connection.key_object().await, Code::TerminalRevoked);
    })
    .unwrap();
    // And A with the card in is as any terminal that was never paired.
    insert(&mut rig, &a, &person).unwrap();
    let refused = a.simsync(&["unlock"], &person.secrets()).unwrap();
    assert_eq!(refused.code, 4, "{}", refused.json);
    assert_eq!(read(&a, "after.txt"), None);

    // It is paired anew, with another key, and everything still goes both ways.
    pair(&a, &mut person, false).unwrap();
    assert_ne!(own_id(&a), id);
    unlock(&a, &person).unwrap();
    add_collection(&a, &person, "Documents").unwrap();
    a.wait_status("what was written meanwhile", |_| {
        read(&a, "after.txt").is_some()
    })
    .unwrap();
    assert_eq!(labels(&a), ["A", "B"]);
    eject(&mut rig, &a, &person).unwrap();
    carries(&mut rig, &a, &b, &person, "from A again.txt");
    carries(&mut rig, &b, &a, &person, "from B again.txt");
}

/// Waits until the terminal, without a card, tells that it was interrupted while it left.
fn is_leaving(terminal: &Terminal) {
    let leaving = |s: &Value| {
        let reasons = s["reasons"].as_array();
        let leaves = reasons.is_some_and(|r| r.iter().any(|r| r["code"] == "leaving"));
        leaves && s["cards"].as_array().is_some_and(Vec::is_empty)
    };
    terminal
        .wait_status("a terminal that is leaving", leaving)
        .unwrap();
}

#[test]
fn b8_a_terminal_that_was_interrupted_while_it_left_leaves_or_stays() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let mut b = joined(&mut rig, &mut person, "B").unwrap();
    let unpair =
        |b: &Terminal, person: &Person| b.simsync(&["unpair", "--yes"], &person.secrets()).unwrap();
    let back = |rig: &mut Rig, b: &Terminal, person: &mut Person| {
        insert(rig, b, person).unwrap();
        pair(b, person, false).unwrap();
        unlock(b, person).unwrap();
        rig.bridge
            .call(&format!("wait-idle {} 150", person.card))
            .unwrap();
        rig.bridge.reset_stats(&person.card).unwrap();
    };
    arrive(&mut rig, &b, &person);
    unpair(&b, &person).ok("simsync unpair").unwrap();
    pull(&mut rig, &b, &person).unwrap();
    back(&mut rig, &b, &mut person);
    unpair(&b, &person).ok("simsync unpair").unwrap();
    let mut commands = rig.bridge.stats(&person.card).unwrap().apdus;
    pull(&mut rig, &b, &person).unwrap();
    // REMOVE TERMINAL is the last one but for a new look at the card.
    let mut interrupt = |rig: &mut Rig, b: &Terminal, person: &mut Person, request: &str| {
        loop {
            back(rig, b, person);
            rig.bridge
                .call(&format!("{request} {} {commands}", person.card))
                .unwrap();
            let cut = unpair(b, person);
            if cut.code == 6 {
                return is_leaving(b);
            }
            cut.ok("simsync unpair, done before that").unwrap();
            rig.bridge.take_out(&person.card).unwrap();
            b.wait_status("the card to be gone", |s| {
                s["cards"].as_array().is_some_and(Vec::is_empty)
            })
            .unwrap();
            commands -= 1;
        }
    };

    let stranger = provision(&mut rig, &a, "stranger").unwrap();
    // It was done, and nobody heard; or it was not done.
    for request in ["yank", "yank-before"] {
        interrupt(&mut rig, &b, &mut person, request);
        let id = own_id(&b);
        // Also after a restart.
        b.stop_daemon().unwrap();
        b.start_daemon().unwrap();
        is_leaving(&b);
        // Another card does not know the terminal either, and that is not what is asked.
        insert(&mut rig, &b, &stranger).unwrap();
        let refused = unpair(&b, &stranger);
        assert_eq!(refused.json["error"]["code"], "card-not-paired");
        pull(&mut rig, &b, &stranger).unwrap();
        is_leaving(&b);
        insert(&mut rig, &b, &person).unwrap();
        let refused = b.simsync(&["unlock"], &person.secrets()).unwrap();
        assert_eq!(refused.code, 9, "{}", refused.json);
        assert_eq!(refused.json["error"]["code"], "leaving");
        unpair(&b, &person).ok("simsync unpair, again").unwrap();
        b.wait_state(&["unpaired"]).unwrap();
        assert_eq!(on_card(&b, &person).unwrap(), ["A"]);
        assert_eq!(at_server(&rig, &id), "revoked");
        pull(&mut rig, &b, &person).unwrap();
    }

    // The owner thinks better of it.
    interrupt(&mut rig, &b, &mut person, "yank");
    back(&mut rig, &b, &mut person);
    add_collection(&b, &person, "Documents").unwrap();
    eject(&mut rig, &b, &person).unwrap();
    carries(&mut rig, &b, &a, &person, "stayed.txt");

    // Off the card by the operator's tool, and paired again.
    insert(&mut rig, &a, &person).unwrap();
    a.card_tool(
        &["terminal", "remove", "B"],
        &Secrets::give("--pin-fd", &person.pin),
    )
    .unwrap()
    .ok("simsync-card terminal remove")
    .unwrap();
    pull(&mut rig, &a, &person).unwrap();
    insert(&mut rig, &b, &person).unwrap();
    let refused = b.simsync(&["unlock"], &person.secrets()).unwrap();
    assert_eq!(refused.json["error"]["code"], "terminal-not-on-card");
    pair(&b, &mut person, false).unwrap();
    unlock(&b, &person).unwrap();
    eject(&mut rig, &b, &person).unwrap();
    carries(&mut rig, &a, &b, &person, "back.txt");
}

#[test]
fn b8_the_only_terminal_is_unpaired_and_paired_again() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    arrive(&mut rig, &a, &person);
    let (before, _) = epoch(&a);
    a.simsync(&["unpair", "--yes"], &person.secrets())
        .unwrap()
        .ok("simsync unpair")
        .unwrap();
    a.wait_state(&["unpaired"]).unwrap();
    // Nobody else could make the new key that is due: this pairing does.
    pair(&a, &mut person, false).unwrap();
    assert_eq!(epoch(&a).0, before + 1);
    unlock(&a, &person).unwrap();
    add_collection(&a, &person, "Documents").unwrap();
    write(&a, "again.txt", "again");
    eject(&mut rig, &a, &person).unwrap();
    let b = joined(&mut rig, &mut person, "B").unwrap();
    assert_eq!(read(&b, "again.txt").as_deref(), Some("again"));
}

#[test]
fn b8_a_terminal_that_the_operator_revoked_is_left_out_of_the_next_key() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut person, "B").unwrap();
    let id = own_id(&b);
    rig.server
        .admin(&["terminal", "revoke", "--yes", &id])
        .unwrap();
    b.wait_status("B to be told", |s| {
        s["reasons"].to_string().contains("revoked")
    })
    .unwrap();

    let (before, _) = epoch(&a);
    arrive(&mut rig, &a, &person);
    assert_eq!(epoch(&a).0, before + 1);
    assert_eq!(labels(&a), ["A"]);
    // The card forgets it too.
    assert_eq!(on_card(&a, &person).unwrap(), ["A"]);
    write(&a, "without B.txt", "without B");
    eject(&mut rig, &a, &person).unwrap();

    // B learns that its key is worth nothing, throws it away, and is paired with a new one.
    insert(&mut rig, &b, &person).unwrap();
    let refused = b.simsync(&["pair"], &person.secrets()).unwrap();
    assert_eq!(refused.code, 4, "{}", refused.json);
    assert_eq!(
        refused.json["error"]["code"], "terminal-revoked",
        "{}",
        refused.json
    );
    assert!(!b.home.join("state/terminal.json").exists());
    pair(&b, &mut person, false).unwrap();
    assert_ne!(own_id(&b), id);
    unlock(&b, &person).unwrap();
    add_collection(&b, &person, "Documents").unwrap();
    b.wait_status("what was written meanwhile", |_| {
        read(&b, "without B.txt").is_some()
    })
    .unwrap();
    eject(&mut rig, &b, &person).unwrap();
    carries(&mut rig, &b, &a, &person, "from the new B.txt");
}

#[test]
fn m5_the_owner_changes_both_pins() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (mut a, mut person) = paired(&mut rig, "A").unwrap();
    insert(&mut rig, &a, &person).unwrap();
    // The card's.
    let order = Secrets::give("--pin-fd", &person.pin).and("--new-pin-fd", "13579");
    a.simsync(&["pin", "change"], &order)
        .unwrap()
        .ok("simsync pin change")
        .unwrap();
    pull(&mut rig, &a, &person).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    let old = a.simsync(&["unlock"], &person.secrets()).unwrap();
    assert_eq!(old.code, 5, "{}", old.json);
    person.pin = "13579".to_owned();
    unlock(&a, &person).unwrap();
    // The terminal's; it counts from the next time that the key is sealed.
    let order = Secrets::give("--terminal-pin-fd", &person.terminal_pin)
        .and("--new-pin-fd", "another terminal PIN");
    a.simsync(&["pin", "change", "--terminal"], &order)
        .unwrap()
        .ok("simsync pin change --terminal")
        .unwrap();
    eject(&mut rig, &a, &person).unwrap();
    a.stop_daemon().unwrap();
    a.start_daemon().unwrap();
    insert(&mut rig, &a, &person).unwrap();
    let old = a.simsync(&["unlock"], &person.secrets()).unwrap();
    assert_eq!(old.code, 5, "{}", old.json);
    assert_eq!(
        old.json["error"]["code"], "terminal-pin-incorrect",
        "{}",
        old.json
    );
    person.terminal_pin = "another terminal PIN".to_owned();
    unlock(&a, &person).unwrap();
}

#[test]
fn m13_a_terminal_that_goes_to_another_person_takes_nothing_along() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, anna) = paired(&mut rig, "A").unwrap();
    let desk = rig.terminal("desk").unwrap();
    let mut bert = provision(&mut rig, &desk, "card-2").unwrap();
    // Not while it is hers.
    insert(&mut rig, &a, &bert).unwrap();
    let order = bert.secrets().and("--new-pin-fd", "2468").take("--puk-fd");
    let refused = a.simsync(&["pair"], &order).unwrap();
    assert_eq!(
        refused.json["error"]["code"], "already-paired",
        "{}",
        refused.json
    );
    bert.pin = "2468".to_owned();
    pull(&mut rig, &a, &bert).unwrap();

    arrive(&mut rig, &a, &anna);
    a.simsync(&["unpair", "--yes"], &anna.secrets())
        .unwrap()
        .ok("simsync unpair")
        .unwrap();
    a.wait_state(&["unpaired"]).unwrap();
    pull(&mut rig, &a, &anna).unwrap();

    // Bert's vault begins empty: her folder is not his, and her chain is no witness against his.
    insert(&mut rig, &a, &bert).unwrap();
    pair(&a, &mut bert, false).unwrap();
    let packs = rig.server.packs();
    let status = unlock(&a, &bert).unwrap();
    assert_eq!(
        status["collections"].as_array().unwrap().len(),
        0,
        "{status}"
    );
    assert_eq!(status["subscriber"], bert.subscriber.as_str());
    assert_eq!(rig.server.packs(), packs);
    let own = a.data.parent().unwrap().join("bert");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("his.txt"), "his").unwrap();
    a.simsync(
        &["collections", "add", "Documents", own.to_str().unwrap()],
        &Secrets::give("--pin-fd", &bert.pin),
    )
    .unwrap()
    .ok("simsync collections add")
    .unwrap();
    let status = a
        .wait_status("his file to be uploaded", |s| {
            s["state"] == "synced" && mark(s, "synced").is_some()
        })
        .unwrap();
    assert_eq!(
        status["collections"].as_array().unwrap().len(),
        1,
        "{status}"
    );
    assert!(!own.join("first.txt").exists());
    assert!(!a.data.join("his.txt").exists());
}

#[test]
fn m8_a_full_card_says_which_terminals_it_holds_and_takes_another_after_one_is_gone() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    {
        let mut applet = Applet::new(rig.bridge.lend("card").unwrap());
        applet.select().unwrap();
        let pin = Pin::parse(person.pin.as_bytes()).unwrap();
        for n in 1..16u8 {
            let key = SecretKey::from_bytes(&[n; 32]).unwrap();
            applet.verify(&pin).unwrap();
            let label = format!("old {n}");
            applet
                .add_terminal(&key.point(), &label, &Hash([n; 32]))
                .unwrap();
        }
    }
    let b = rig.terminal("B").unwrap();
    insert(&mut rig, &b, &person).unwrap();
    let refused = b.simsync(&["pair"], &person.secrets()).unwrap();
    assert_eq!(refused.code, 9, "{}", refused.json);
    let sentence = refused.json["error"]["sentence"].as_str().unwrap();
    for word in ["16 terminals", "A (", "old 1 (", "old 15 (", "simsync-card"] {
        assert!(sentence.contains(word), "{word}: {sentence}");
    }
    b.card_tool(
        &["terminal", "remove", "old 7"],
        &Secrets::give("--pin-fd", &person.pin),
    )
    .unwrap()
    .ok("simsync-card terminal remove")
    .unwrap();
    pair(&b, &mut person, false).unwrap();
    let on_card = on_card(&b, &person).unwrap();
    assert_eq!(on_card.len(), 16);
    assert!(on_card.contains(&"B".to_owned()) && on_card.contains(&"A".to_owned()));
    drop(a);
}
