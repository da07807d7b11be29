//! The walls of card and terminal: each refuses by itself what the others would let through.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use simsync_card::apdu::Command;
use simsync_card::client::{Applet, Info, ListedTerminal, Pin, UnsettledSession};
use simsync_card::ids::{Hash, TerminalId};
use simsync_card::sign::SecretKey;
use simsync_card::text;
use simsync_protocol::problem::Code;
use simsync_rig::demo::{eject, insert, pull, unlock};
use simsync_rig::impostor::{Impostor, refused, run};
use simsync_rig::rig::{Reader, Rig, Secrets, Terminal};
use simsync_rig::scene::{joined, paired, paired_with, seed};
use simsync_rig::tree;

/// A key that no card and no server has seen.
fn stranger() -> SecretKey {
    loop {
        if let Ok(key) = SecretKey::from_bytes(&rand::random()) {
            return key;
        }
    }
}

/// All that a card's owner can ask it.
#[derive(Debug, PartialEq)]
struct CardState {
    tries: (u8, u8),
    info: Info,
    terminals: Vec<ListedTerminal>,
    sessions: Vec<UnsettledSession>,
}

fn state_of(applet: &mut Applet<Reader>, pin: &str) -> CardState {
    let selected = applet.select().unwrap();
    applet.verify(&Pin::parse(pin.as_bytes()).unwrap()).unwrap();
    CardState {
        tries: (selected.pin_tries, selected.puk_tries),
        info: applet.read_info().unwrap(),
        terminals: applet.terminals().unwrap(),
        sessions: applet.unsettled_sessions().unwrap(),
    }
}

/// A command of class 80, with an answer expected as docs/card.md says.
fn command(ins: u8, p1: u8, data: &[u8]) -> Command {
    Command::new(0x80, ins, p1, 0).with_data(data).unwrap()
}

fn with_point(first: &[u8], key: &SecretKey, rest: &[&[u8]]) -> Vec<u8> {
    [first, &key.point().0, &rest.concat()].concat()
}

