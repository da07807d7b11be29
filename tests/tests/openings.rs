//! Openings that several programs wait for, and what a person sees of them at a real shell.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use simsync_rig::demo::{Person, eject, insert, pair, pull, unlock};
use simsync_rig::rig::{Rig, Secrets, Terminal, mark, program};
use simsync_rig::scene::{paired, seed};
use simsync_shell::testing::{AtShell, READY};

/// Somebody at a shell of this terminal, where `$SIMSYNC` is the command.
fn at_shell(t: &Terminal) -> AtShell {
    let (bus, own) = (t.bus_address(), program("simsync").unwrap());
    AtShell::new(&[
        ("SIMSYNC_BUS_ADDRESS", bus.as_ref()),
        ("SIMSYNC", own.as_os_str()),
    ])
}

/// Types the PIN where it is asked for, and the terminal's where that is.
fn gives_pins(at: &mut AtShell, person: &Person) {
    at.types(&format!("{}\n", person.terminal_pin));
    at.sees("PIN of the card in");
    at.types(&format!("{}\n", person.pin));
}

fn opened(at: &mut AtShell) {
    at.sees("The session is open.");
    at.types("echo code $?\n");
    at.sees("code 0");
}

#[test]
fn f_g_a_second_unlock_is_asked_while_the_first_one_is_suspended() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (mut a, anna) = paired(&mut rig, "A").unwrap();
    // Its key is sealed: that question moves, too.
    a.stop_daemon().unwrap();
    a.start_daemon().unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    let (mut first, mut second) = (at_shell(&a), at_shell(&a));
    first.types("\"$SIMSYNC\" unlock\n");
    first.sees("PIN of this terminal: ");
    // Suspended in the middle of the PIN, and left alone.
    first.types("123");
    first.types("\x1a");
    first.sees(READY);
    second.types("\"$SIMSYNC\" unlock\n");
    second.sees("PIN of this terminal: ");
    gives_pins(&mut second, &anna);
    opened(&mut second);
    // The first one was told, and hears how it ended.
    first.types("fg; echo code $?\n");
    let shown = first.sees("code 0");
    for said in ["It is not asked for here any more.", "The session is open."] {
        assert!(shown.contains(said), "{shown}");
    }
    first.leaves();
    second.leaves();
    eject(&mut rig, &a, &anna).unwrap();
}

#[test]
fn f_g_a_wrong_pin_of_one_does_not_end_the_wait_of_another() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, anna) = paired(&mut rig, "A").unwrap();
    let mut first = at_shell(&a);
    first.types("\"$SIMSYNC\" unlock --await-card\n");
    first.sees("Put your card in.");
    insert(&mut rig, &a, &anna).unwrap();
    first.sees("PIN of the card in");
    // A script takes the question over, twice, and gives what is wrong.
    for pin in ["0000", "0001"] {
        let wrong = a.simsync(&["unlock"], &Secrets::give("--pin-fd", pin));
        let wrong = wrong.unwrap();
        assert_eq!(wrong.code, 5, "{}", wrong.json);
        // The first one still waits, and is asked again: nothing that it said was wrong.
        let shown = first.sees("PIN of the card in");
        assert!(!shown.contains("not accepted"), "{shown}");
    }
    first.types(&format!("{}\n", anna.pin));
    opened(&mut first);
    // Whoever declines ends its own wait only, too.
    pull(&mut rig, &a, &anna).unwrap();
    first.types("\"$SIMSYNC\" unlock --await-card\n");
    first.sees("Put your card in.");
    insert(&mut rig, &a, &anna).unwrap();
    first.sees("PIN of the card in");
    let mut second = at_shell(&a);
    second.types("\"$SIMSYNC\" unlock\n");
    second.sees("PIN of the card in");
    second.types("\n");
    second.sees("the PIN was not given");
    first.sees("PIN of the card in");
    first.types(&format!("{}\n", anna.pin));
    opened(&mut first);
    first.leaves();
    second.leaves();
    eject(&mut rig, &a, &anna).unwrap();
}

#[test]
fn f_g_a_pin_that_is_typed_before_the_card_is_in_is_not_shown() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, anna) = paired(&mut rig, "A").unwrap();
    let mut at = at_shell(&a);
    at.types("\"$SIMSYNC\" unlock --await-card\n");
    at.sees("Put your card in.");
    assert!(!at.echoes());
    at.types("4711\n");
    // Suspended, the shell shows what is typed; continued, the command does not.
    at.types("\x1a");
    let shown = at.sees(READY);
    assert!(at.echoes() && !shown.contains("4711"), "{shown}");
    at.types("fg\n");
    at.until("the echo to be off again", |at| !at.echoes());
    at.types(&format!("{}\n", anna.pin));
    insert(&mut rig, &a, &anna).unwrap();
    let shown = at.sees("PIN of the card in");
    assert!(
        !shown.contains("4711") && !shown.contains(&anna.pin),
        "{shown}"
    );
    // It was no answer: the card is still asked for its PIN.
    assert_eq!(a.status().unwrap()["state"], "opening");
    at.types(&format!("{}\n", anna.pin));
    opened(&mut at);
    assert!(at.echoes());
    eject(&mut rig, &a, &anna).unwrap();
    // Ctrl-C while it waits: the echo is back, and the shell gets nothing of what was typed.
    at.types("\"$SIMSYNC\" unlock --await-card\n");
    at.sees("Put your card in.");
    at.types("4711\n");
    at.types("\x03");
    let shown = at.sees(READY);
    assert!(!shown.contains("4711"), "{shown}");
    assert!(at.echoes());
    at.leaves();
}

