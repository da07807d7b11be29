//! What is left in the daemon's memory when a session has ended: no key, no PIN, no code, and nothing of the files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use simsync_rig::demo::{Person, insert, pull, unlock};
use simsync_rig::memory::{Needles, found, nothing_is_left, vault_keys};
use simsync_rig::rig::{Rig, Secrets, Terminal, mark};
use simsync_rig::scene::{joined, paired, seed};

/// As long as a card PIN can be, so that it is not found by chance.
const PIN: &str = "97531864";

fn needles(t: &Terminal, person: &Person, content: &str) -> Needles {
    let mut out = vault_keys(t, person).unwrap();
    out.push(("the card's PIN".to_owned(), PIN.into()));
    out.push(("the PUK".to_owned(), person.puk.clone().into()));
    let pin = person.terminal_pin.clone();
    out.push(("the terminal's PIN".to_owned(), pin.into()));
    let code = person.recovery.clone().unwrap();
    out.push(("the recovery code".to_owned(), code.into()));
    out.push(("the content of a file".to_owned(), content.into()));
    out
}

/// Something that is in no file but those that are written with it. Compressible, as texts are. Longer than a block of a hash
/// function: one such block may stand in a dead stack frame, which is not promised.
fn content(n: usize) -> (String, String) {
    let random: [u8; 48] = std::array::from_fn(|_| rand::random());
    let word: String = random.iter().map(|b| format!("{b:02x}")).collect();
    (
        word.clone(),
        format!("{word} and some words around it\n").repeat(n),
    )
}

fn wiped(t: &Terminal) {
    t.wait_status("the keys to be wiped", |s| {
        mark(s, "wiped") >= mark(s, "removed") && mark(s, "removed").is_some()
    })
    .unwrap();
    t.wait_status("the tail to be delivered", |s| {
        mark(s, "tail-delivered") >= mark(s, "removed")
    })
    .unwrap();
}

#[test]
fn w_4_after_a_session_no_secret_and_nothing_of_the_files_is_left_in_memory() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    insert(&mut rig, &a, &person).unwrap();
    let change = Secrets::give("--pin-fd", &person.pin)
        .and("--new-pin-fd", PIN)
        .and("--terminal-pin-fd", &person.terminal_pin);
    let changed = a.simsync(&["pin", "change"], &change).unwrap();
    changed.ok("simsync pin change").unwrap();
    person.pin = PIN.to_owned();
    pull(&mut rig, &a, &person).unwrap();

    for way in [
        "eject",
        "pulled at rest",
        "pulled in an upload",
        "a new key",
    ] {
        insert(&mut rig, &a, &person).unwrap();
        unlock(&a, &person).unwrap();
        let (word, text) = content(2_000);
        std::fs::write(a.data.join(format!("{way}.txt")), &text).unwrap();
        let before = vault_keys(&a, &person).unwrap();
        let pid = a.daemon_pid().unwrap();
        assert!(
            !found(pid, &before).unwrap().is_empty(),
            "the search must find something"
        );
        match way {
            "eject" => {
                let ejected = a.simsync(&["eject"], &Secrets::default()).unwrap();
                ejected.ok("simsync eject").unwrap();
                pull(&mut rig, &a, &person).unwrap();
            }
            "pulled at rest" => {
                a.wait_state(&["synced"]).unwrap();
                rig.bridge.eject(&person.card).unwrap();
                wiped(&a);
            }
            "pulled in an upload" => {
                for i in 0..200 {
                    std::fs::write(a.data.join(format!("many {i}")), format!("{i} {text}"))
                        .unwrap();
                }
                rig.bridge.eject(&person.card).unwrap();
                wiped(&a);
            }
            _ => {
                let b = joined_and_left(&mut rig, &mut person, &a);
                let removed = a.simsync(&["terminals", "remove", &b, "--yes"], &person.secrets());
                removed.unwrap().ok("simsync terminals remove").unwrap();
                rig.bridge.eject(&person.card).unwrap();
                wiped(&a);
            }
        }
        let mut needles = needles(&a, &person, &word);
        needles.extend(before);
        nothing_is_left(&a, &needles).unwrap_or_else(|why| panic!("{way}: {why}"));
    }
}

/// Another terminal joins and is not seen again; the card is back in `a`, and a session open. Answers its name.
fn joined_and_left(rig: &mut Rig, person: &mut Person, a: &Terminal) -> String {
    rig.bridge.eject(&person.card).unwrap();
    wiped(a);
    joined(rig, person, "B").unwrap();
    insert(rig, a, person).unwrap();
    unlock(a, person).unwrap();
    "B".to_owned()
}
