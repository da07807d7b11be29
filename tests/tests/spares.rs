//! Spare and lost cards, lost terminals: with one reader, from the command to what card, server and other terminals know.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use simsync_card::client::Applet;
use simsync_protocol::problem::Code;
use simsync_rig::demo::{Person, add_collection, eject, insert, pair, pull, unlock};
use simsync_rig::impostor::{Impostor, opening, refused, run};
use simsync_rig::rig::{DEADLINE, Rig, Secrets, Terminal, wait_for};
use simsync_rig::scene::{equal, joined, on_card, paired, seed};
use simsync_rig::spare::{add, cards, next, spare_for, step};

fn write(terminal: &Terminal, name: &str) {
    std::fs::write(terminal.data.join(name), name).unwrap();
}

fn has(terminal: &Terminal, name: &str) -> bool {
    std::fs::read_to_string(terminal.data.join(name)).is_ok_and(|text| text == name)
}

#[test]
fn b8_a_spare_card_opens_the_vault_on_every_terminal_and_the_lost_one_nothing() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut person, "B").unwrap();
    let mut spare = spare_for(&mut rig, &a, &person, "spare").unwrap();
    let id = add(&mut rig, &a, &person, &mut spare).unwrap();

    // At its first use the spare card takes in every terminal.
    insert(&mut rig, &a, &spare).unwrap();
    unlock(&a, &spare).unwrap();
    assert_eq!(on_card(&a, &spare).unwrap(), ["A", "B"]);
    let all = cards(&a).unwrap();
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all.iter().any(|c| c["card"] == id && c["in_use"] == true));
    write(&a, "with the spare.txt");
    eject(&mut rig, &a, &spare).unwrap();
    // B never saw it, and needs nothing but its PIN.
    insert(&mut rig, &b, &spare).unwrap();
    unlock(&b, &spare).unwrap();
    assert!(has(&b, "with the spare.txt"));
    write(&b, "from B.txt");
    eject(&mut rig, &b, &spare).unwrap();
    // The usual card is behind now, and not wrong.
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    assert!(has(&a, "from B.txt"));
    let lost = a.status().unwrap()["cards"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    // It is not taken out with itself in the reader.
    let own = a
        .simsync(&["card", "remove", "--yes", &lost], &person.secrets())
        .unwrap();
    assert_eq!(own.code, 9, "{}", own.stderr);
    eject(&mut rig, &a, &person).unwrap();

    // It is lost. Somebody who finds it, and knows its PIN and a terminal's key, gets nothing any more.
    let finder = Impostor::of(&b, &person).unwrap();
    insert(&mut rig, &a, &spare).unwrap();
    unlock(&a, &spare).unwrap();
    a.simsync(&["card", "remove", "--yes", &lost[..8]], &spare.secrets())
        .unwrap()
        .ok("simsync card remove")
        .unwrap();
    assert_eq!(cards(&a).unwrap().len(), 1);
    let at_server = rig.server.admin(&["card", "list"]).unwrap();
    let row = at_server["cards"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["card"] == lost.as_str())
        .unwrap()
        .clone();
    assert_eq!(row["state"], "revoked");
    write(&a, "after the loss.txt");
    eject(&mut rig, &a, &spare).unwrap();
    let mut applet = Applet::new(rig.bridge.lend("card").unwrap());
    run(async {
        let connection = finder.connect(&rig.server).await.unwrap();
        let (nonce, binding) = finder.binding(&connection).await.unwrap();
        let card = finder.pairing.card.id;
        // The card itself was never told.
        let (statement, _) = finder
            .open_at_card(&mut applet, &card, &person.pin, &binding)
            .unwrap();
        let opened = connection.open_session(&opening(&statement, nonce)).await;
        refused(opened, Code::CardRevoked);
    })
    .unwrap();
    drop(applet);

    // B learns of it with the spare card, and knows the lost one for none of its own.
    insert(&mut rig, &b, &spare).unwrap();
    unlock(&b, &spare).unwrap();
    equal(&a, &b).unwrap();
    eject(&mut rig, &b, &spare).unwrap();
    let (status, _) = insert(&mut rig, &b, &person).unwrap();
    assert_eq!(status["cards"][0]["state"], "unpaired", "{status}");
}

