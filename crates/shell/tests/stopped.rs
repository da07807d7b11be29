//! A hidden prompt in a real shell with job control, on a pseudo-terminal: Ctrl-Z, `fg`, and the ends of a process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use simsync_shell::testing::AtShell;
use simsync_shell::{Interrupt, Tty};

const ASKS: &str = "SIMSYNC_SHELL_TEST_ASKS";
/// A file that the program waits for before it asks.
const WAITS: &str = "SIMSYNC_SHELL_TEST_WAITS";

/// What the shell runs: this very test program, as a program that asks.
#[test]
fn a_program_that_asks() {
    if std::env::var_os(ASKS).is_none() {
        return;
    }
    let tty = Tty::controlling(Default::default(), Interrupt::Ends).unwrap();
    let first = tty.hidden("first: ").map(|s| s.len());
    let second = tty.hidden("second: ").map(|s| s.len());
    tty.say(&format!("lengths: {first:?} {second:?}.\n"));
}

/// The same, as a program that waits before it asks.
#[test]
fn a_program_that_waits() {
    let Some(file) = std::env::var_os(WAITS) else {
        return;
    };
    let tty = Tty::controlling(Default::default(), Interrupt::Ends).unwrap();
    let silence = tty.silence();
    tty.say(&format!("waiting {}.\n", silence.is_some()));
    while !std::path::Path::new(&file).exists() {
        std::thread::park_timeout(std::time::Duration::from_millis(4));
    }
    let first = tty.hidden("first: ").map(|s| s.len());
    let between = tty.shown("between: ").map(|s| s.len());
    let second = tty.hidden("second: ").map(|s| s.len());
    tty.say(&format!("lengths: {first:?} {between:?} {second:?}.\n"));
    drop(silence);
}

/// A shell that can start this program with what `asks` says.
fn at_shell() -> AtShell {
    let own = std::env::current_exe().unwrap();
    AtShell::new(&[("ASK", own.as_os_str())])
}

fn starts(person: &mut AtShell) {
    person.types(&format!(
        "{ASKS}=1 \"$ASK\" --exact a_program_that_asks --nocapture\n"
    ));
    person.sees("first: ");
}

#[test]
fn f_g1_after_ctrl_z_and_fg_nothing_is_echoed() {
    let mut person = at_shell();
    starts(&mut person);
    person.types("\x1a");
    person.sees("ready% ");
    assert!(
        person.echoes(),
        "the shell has its echo while the program is stopped"
    );
    // A shell that sets up what it likes; `fg` does not undo it.
    person.types("stty echo; fg\n");
    person.sees("first: ");
    person.types("4711\n");
    let shown = person.sees("second: ");
    assert!(!shown.contains("4711"), "{shown}");
    // Once more, at another prompt, with something typed already.
    person.types("08");
    person.types("\x1a");
    person.sees("ready% ");
    person.types("fg\n");
    person.sees("second: ");
    person.types("0815x\n");
    let shown = person.sees("lengths: ");
    assert!(!shown.contains("0815"), "{shown}");
    person.sees("Some(4) Some(5).");
    person.sees("ready% ");
    assert!(person.echoes());
    person.leaves();
}

#[test]
fn f_g1_stopped_and_continued_from_outside_nothing_is_echoed() {
    let mut person = at_shell();
    starts(&mut person);
    person.types("\x1a");
    person.sees("ready% ");
    // SIGSTOP gives no program a chance to put anything in order.
    person.types("kill -STOP %1; stty echo; fg\n");
    person.sees("first: ");
    person.types("4711\n");
    let shown = person.sees("second: ");
    assert!(!shown.contains("4711"), "{shown}");
    person.types("\x03");
    person.sees("ready% ");
    person.leaves();
}

#[test]
fn f_g1_a_prompt_that_is_ended_by_a_signal_leaves_the_echo_on() {
    let mut person = at_shell();
    for key in ["\x03", "\x1c"] {
        starts(&mut person);
        person.types(key);
        person.sees("ready% ");
        assert!(person.echoes());
    }
    person.leaves();
}

fn waits(person: &mut AtShell, file: &std::path::Path) {
    person.types(&format!(
        "{WAITS}={} \"$ASK\" --exact a_program_that_waits --nocapture\n",
        file.display()
    ));
    person.sees("waiting true.");
    assert!(!person.echoes());
}

#[test]
fn f_g_what_is_typed_ahead_is_not_shown_and_answers_nothing() {
    let mut person = at_shell();
    let dir = tempfile::tempdir().unwrap();
    let come = dir.path().join("come");
    waits(&mut person, &come);
    person.types("4711\n");
    // Stopped and continued: the shell has its echo, the program none.
    person.types("\x1a");
    let shown = person.sees("ready% ");
    assert!(!shown.contains("4711"), "{shown}");
    assert!(person.echoes());
    person.types("stty echo; fg\n");
    person.until("the echo to be off again", |p| !p.echoes());
    person.types("4712\n");
    std::fs::write(&come, "").unwrap();
    let shown = person.sees("first: ");
    assert!(!shown.contains("471"), "{shown}");
    person.types("0815x\n");
    // What is asked openly is seen, and only that.
    person.sees("between: ");
    person.until("the echo", AtShell::echoes);
    person.types("yes\n");
    let shown = person.sees("second: ");
    assert!(shown.contains("yes") && !shown.contains("0815x"), "{shown}");
    person.types("123456\n");
    let shown = person.sees("lengths: ");
    assert!(!shown.contains("123456"), "{shown}");
    person.sees("Some(5) Some(3) Some(6).");
    person.sees("ready% ");
    assert!(person.echoes());
    person.leaves();
}

#[test]
fn f_g_a_wait_that_is_ended_by_a_signal_leaves_the_echo_on_and_nothing_for_the_shell() {
    let mut person = at_shell();
    let dir = tempfile::tempdir().unwrap();
    for key in ["\x03", "\x1c"] {
        waits(&mut person, &dir.path().join("never"));
        person.types("4711\n");
        person.types(key);
        let shown = person.sees("ready% ");
        assert!(!shown.contains("4711"), "{shown}");
        assert!(person.echoes());
    }
    // In the background it waits and is not stopped; nobody types there.
    let come = dir.path().join("come");
    person.types(&format!(
        "{WAITS}={} \"$ASK\" --exact a_program_that_waits --nocapture &\n",
        come.display()
    ));
    person.sees("waiting false.");
    person.types("echo here\n");
    person.sees("here");
    person.sees("here");
    person.types("kill %1; wait\n");
    person.leaves();
}