#[test]
fn m8_card_refuses_an_unknown_terminal() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, person) = paired(&mut rig, "A").unwrap();
    let pairing = Impostor::of(&a, &person).unwrap().pairing;
    let mut applet = Applet::new(rig.bridge.lend(&person.card).unwrap());
    let before = state_of(&mut applet, &person.pin);
    assert_eq!(before.tries, (3, 10));
    assert_eq!(before.terminals.len(), 1);
    let card = before.info.card;

    let key = stranger();
    let id = TerminalId::of(&key.point());
    let binding = Hash(rand::random());
    let ask = |card: &mut Applet<Reader>| card.select().unwrap().challenge;
    // OPEN SESSION as `who`, signed by the stranger over what the card asked.
    let open = |who: &TerminalId, challenge: &[u8; 16]| {
        let sig = key.sign(&text::terminal(&card, challenge, &binding, &key.point()));
        let mut data = with_point(&[&who.0[..], &binding.0].concat(), &key, &[]);
        data.extend_from_slice(sig.as_der());
        command(0x40, 0, &data).expecting_any()
    };
    let label = [4, b'e', b'v', b'i', b'l'];
    let add = command(
        0x30,
        0,
        &with_point(&[], &key, &[&label[..], &binding.0[..]]),
    )
    .expecting_any();
    let sign = |p1| command(0x46, p1, &binding.0).expecting_any();
    let renew = command(0x42, 0, &[&[0; 16][..], &binding.0].concat()).expecting_any();
    let put_head = command(0x44, 0, &[0; 99]);
    let remove = command(0x36, 0, &before.terminals[0].terminal.0);
    let set_server = command(0x24, 0, &[&[1, b'x'][..], &[0; 32]].concat());

    // Without the PIN: nothing at all.
    let closed = [
        ("READ INFO", command(0x20, 0, &[]).expecting_any()),
        ("READ KEYS", command(0x22, 0, &[7; 32]).expecting_any()),
        ("LIST", command(0x32, 0, &[]).expecting_any()),
        ("READ SESSIONS", command(0x34, 0, &[]).expecting_any()),
        ("SET SERVER", set_server.clone()),
        ("ADD TERMINAL", add.clone()),
        ("REMOVE TERMINAL", remove.clone()),
        ("RENEW", renew.clone()),
        ("PUT HEAD", put_head.clone()),
        ("SIGN keyobject", sign(1)),
        ("SIGN erase", sign(2)),
        ("SIGN restore", sign(3)),
        ("TERMINATE", command(0x50, 0, &[])),
    ];
    let challenge = ask(&mut applet);
    let mut reader = applet.into_inner();
    let expect = |reader: &mut Reader, what: &str, command: &Command, sw: u16| {
        let (data, got) = reader.raw(command).unwrap();
        assert_eq!(
            (got, data.len()),
            (sw, 0),
            "{what}: {got:04X}, not {sw:04X}"
        );
    };
    for (what, command) in &closed {
        expect(&mut reader, what, command, 0x6982);
    }
    let own = before.terminals[0].terminal;
    expect(&mut reader, "OPEN SESSION", &open(&id, &challenge), 0x6982);
    // Personalisation is over for good.
    for (what, ins, len) in [
        ("PERSONALISE", 0x10, 130),
        ("GENERATE KEYS", 0x12, 48),
        ("ENROLLED", 0x14, 16),
    ] {
        let secret = command(ins, 0, &vec![0; len]);
        expect(&mut reader, what, &secret, 0x6985);
    }

    // With the right PIN, even: the terminal is not on the card.
    let mut applet = Applet::new(reader);
    let pin = Pin::parse(person.pin.as_bytes()).unwrap();
    let challenge = ask(&mut applet);
    applet.verify(&pin).unwrap();
    let mut reader = applet.into_inner();
    let what = "OPEN SESSION of an unknown terminal";
    expect(&mut reader, what, &open(&id, &challenge), 0x6A82);
    let what = "OPEN SESSION with a used challenge";
    expect(&mut reader, what, &open(&own, &challenge), 0x6985);
    let mut applet = Applet::new(reader);
    let challenge = applet.get_challenge().unwrap();
    let mut reader = applet.into_inner();
    let what = "OPEN SESSION in the name of a known one";
    expect(&mut reader, what, &open(&own, &challenge), 0x6982);
    // Whatever needs a token or a PIN of its own is not opened by that PIN either.
    for (what, command) in [
        ("RENEW", &renew),
        ("PUT HEAD", &put_head),
        ("ADD TERMINAL", &add),
        ("REMOVE TERMINAL", &remove),
        ("SET SERVER", &set_server),
        ("SIGN", &sign(1)),
        ("TERMINATE", &command(0x50, 0, &[])),
    ] {
        expect(&mut reader, what, command, 0x6982);
    }

    let mut applet = Applet::new(reader);
    assert_eq!(state_of(&mut applet, &person.pin), before);
    drop(applet);
    // The terminal that is on the card has not noticed: its next session is the next number.
    assert_eq!(pairing.card.id, card);
    let last = rig.server.admin(&["card", "list"]).unwrap()["cards"][0]["last_n"]
        .as_u64()
        .unwrap();
    insert(&mut rig, &a, &person).unwrap();
    let status = unlock(&a, &person).unwrap();
    assert_eq!(status["session"].as_u64().unwrap(), last + 1, "{status}");
}

#[test]
fn m5_a_wrong_pin_counts_on_the_card_and_blocks_it() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut person, "B").unwrap();
    let tries = |t: &Terminal| {
        let info = t.card_tool(&["info"], &Secrets::default()).unwrap();
        info.ok("simsync-card info").unwrap().json["pin_tries"]
            .as_u64()
            .unwrap()
    };
    let wrong = |t: &Terminal, pin: &str| {
        let given = Secrets::give("--pin-fd", pin).and("--terminal-pin-fd", &person.terminal_pin);
        t.simsync(&["unlock"], &given).unwrap()
    };
    insert(&mut rig, &a, &person).unwrap();
    let r = wrong(&a, "0000");
    assert_eq!((r.code, tries(&a)), (5, 2), "{}", r.json);
    // The terminal shows it.
    a.wait_status("two tries left", |s| s["cards"][0]["pin_tries"] == 2)
        .unwrap();
    pull(&mut rig, &a, &person).unwrap();
    // It is the card that counts, wherever it is.
    insert(&mut rig, &b, &person).unwrap();
    let r = wrong(&b, "0000");
    assert_eq!((r.code, tries(&b)), (5, 1), "{}", r.json);
    // Another one: what was just refused would not be sent again.
    let r = wrong(&b, "0001");
    assert_eq!((r.code, tries(&b)), (5, 0), "{}", r.json);
    pull(&mut rig, &b, &person).unwrap();
    // The right one is of no use now.
    insert(&mut rig, &a, &person).unwrap();
    let r = a.simsync(&["unlock"], &person.secrets()).unwrap();
    assert_eq!(r.code, 5, "{}", r.json);
    assert_eq!(r.json["error"]["code"], "pin-blocked", "{}", r.json);
    assert_eq!(a.status().unwrap()["cards"][0]["state"], "blocked");

    // A wrong PUK unblocks nothing; the right one does.
    let puk = |puk: &str| Secrets::give("--puk-fd", puk).and("--new-pin-fd", "8642");
    let r = a.card_tool(&["pin", "unblock"], &puk("00000000")).unwrap();
    assert_eq!((r.code, tries(&a)), (5, 0), "{}", r.json);
    a.card_tool(&["pin", "unblock"], &puk(&person.puk))
        .unwrap()
        .ok("simsync-card pin unblock")
        .unwrap();
    assert_eq!(tries(&a), 3);
    person.pin = "8642".to_owned();
    unlock(&a, &person).unwrap();
    std::fs::write(a.data.join("after.txt"), "unblocked").unwrap();
    eject(&mut rig, &a, &person).unwrap();
    insert(&mut rig, &b, &person).unwrap();
    unlock(&b, &person).unwrap();
    let got = std::fs::read_to_string(b.data.join("after.txt")).unwrap();
    assert_eq!(got, "unblocked");
}