#[test]
fn b8_only_a_card_of_ones_own_is_added_and_each_step_may_be_repeated() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, person) = paired(&mut rig, "A").unwrap();
    // Another person's card.
    let stranger = simsync_rig::demo::provision(&mut rig, &a, "stranger").unwrap();
    insert(&mut rig, &a, &stranger).unwrap();
    let refused = step(&a, &stranger).unwrap();
    assert_eq!(refused.code, 7, "{}", refused.stderr);
    let sentence = refused.json["error"]["sentence"].as_str().unwrap();
    assert!(sentence.contains("ask the operator"), "{sentence}");
    pull(&mut rig, &a, &stranger).unwrap();
    // Nothing was read: the usual card has nothing to name.
    insert(&mut rig, &a, &person).unwrap();
    let refused = step(&a, &person).unwrap();
    assert_eq!(refused.code, 6, "{}", refused.stderr);
    eject(&mut rig, &a, &person).unwrap();

    let mut spare = spare_for(&mut rig, &a, &person, "spare").unwrap();
    insert(&mut rig, &a, &spare).unwrap();
    // A wrong PIN costs a try of the new card and reads nothing.
    let mut wrong = spare.clone();
    wrong.pin = "0000".to_owned();
    let refused = step(&a, &wrong).unwrap();
    assert_eq!(refused.code, 5, "{}", refused.stderr);
    let read = step(&a, &spare).unwrap().ok("card add").unwrap();
    spare.pin = "1357".to_owned();
    // Again, with the card still in: no PIN is asked for.
    let again = a
        .simsync(&["card", "add", "--step"], &Secrets::default())
        .unwrap()
        .ok("card add, again")
        .unwrap();
    assert_eq!(again.json["job"]["result"], read.json["job"]["result"]);
    pull(&mut rig, &a, &spare).unwrap();
    // The usual card is pulled in the middle, and put in again.
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    pull(&mut rig, &a, &person).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    let named = step(&a, &person)
        .unwrap()
        .ok("card add, the usual card")
        .unwrap();
    assert_eq!(next(&named), "new-card");
    // Named twice is not wanted twice.
    let refused = step(&a, &person).unwrap();
    assert_eq!(refused.code, 6, "{}", refused.stderr);
    assert_eq!(cards(&a).unwrap().len(), 2);
    eject(&mut rig, &a, &person).unwrap();

    // A terminal that is paired with the spare card joins the same vault.
    insert(&mut rig, &a, &spare).unwrap();
    unlock(&a, &spare).unwrap();
    eject(&mut rig, &a, &spare).unwrap();
    let c = rig.terminal("C").unwrap();
    insert(&mut rig, &c, &spare).unwrap();
    pair(&c, &mut spare, false).unwrap();
    unlock(&c, &spare).unwrap();
    add_collection(&c, &spare, "Documents").unwrap();
    eject(&mut rig, &c, &spare).unwrap();
    equal(&a, &c).unwrap();
    // And the usual card, which C never saw, opens it there.
    insert(&mut rig, &c, &person).unwrap();
    unlock(&c, &person).unwrap();
    assert_eq!(on_card(&c, &person).unwrap(), ["A", "C"]);
}

#[test]
fn b8_a_spare_card_that_is_pulled_at_its_first_use_takes_the_terminals_in_at_the_next() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    joined(&mut rig, &mut person, "B").unwrap();
    let mut spare = spare_for(&mut rig, &a, &person, "spare").unwrap();
    add(&mut rig, &a, &person, &mut spare).unwrap();
    // From OPEN SESSION, which it refuses, to the last ADD TERMINAL, of which the server did not hear.
    for n in 4..10 {
        insert(&mut rig, &a, &spare).unwrap();
        rig.bridge.call("wait-idle spare 150").unwrap();
        rig.bridge.call(&format!("yank spare {n}")).unwrap();
        let cut = a.simsync(&["unlock"], &spare.secrets()).unwrap();
        assert_eq!(cut.code, 6, "at {n}: {}", cut.json);
        a.wait_status("the card to be gone", |s| {
            s["cards"].as_array().is_some_and(Vec::is_empty)
        })
        .unwrap();
    }
    insert(&mut rig, &a, &spare).unwrap();
    unlock(&a, &spare).unwrap();
    assert_eq!(on_card(&a, &spare).unwrap(), ["A", "B"]);
}

