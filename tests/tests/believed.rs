//! What a terminal believes of a server: that it is the one it was paired with, and that its vault is the card's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use serde_json::Value;
use simsync_card::client::{Applet, Pin, SignDomain};
use simsync_protocol::api::{B64, NewKeyObject};
use simsync_rig::demo::{eject, insert, pair, pull, unlock};
use simsync_rig::impostor::{Impostor, opening, run};
use simsync_rig::rig::{Rig, Secrets};
use simsync_rig::scene::{joined, paired, seed};
use simsync_rig::spare::{add, spare_for};
use simsync_rig::tree;
use simsync_vault::commit::{Commit, CommitBody};
use simsync_vault::keyobject::{KeyObject, KeyObjectBody};

/// The server answers under another ID from now on; its CA and all else stay. Answers the one of before.
fn rename(rig: &mut Rig, to: Option<Value>) -> Value {
    let file = rig.server.dir.join("server.json");
    let mut settings: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let before = settings["server"].clone();
    let text = before.as_str().unwrap();
    let (first, rest) = text.split_at(1);
    let other = format!("{}{rest}", if first == "0" { "1" } else { "0" });
    settings["server"] = to.unwrap_or_else(|| other.into());
    std::fs::write(&file, serde_json::to_vec(&settings).unwrap()).unwrap();
    before
}

#[test]
fn w_8_a_server_with_another_id_is_another_server() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (mut a, person) = paired(&mut rig, "A").unwrap();
    rig.server.stop().unwrap();
    let own = rename(&mut rig, None);
    rig.server.serve().unwrap();
    insert(&mut rig, &a, &person).unwrap();
    let refused = a.simsync(&["unlock"], &person.secrets()).unwrap();
    assert_eq!(
        refused.json["error"]["code"], "server-not-trusted",
        "{}",
        refused.json
    );
    assert!(a.status().unwrap()["session"].is_null());
    pull(&mut rig, &a, &person).unwrap();
    rig.server.stop().unwrap();
    rename(&mut rig, Some(own));
    rig.server.serve().unwrap();

    // The same where it moved to.
    let port = rig.server.public_port + 500;
    let new = format!("server.simsync.test:{port}");
    rig.server.admin(&["move", "to", &new]).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    let agreed = a.simsync(&["server", "confirm", "--yes"], &Secrets::default());
    agreed.unwrap().ok("simsync server confirm").unwrap();
    eject(&mut rig, &a, &person).unwrap();
    rig.server.stop().unwrap();
    rename(&mut rig, None);
    rig.server.serve().unwrap();
    rig.server.move_away(port).unwrap();
    a.wire_to(&rig.server).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    let refused = a.simsync(&["unlock"], &person.secrets()).unwrap();
    assert_eq!(
        refused.json["error"]["code"], "server-not-trusted",
        "{}",
        refused.json
    );
    let status = a.status().unwrap();
    assert_ne!(status["server"], new, "{status}");
    assert!(status["session"].is_null(), "{status}");
}

#[test]
fn w_8_a_new_terminal_enters_no_vault_that_the_cards_record_is_not_of() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, person) = paired(&mut rig, "A").unwrap();
    let old = rig.dir.path().join("old");
    rig.server.stop().unwrap();
    tree::copy(&rig.server.dir, &old, u64::MAX).unwrap();
    rig.server.serve().unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    std::fs::write(a.data.join("second.txt"), "second").unwrap();
    eject(&mut rig, &a, &person).unwrap();
    // The server is set back, and only the card knows.
    rig.server.stop().unwrap();
    std::fs::remove_dir_all(&rig.server.dir).unwrap();
    tree::copy(&old, &rig.server.dir, u64::MAX).unwrap();
    rig.server.serve().unwrap();
    let c = rig.terminal("C").unwrap();
    insert(&mut rig, &c, &person).unwrap();
    let refused = c.simsync(&["pair"], &person.secrets()).unwrap();
    assert_eq!(
        (refused.code, &refused.json["error"]["code"]),
        (11, &Value::from("record-unproven")),
        "{}",
        refused.json
    );
    assert!(c.status().unwrap()["session"].is_null());
}