#[test]
fn m7_terminal_ignores_a_card_it_does_not_know() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, anna) = paired(&mut rig, "A").unwrap();
    let (_b, bert) = paired_with(&mut rig, "B", "card-2", &serde_json::json!({})).unwrap();
    let before = tree::snapshot(&a.data).unwrap();
    // Looked at once, and no more: no PIN is tried on it, whoever gives one.
    insert(&mut rig, &a, &bert).unwrap();
    let status = a.status().unwrap();
    assert_eq!(status["cards"][0]["state"], "unpaired", "{status}");
    for person in [&anna, &bert] {
        let r = a.simsync(&["unlock"], &person.secrets()).unwrap();
        assert_eq!(r.code, 4, "{}", r.json);
        assert_eq!(r.json["error"]["code"], "card-not-paired", "{}", r.json);
        let r = a.simsync(&["sync"], &person.secrets()).unwrap();
        assert_eq!(r.json["error"]["code"], "card-not-paired", "{}", r.json);
    }
    let stats = rig.bridge.stats(&bert.card).unwrap();
    assert_eq!(stats.apdus, 1, "SELECT alone: {stats:?}");
    pull(&mut rig, &a, &bert).unwrap();
    assert_eq!(tree::snapshot(&a.data).unwrap(), before);
    // Its own is known at once.
    insert(&mut rig, &a, &anna).unwrap();
    unlock(&a, &anna).unwrap();
}

#[test]
fn m10_nothing_leaves_the_terminal_before_its_own_checks() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (mut a, anna) = paired(&mut rig, "A").unwrap();
    let (_b, bert) = paired_with(&mut rig, "B", "card-2", &serde_json::json!({})).unwrap();
    let asked = |rig: &Rig| {
        [
            "/v1/sessions",
            "/v1/sessions/renew",
            "/v1/commits",
            "/v1/packs",
            "/v1/packs/",
        ]
        .map(|path| rig.server.requests(path))
    };
    std::fs::write(a.data.join("unsent.txt"), "stays here").unwrap();
    let (before, packs) = (asked(&rig), rig.server.packs());
    assert!(before.iter().sum::<usize>() > 0, "the log shows requests");

    // M7: a card of somebody else.
    insert(&mut rig, &a, &bert).unwrap();
    let r = a.simsync(&["unlock"], &bert.secrets()).unwrap();
    assert_eq!(r.json["error"]["code"], "card-not-paired", "{}", r.json);
    let r = a.simsync(&["sync"], &anna.secrets()).unwrap();
    assert_ne!(r.code, 0, "{}", r.json);
    pull(&mut rig, &a, &bert).unwrap();

    // M6: a wrong terminal PIN. The key stays sealed, the card is not even asked.
    a.stop_daemon().unwrap();
    a.start_daemon().unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    let wrong = Secrets::give("--pin-fd", &anna.pin).and("--terminal-pin-fd", "not the PIN of it");
    let r = a.simsync(&["unlock"], &wrong).unwrap();
    assert_eq!(r.json["error"]["code"], "terminal-pin-incorrect");
    assert_eq!(a.status().unwrap()["unsealed"], false);
    // M5: a wrong card PIN.
    let wrong = Secrets::give("--pin-fd", "0000").and("--terminal-pin-fd", &anna.terminal_pin);
    let r = a.simsync(&["unlock"], &wrong).unwrap();
    assert_eq!(r.json["error"]["code"], "pin-incorrect", "{}", r.json);
    let r = a.simsync(&["sync"], &Secrets::default()).unwrap();
    assert_ne!(r.code, 0, "{}", r.json);
    // M8: the card knows this terminal no more.
    let own = ["terminal", "remove", "A"];
    a.card_tool(&own, &Secrets::give("--pin-fd", &anna.pin))
        .unwrap()
        .ok("simsync-card terminal remove")
        .unwrap();
    let r = a.simsync(&["unlock"], &anna.secrets()).unwrap();
    assert_eq!(
        r.json["error"]["code"], "terminal-not-on-card",
        "{}",
        r.json
    );

    assert_eq!(asked(&rig), before);
    assert_eq!(rig.server.packs(), packs);
}

