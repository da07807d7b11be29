//! What a terminal believes of a server: that it is the one it was paired with, and that its vault is the card's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use serde_json::Value;
use simsync_rig::demo::{eject, insert, pull, unlock};
use simsync_rig::rig::{Rig, Secrets};
use simsync_rig::scene::{paired, seed};
use simsync_rig::tree;

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