#[test]
fn b8_a_lost_terminal_is_out_everywhere() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut person, "B").unwrap();
    let mut spare = spare_for(&mut rig, &a, &person, "spare").unwrap();
    add(&mut rig, &a, &person, &mut spare).unwrap();
    insert(&mut rig, &a, &spare).unwrap();
    unlock(&a, &spare).unwrap();
    eject(&mut rig, &a, &spare).unwrap();

    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    let own = a
        .simsync(&["terminals", "remove", "--yes", "A"], &person.secrets())
        .unwrap();
    assert_eq!(own.code, 9, "{}", own.stderr);
    a.simsync(&["terminals", "remove", "--yes", "B"], &person.secrets())
        .unwrap()
        .ok("simsync terminals remove")
        .unwrap();
    assert_eq!(on_card(&a, &person).unwrap(), ["A"]);
    let all = rig.server.admin(&["terminal", "list"]).unwrap();
    let row = all["terminals"].as_array().unwrap().clone();
    let row = row.iter().find(|t| t["label"] == "B").unwrap();
    assert_eq!(row["state"], "revoked");
    eject(&mut rig, &a, &person).unwrap();
    // The spare card's slot goes at its next session.
    insert(&mut rig, &a, &spare).unwrap();
    unlock(&a, &spare).unwrap();
    assert_eq!(on_card(&a, &spare).unwrap(), ["A"]);
    eject(&mut rig, &a, &spare).unwrap();
    // B opens nothing, and no card takes it in again by itself.
    b.wait_status("B to know that it was revoked", |s| {
        s["reasons"]
            .as_array()
            .is_some_and(|r| r.iter().any(|r| r["code"] == "revoked"))
    })
    .unwrap();
    insert(&mut rig, &b, &person).unwrap();
    let refused = b.simsync(&["unlock"], &person.secrets()).unwrap();
    assert_eq!(refused.code, 4, "{} {}", refused.stderr, refused.json);
    pull(&mut rig, &b, &person).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    assert_eq!(on_card(&a, &person).unwrap(), ["A"]);
}

#[test]
fn b8_what_a_removal_could_not_tell_the_server_the_next_session_tells_it() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let _b = joined(&mut rig, &mut person, "B").unwrap();
    let mut spare = spare_for(&mut rig, &a, &person, "spare").unwrap();
    let lost = add(&mut rig, &a, &person, &mut spare).unwrap();
    let removals = [
        ("terminal", "label", "B", ["terminals", "remove"]),
        ("card", "card", &lost, ["card", "remove"]),
    ];
    for (kind, key, name, command) in removals {
        insert(&mut rig, &a, &person).unwrap();
        unlock(&a, &person).unwrap();
        let args = [command[0], command[1], "--yes", name];
        cut_after_the_commit(&mut rig, &a, &person, &args);
        assert_eq!(at_server(&rig, kind, key, name), "active");

        insert(&mut rig, &a, &person).unwrap();
        unlock(&a, &person).unwrap();
        assert_eq!(at_server(&rig, kind, key, name), "revoked");
        eject(&mut rig, &a, &person).unwrap();
    }
}

/// Runs the command until its new epoch is committed. Nothing that it sends from then on arrives, and the card is out before
/// the network is back.
fn cut_after_the_commit(rig: &mut Rig, terminal: &Terminal, person: &Person, args: &[&str]) {
    let state = terminal.home.join("state/state.db");
    let list = move || -> u32 {
        let store = simsyncd::store::Store::open(&state).unwrap();
        store.witness().unwrap().list_number
    };
    let before = list();
    terminal.wire.hold_when(move || list() > before);
    std::thread::scope(|threads| {
        let command = threads.spawn(|| terminal.simsync(args, &person.secrets()));
        wait_for("the wire to be held", DEADLINE, || {
            terminal.wire.is_held().then_some(())
        })
        .unwrap();
        terminal.wire.set_down(true);
        pull(rig, terminal, person).unwrap();
        let cut = command.join().unwrap().unwrap();
        assert_ne!(cut.code, 0, "{}", cut.json);
    });
    terminal.wire.release();
    terminal.wire.set_down(false);
}

fn at_server(rig: &Rig, kind: &str, key: &str, value: &str) -> String {
    let all = rig.server.admin(&[kind, "list"]).unwrap();
    let rows = all[format!("{kind}s")].as_array().unwrap();
    let row = rows.iter().find(|r| r[key] == value).unwrap();
    row["state"].as_str().unwrap().to_owned()
}