#[test]
fn w_8_a_new_terminal_enters_no_vault_that_its_card_never_signed() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    // A list names this card, and wraps the vault to it; whoever made that list, the card has seen nothing of it.
    let mut spare = spare_for(&mut rig, &a, &person, "spare").unwrap();
    add(&mut rig, &a, &person, &mut spare).unwrap();
    let c = rig.terminal("C").unwrap();
    insert(&mut rig, &c, &spare).unwrap();
    let refused = c.simsync(&["pair"], &spare.secrets()).unwrap();
    assert_eq!(
        refused.json["error"]["code"], "vault-not-vouched",
        "{}",
        refused.json
    );
    assert!(c.status().unwrap()["session"].is_null());
    pull(&mut rig, &c, &spare).unwrap();
    // The card that made it vouches for it.
    insert(&mut rig, &c, &person).unwrap();
    pair(&c, &mut person, false).unwrap();
    pull(&mut rig, &c, &person).unwrap();
}

#[test]
fn w_8_a_terminal_that_the_newest_list_leaves_out_opens_nothing() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut person, "B").unwrap();
    let own = Impostor::of(&a, &person).unwrap();
    let left_out = Impostor::of(&b, &person).unwrap().id();
    let card = own.pairing.card.id;
    // In a session of A's a list without B is signed by the card and committed. Neither is the card told to forget B, nor is
    // the server: both go on letting it in, and the vault's key is the one that it knows.
    let mut applet = Applet::new(rig.bridge.lend(&person.card).unwrap());
    let server = &rig.server;
    run(async {
        let c = own.connect(server).await.unwrap();
        let (nonce, binding) = own.binding(&c).await.unwrap();
        let (statement, _) = own
            .open_at_card(&mut applet, &card, &person.pin, &binding)
            .unwrap();
        let answer = c.open_session(&opening(&statement, nonce)).await.unwrap();
        let head = answer.commits.last().unwrap();
        let head = Commit::from_bytes(&head.0).unwrap();
        let before = KeyObject::from_bytes(&answer.key_objects.last().unwrap().0).unwrap();
        let mut body = KeyObjectBody {
            list_number: before.body.list_number + 1,
            previous: before.hash(),
            signer: card,
            ..before.body.clone()
        };
        body.terminals.retain(|t| t.id() != left_out);
        applet.select().unwrap();
        let pin = Pin::parse(person.pin.as_bytes()).unwrap();
        applet.verify(&pin).unwrap();
        let sig = applet
            .sign(SignDomain::KeyObject, &body.to_sign().1)
            .unwrap();
        let list = KeyObject::from_parts(body, sig);
        let body = CommitBody {
            sequence: head.body.sequence + 1,
            previous: head.hash(),
            list_number: list.body.list_number,
            list_hash: list.hash(),
            packs_added: Vec::new(),
            packs_dropped: Vec::new(),
            terminal: own.id(),
            session: statement,
            closing: true,
            tails_merged: Vec::new(),
            ..head.body
        };
        let new = NewKeyObject {
            signed: B64(list.to_bytes()),
            wraps: c.key_object().await.unwrap().wraps,
        };
        let commit = Commit::sign(body, &own.key);
        c.commit(commit.to_bytes(), Some(new)).await.unwrap();
    })
    .unwrap();
    drop(applet);

    insert(&mut rig, &b, &person).unwrap();
    let refused = b.simsync(&["unlock"], &person.secrets()).unwrap();
    assert_eq!(
        refused.json["error"]["code"], "pairing-incomplete",
        "{}",
        refused.json
    );
    let status = b.status().unwrap();
    assert!(status["session"].is_null(), "{status}");
    pull(&mut rig, &b, &person).unwrap();
    // A is in the list, and opens.
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    eject(&mut rig, &a, &person).unwrap();
}
