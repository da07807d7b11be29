//! Openings that several programs wait for, and what a person sees of them at a real shell.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use simsync_rig::demo::{eject, insert};
use simsync_rig::rig::{Rig, Terminal, program};
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

fn opened(at: &mut AtShell) {
    at.sees("The session is open.");
    at.types("echo code $?\n");
    at.sees("code 0");
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
