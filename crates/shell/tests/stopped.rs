//! A hidden prompt in a real shell with job control, on a pseudo-terminal: Ctrl-Z, `fg`, and the ends of a process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use simsync_shell::{Interrupt, Tty};

const ASKS: &str = "SIMSYNC_SHELL_TEST_ASKS";
const DEADLINE: Duration = Duration::from_secs(20);

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

/// Somebody who sits at a shell.
struct Person {
    shell: Child,
    keys: File,
    screen: mpsc::Receiver<Vec<u8>>,
    seen: String,
}

impl Person {
    fn new() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = || {
            let opened = File::options()
                .read(true)
                .write(true)
                .open(name.to_str().unwrap());
            Stdio::from(opened.unwrap())
        };
        let shell = Command::new("setsid")
            .args(["--ctty", "--wait", "sh", "-i"])
            .env("PS1", "ready% ")
            .env("ENV", "/dev/null")
            .env("ASK", std::env::current_exe().unwrap())
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .unwrap();
        let keys = File::from(master);
        let mut screen = keys.try_clone().unwrap();
        let (tell, seen) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n) = screen.read(&mut buffer) {
                if n == 0 || tell.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut person = Self {
            shell,
            keys,
            screen: seen,
            seen: String::new(),
        };
        person.sees("ready% ");
        person
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for a text, and answers all that was shown up to it.
    fn sees(&mut self, text: &str) -> String {
        let until = Instant::now() + DEADLINE;
        while !self.seen.contains(text) {
            let left = until.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(more) => self.seen.push_str(&String::from_utf8_lossy(&more)),
                Err(_) => panic!("not seen: {text}; only {:?}", self.seen),
            }
        }
        let end = self.seen.find(text).unwrap() + text.len();
        let rest = self.seen.split_off(end);
        std::mem::replace(&mut self.seen, rest)
    }

    fn starts(&mut self) {
        self.types(&format!(
            "{ASKS}=1 \"$ASK\" --exact a_program_that_asks --nocapture\n"
        ));
        self.sees("first: ");
    }

    /// Whether the emulator shows what is typed.
    fn echoes(&self) -> bool {
        use rustix::termios::{LocalModes, tcgetattr};
        // The master's attributes are the slave's.
        tcgetattr(&self.keys)
            .unwrap()
            .local_modes
            .contains(LocalModes::ECHO)
    }

    fn leaves(mut self) {
        self.types("exit\nexit\n");
        self.shell.wait().unwrap();
    }
}

#[test]
fn f_g1_after_ctrl_z_and_fg_nothing_is_echoed() {
    let mut person = Person::new();
    person.starts();
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
    let mut person = Person::new();
    person.starts();
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
    let mut person = Person::new();
    for key in ["\x03", "\x1c"] {
        person.starts();
        person.types(key);
        person.sees("ready% ");
        assert!(person.echoes());
    }
    person.leaves();
}