#[test]
fn m12_only_registered_attributes_move_in_both_directions() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut person, "B").unwrap();
    let beside = |t: &Terminal, name: &str| {
        let dir = t.data.parent().unwrap().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    };
    // A registers a second collection; B does not.
    let (notes_a, notes_b) = (beside(&a, "notes"), beside(&b, "notes"));
    std::fs::write(notes_a.join("diary.txt"), "A's").unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    let add = |t: &Terminal, path: &std::path::Path| {
        let path = path.to_str().unwrap();
        t.simsync(
            &["collections", "add", "Notes", path],
            &Secrets::give("--pin-fd", &person.pin),
        )
        .unwrap()
        .ok("simsync collections add")
        .unwrap();
    };
    add(&a, &notes_a);
    std::fs::write(a.data.join("both.txt"), "everywhere").unwrap();
    // A folder that no collection stands for moves nowhere.
    std::fs::write(beside(&a, "private").join("p.txt"), "A's own").unwrap();
    eject(&mut rig, &a, &person).unwrap();
    insert(&mut rig, &b, &person).unwrap();
    unlock(&b, &person).unwrap();
    assert!(b.data.join("both.txt").exists());
    // Not on the disk in any form: no file, and no pack, opened or not.
    let store = || simsyncd::store::Store::open(&b.home.join("state/state.db")).unwrap();
    let notes = store()
        .collections()
        .unwrap()
        .into_iter()
        .find(|c| c.name == "Notes")
        .unwrap();
    assert_eq!(notes.root, None);
    assert!(store().files(notes.pk).unwrap().is_empty());
    let thief = Impostor::of(&b, &person).unwrap();
    run(async {
        let c = thief.connect(&rig.server).await.unwrap();
        refused(c.packs(notes.id).await, Code::CollectionRefused);
    })
    .unwrap();
    // The other way: what B has beside its collections stays there.
    std::fs::write(notes_b.join("b.txt"), "B's").unwrap();
    std::fs::write(b.data.join("from-b.txt"), "everywhere").unwrap();
    eject(&mut rig, &b, &person).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    assert!(a.data.join("from-b.txt").exists());
    assert!(!notes_a.join("b.txt").exists());
    eject(&mut rig, &a, &person).unwrap();

    // B registers it, and both go; A deregisters it, and neither.
    insert(&mut rig, &b, &person).unwrap();
    unlock(&b, &person).unwrap();
    add(&b, &notes_b);
    b.wait_status("the diary", |_| notes_b.join("diary.txt").exists())
        .unwrap();
    eject(&mut rig, &b, &person).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    assert!(notes_a.join("b.txt").exists());
    a.simsync(
        &["collections", "remove", "Notes"],
        &Secrets::give("--pin-fd", &person.pin),
    )
    .unwrap()
    .ok("simsync collections remove")
    .unwrap();
    std::fs::write(notes_a.join("later.txt"), "A's").unwrap();
    eject(&mut rig, &a, &person).unwrap();
    insert(&mut rig, &b, &person).unwrap();
    unlock(&b, &person).unwrap();
    assert!(!notes_b.join("later.txt").exists());
    assert!(
        notes_b.join("diary.txt").exists(),
        "deselected is not deleted"
    );
    std::fs::write(notes_b.join("later-b.txt"), "B's").unwrap();
    eject(&mut rig, &b, &person).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    assert!(!notes_a.join("later-b.txt").exists());
    assert!(notes_a.join("diary.txt").exists());
}