#[test]
fn f_g_what_is_sealed_and_not_delivered_is_named_before_a_pairing_is_forgotten() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, anna) = paired(&mut rig, "A").unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    unlock(&a, &anna).unwrap();
    a.wire.set_down(true);
    std::fs::write(a.data.join("sealed.txt"), "sealed").unwrap();
    pull(&mut rig, &a, &anna).unwrap();
    a.wait_status("the tail", |s| {
        s["tails_waiting"] == 1 && s["sealed_changes"] == 1
    })
    .unwrap();
    let mut at = at_shell(&a);
    at.types("\"$SIMSYNC\" unpair --forget\n");
    let shown = at.sees("Forget it? [y/N] ");
    assert!(
        shown.contains("changes of 1 file that are sealed here and not delivered"),
        "{shown}"
    );
    at.types("n\n");
    at.sees(READY);
    let done = a.simsync(&["unpair", "--forget", "--yes"], &Secrets::default());
    let done = done.unwrap().ok("simsync unpair --forget").unwrap();
    assert_eq!(done.json["job"]["result"]["dropped"], "1", "{}", done.json);
    assert!(a.data.join("sealed.txt").exists());
    at.leaves();
}

/// The server takes what is sent and says nothing; what waits for it is no reason to wait.
#[test]
fn f_g_forgetting_the_pairing_needs_no_server() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut anna) = paired(&mut rig, "A").unwrap();
    let forget = || {
        let args = ["unpair", "--forget", "--yes", "--timeout", "8"];
        let done = a.simsync(&args, &Secrets::default()).unwrap();
        done.ok("simsync unpair --forget").unwrap();
        assert_eq!(a.status().unwrap()["state"], "unpaired");
    };
    insert(&mut rig, &a, &anna).unwrap();
    unlock(&a, &anna).unwrap();
    // A sync waits for an answer.
    a.wire.hold_when(|| true);
    std::fs::write(a.data.join("new.txt"), "new").unwrap();
    a.wait_status("a sync that waits", |s| {
        a.wire.is_held() && s["state"] == "syncing"
    })
    .unwrap();
    forget();
    a.wire.release();
    // An order waits for one, before anything can be cancelled.
    pair(&a, &mut anna, false).unwrap();
    a.wire.hold_when(|| true);
    let renaming = std::thread::scope(|scope| {
        let args = ["pair", "--label", "Other"];
        let secrets = anna.secrets();
        let a = &a;
        let renaming = scope.spawn(move || a.simsync(&args, &secrets).unwrap());
        a.wait_status("an order that waits", |s| {
            let jobs = s["jobs"].as_array().into_iter().flatten();
            a.wire.is_held() && jobs.into_iter().any(|j| j["kind"] == "pair")
        })
        .unwrap();
        forget();
        renaming.join().unwrap()
    });
    assert_eq!(renaming.code, 8, "{}", renaming.json);
}

#[test]
fn w_5_a_prompt_that_nobody_answers_holds_up_no_removal() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, anna) = paired(&mut rig, "A").unwrap();
    insert(&mut rig, &a, &anna).unwrap();
    unlock(&a, &anna).unwrap();
    let mut at = at_shell(&a);
    // Whoever cancels is rid of it, and the next order goes on.
    at.types("\"$SIMSYNC\" pin change --terminal\n");
    at.sees("PIN of this terminal: ");
    at.types("\x03");
    at.sees(READY);
    let synced = a.simsync(&["sync"], &Secrets::default()).unwrap();
    synced.ok("simsync sync").unwrap();
    // Left alone, and the card is pulled with something unsent.
    at.types("\"$SIMSYNC\" pin change --terminal; echo code $?\n");
    at.sees("PIN of this terminal: ");
    std::fs::write(a.data.join("unsent.txt"), "unsent").unwrap();
    rig.bridge.eject(&anna.card).unwrap();
    a.wait_status("what is left to be sealed and delivered", |s| {
        mark(s, "removed").is_some() && mark(s, "tail-delivered") >= mark(s, "removed")
    })
    .unwrap();
    at.sees("code 8");
    at.leaves();
}
