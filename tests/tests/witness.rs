//! The card as witness against a server that really does it: it goes back, shows two histories, hides an upload.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use std::path::{Path, PathBuf};

use serde_json::Value;
use simsync_card::client::Applet;
use simsync_protocol::api::RenewRequest;
use simsync_protocol::problem::Code;
use simsync_rig::demo::{Person, eject, insert, pull, unlock};
use simsync_rig::impostor::{Impostor, opening, refused, run};
use simsync_rig::rig::{DEADLINE, Rig, Secrets, Terminal, mark, wait_for};
use simsync_rig::scene::{joined, paired, seed};
use simsync_rig::tree;
use simsync_vault::commit::SessionRef;

fn copy_dir(from: &Path, to: &Path) {
    tree::copy(from, to, u64::MAX).unwrap();
}

/// What the operator of a server could keep of it at this moment.
fn backup(rig: &mut Rig, name: &str) -> PathBuf {
    let copy = rig.dir.path().join(name);
    rig.server.stop().unwrap();
    copy_dir(&rig.server.dir, &copy);
    rig.server.serve().unwrap();
    copy
}

/// The server goes on with what is in `copy`; what it had is kept under the name `aside`.
fn replace(rig: &mut Rig, copy: &Path, aside: &str) -> PathBuf {
    rig.server.stop().unwrap();
    let kept = rig.dir.path().join(aside);
    std::fs::rename(&rig.server.dir, &kept).unwrap();
    copy_dir(copy, &rig.server.dir);
    rig.server.serve().unwrap();
    kept
}

fn read(terminal: &Terminal, name: &str) -> Option<String> {
    std::fs::read_to_string(terminal.data.join(name)).ok()
}

fn write(terminal: &Terminal, name: &str, text: &str) {
    std::fs::write(terminal.data.join(name), text).unwrap();
}

fn sequence(terminal: &Terminal) -> u64 {
    terminal.status().unwrap()["sequence"].as_u64().unwrap()
}

/// Writes a file and waits for the commit.
fn commits(terminal: &Terminal, name: &str) {
    let before = sequence(terminal);
    write(terminal, name, name);
    terminal
        .wait_status("a commit", |s| {
            s["sequence"].as_u64().unwrap() > before && s["state"] == "synced"
        })
        .unwrap();
}

/// Whether `simsync terminals list` says that this terminal has not finished uploading.
fn unfinished(status: &Value, label: &str) -> bool {
    let all = status["terminals"].as_array().unwrap();
    let row = all.iter().find(|t| t["label"] == label).unwrap();
    row["unfinished"] == true
}

/// The server's head, as its operator sees it.
fn head(rig: &Rig) -> Value {
    rig.server.admin(&["subscriber", "list"]).unwrap()["subscribers"][0]["head"].clone()
}

/// Puts the card in, types the PIN, and finds the server distrusted for this reason.
fn finds(rig: &mut Rig, terminal: &Terminal, person: &Person, code: &str) {
    insert(rig, terminal, person).unwrap();
    terminal.simsync(&["unlock"], &person.secrets()).unwrap();
    let status = terminal.wait_state(&["read-only"]).unwrap();
    let reasons = status["reasons"].as_array().unwrap();
    assert!(reasons.iter().any(|r| r["code"] == code), "{status}");
}

/// A terminal that distrusts the server writes nothing to it and takes nothing from it.
fn writes_nothing(rig: &Rig, terminal: &Terminal) {
    let (before, packs, files) = (
        head(rig),
        rig.server.packs(),
        tree::snapshot(&terminal.data).unwrap(),
    );
    write(terminal, "while distrusted.txt", "kept here");
    let refused = terminal.simsync(&["sync"], &Secrets::default()).unwrap();
    assert_eq!(refused.code, 11, "{}", refused.json);
    assert_eq!((head(rig), rig.server.packs()), (before, packs));
    std::fs::remove_file(terminal.data.join("while distrusted.txt")).unwrap();
    assert_eq!(tree::snapshot(&terminal.data).unwrap(), files);
}

#[test]
fn b2_a_server_that_was_rolled_back_is_caught_at_the_next_insertion() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, person) = paired(&mut rig, "A").unwrap();
    // The operator keeps a backup, the person works on, the backup comes back.
    let old = backup(&mut rig, "backup");
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    write(&a, "second.txt", "second");
    eject(&mut rig, &a, &person).unwrap();
    let newer = replace(&mut rig, &old, "newer");

    finds(&mut rig, &a, &person, "server-rolled-back");
    writes_nothing(&rig, &a);
    assert_eq!(read(&a, "second.txt").as_deref(), Some("second"));
    pull(&mut rig, &a, &person).unwrap();
    // The way out: the newest state is brought back, and work goes on.
    replace(&mut rig, &newer, "older");
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    write(&a, "third.txt", "third");
    eject(&mut rig, &a, &person).unwrap();
}

#[test]
fn b2_the_card_alone_catches_a_rollback_on_a_terminal_that_saw_nothing() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut person, "B").unwrap();
    let old = backup(&mut rig, "backup");
    // B is cut off while A works: all that it will know of that is on the card.
    b.wire.set_down(true);
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    write(&a, "second.txt", "second");
    eject(&mut rig, &a, &person).unwrap();
    replace(&mut rig, &old, "newer");
    b.wire.set_down(false);

    finds(&mut rig, &b, &person, "record-unproven");
    writes_nothing(&rig, &b);
}

#[test]
fn b2_a_server_that_shows_two_histories_is_caught_at_the_next_insertion() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut person, "B").unwrap();
    b.wire.set_down(true);
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    commits(&a, "in both.txt");
    let known = sequence(&a);
    let before = backup(&mut rig, "fork");
    // A commits on the first history. The card was told of a commit a moment ago, and not of this one when it is pulled.
    commits(&a, "first history.txt");
    pull(&mut rig, &a, &person).unwrap();
    a.wait_status("the tail to be delivered", |s| {
        mark(s, "tail-delivered") >= mark(s, "removed")
    })
    .unwrap();
    // B, with the same card, is shown the second one, where that never happened.
    a.wire.set_down(true);
    let first = replace(&mut rig, &before, "first");
    b.wire.set_down(false);
    insert(&mut rig, &b, &person).unwrap();
    let status = unlock(&b, &person).unwrap();
    assert_eq!(read(&b, "first history.txt"), None);
    // It cannot know yet, but for one thing: the card says that A has not finished.
    assert!(unfinished(&status, "A"), "{status}");
    assert_eq!(sequence(&b), known);
    commits(&b, "second history.txt");
    commits(&b, "second history, too.txt");
    eject(&mut rig, &b, &person).unwrap();

    // Back in A, which saw the first.
    a.wire.set_down(false);
    finds(&mut rig, &a, &person, "server-forked");
    writes_nothing(&rig, &a);
    assert!(read(&a, "first history.txt").is_some());
    assert_eq!(read(&a, "second history.txt"), None);
    pull(&mut rig, &a, &person).unwrap();
    // Showing everybody the first one again helps no more: the card was given the second.
    replace(&mut rig, &first, "second");
    finds(&mut rig, &a, &person, "record-unproven");
    writes_nothing(&rig, &a);
}

/// A server that hides what was delivered to it: the tails are moved out of its database.
struct Hidden(PathBuf);

impl Hidden {
    fn attach(rig: &Rig, to: &Path) -> rusqlite::Connection {
        let db = rusqlite::Connection::open(rig.server.dir.join("simsync.db")).unwrap();
        db.execute("ATTACH ?1 AS hidden", [to.to_str().unwrap()])
            .unwrap();
        db
    }

    fn tails(rig: &mut Rig) -> Self {
        let aside = rig.dir.path().join("hidden.db");
        rig.server.stop().unwrap();
        let db = Self::attach(rig, &aside);
        db.execute_batch(
            "CREATE TABLE hidden.tails AS SELECT * FROM main.tails WHERE status = 'waiting';
             CREATE TABLE hidden.sessions AS SELECT s.* FROM main.sessions s JOIN hidden.tails USING (subscriber, card, n);
             UPDATE main.sessions SET state = 'open' WHERE (card, n) IN (SELECT card, n FROM hidden.tails);
             DELETE FROM main.tails WHERE status = 'waiting';",
        )
        .unwrap();
        let n: u32 = db
            .query_row("SELECT count(*) FROM hidden.tails", [], |r| r.get(0))
            .unwrap();
        assert_eq!(n, 1, "there was one tail to hide");
        drop(db);
        rig.server.serve().unwrap();
        Self(aside)
    }

    fn show(self, rig: &mut Rig) {
        rig.server.stop().unwrap();
        let db = Self::attach(rig, &self.0);
        db.execute_batch(
            "INSERT INTO main.tails SELECT * FROM hidden.tails;
             UPDATE main.sessions SET state = 'tail-delivered' WHERE (card, n) IN (SELECT card, n FROM hidden.tails);",
        )
        .unwrap();
        drop(db);
        rig.server.serve().unwrap();
    }
}

/// A is yanked with a change that only its tail holds; the tail is delivered, and the server hides it.
fn hidden_tail(rig: &mut Rig, a: &Terminal, person: &Person) -> Hidden {
    insert(rig, a, person).unwrap();
    unlock(a, person).unwrap();
    // Nothing goes out any more, so that the tail alone holds the change.
    a.wire.set_down(true);
    a.wait_status("the server to be missed", |s| s["online"] == false)
        .unwrap();
    write(a, "in the tail.txt", "by A");
    pull(rig, a, person).unwrap();
    a.wait_status("the tail to wait", |s| {
        s["tails_waiting"].as_u64().is_some_and(|n| n > 0)
    })
    .unwrap();
    a.wire.set_down(false);
    a.wait_status("the tail to be delivered", |s| {
        s["tails_waiting"] == 0 && mark(s, "tail-delivered") > mark(s, "removed")
    })
    .unwrap();
    Hidden::tails(rig)
}

#[test]
fn b2_a_hidden_upload_is_named_and_settles_when_it_comes() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut person, "B").unwrap();
    let hidden = hidden_tail(&mut rig, &a, &person);

    insert(&mut rig, &b, &person).unwrap();
    let status = unlock(&b, &person).unwrap();
    assert!(unfinished(&status, "A"), "{status}");
    assert_eq!(read(&b, "in the tail.txt"), None);
    // Work goes on, and the card still says so at the next insertion.
    write(&b, "meanwhile.txt", "by B");
    eject(&mut rig, &b, &person).unwrap();
    insert(&mut rig, &b, &person).unwrap();
    let status = unlock(&b, &person).unwrap();
    assert!(unfinished(&status, "A"), "{status}");

    hidden.show(&mut rig);
    b.wait_status("A's change", |_| read(&b, "in the tail.txt").is_some())
        .unwrap();
    b.wait_status("A to be finished", |s| !unfinished(s, "A"))
        .unwrap();
    eject(&mut rig, &b, &person).unwrap();
    // For good: the card has settled it.
    insert(&mut rig, &b, &person).unwrap();
    let status = unlock(&b, &person).unwrap();
    assert!(!unfinished(&status, "A"), "{status}");
    eject(&mut rig, &b, &person).unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    assert_eq!(read(&a, "meanwhile.txt").as_deref(), Some("by B"));
    assert_eq!(tree::differences(&a.data, &b.data).unwrap(), None);
}

#[test]
fn b2_a_hidden_upload_settles_by_the_owners_word() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut person, "B").unwrap();
    hidden_tail(&mut rig, &a, &person);

    insert(&mut rig, &b, &person).unwrap();
    let status = unlock(&b, &person).unwrap();
    assert!(unfinished(&status, "A"), "{status}");
    let nobody = b.simsync(&["forget", "C"], &Secrets::default()).unwrap();
    assert_eq!(nobody.json["error"]["code"], "no-such-terminal");
    b.simsync(&["forget", "A"], &Secrets::default())
        .unwrap()
        .ok("simsync forget")
        .unwrap();
    assert!(!unfinished(&b.status().unwrap(), "A"));
    eject(&mut rig, &b, &person).unwrap();
    insert(&mut rig, &b, &person).unwrap();
    let status = unlock(&b, &person).unwrap();
    assert!(!unfinished(&status, "A"), "{status}");
    eject(&mut rig, &b, &person).unwrap();

    // Given up is not lost: A has the file still, and says so when the card comes back.
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    eject(&mut rig, &a, &person).unwrap();
    insert(&mut rig, &b, &person).unwrap();
    unlock(&b, &person).unwrap();
    assert_eq!(read(&b, "in the tail.txt").as_deref(), Some("by A"));
}

#[test]
fn b2_a_terminal_that_is_offline_is_named_until_its_tail_comes() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut person, "B").unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    a.wire.set_down(true);
    write(&a, "offline.txt", "by A");
    pull(&mut rig, &a, &person).unwrap();
    insert(&mut rig, &b, &person).unwrap();
    let status = unlock(&b, &person).unwrap();
    assert!(unfinished(&status, "A"), "{status}");
    // The tail comes while B's session is open: B takes it at once.
    a.wire.set_down(false);
    wait_for("A's change on B", DEADLINE, || read(&b, "offline.txt")).unwrap();
    b.wait_status("A to be finished", |s| !unfinished(s, "A"))
        .unwrap();
}

#[test]
fn b3_a_session_relayed_to_another_connection_is_refused() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, person) = paired(&mut rig, "A").unwrap();
    // In the middle, with the terminal's certificate and key, and a card that signs what it is shown.
    let middle = Impostor::of(&a, &person).unwrap();
    let card = middle.pairing.card.id;
    let mut applet = Applet::new(rig.bridge.lend(&person.card).unwrap());
    run(async {
        let (one, two) = (
            middle.connect(&rig.server).await.unwrap(),
            middle.connect(&rig.server).await.unwrap(),
        );
        let (nonce, binding) = middle.binding(&one).await.unwrap();
        let (statement, opened) = middle
            .open_at_card(&mut applet, &card, &person.pin, &binding)
            .unwrap();
        // Relayed: with a nonce of the other connection, and with its own.
        let foreign = two.nonce().await.unwrap().nonce;
        refused(
            two.open_session(&opening(&statement, foreign)).await,
            Code::BindingRefused,
        );
        // Where the card meant it to go, it is right.
        one.open_session(&opening(&statement, nonce)).await.unwrap();
        one.commits(0).await.unwrap();
        refused(
            two.open_session(&opening(&statement, nonce)).await,
            Code::NonceRefused,
        );
        // The same for RENEW.
        let (nonce, binding) = middle.binding(&one).await.unwrap();
        let mut request = RenewRequest {
            session: SessionRef {
                card,
                n: statement.n,
            },
            nonce: two.nonce().await.unwrap().nonce,
            signature: applet.renew(&opened.token, &binding).unwrap(),
            known_sequence: 0,
            known_list: 0,
        };
        refused(two.renew(&request).await, Code::SignatureRefused);
        request.nonce = nonce;
        one.renew(&request).await.unwrap();
    })
    .unwrap();
}
