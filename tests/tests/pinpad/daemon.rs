//! simsyncd at such a reader.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use simsync_rig::demo::{Person, insert, pair, provision, pull};
use simsync_rig::rig::{CliResult, DEADLINE, Rig, Secrets, Terminal, program, wait_for};
use simsync_test_ifd::VERIFY_LINE;

use super::{NEW_PIN, PIN, never_crossed, ok, typing};

/// `simsync …` of somebody who sits at the terminal and gives it nothing but the terminal's PIN.
fn simsync(t: &Terminal, person: &Person, args: &[&str]) -> CliResult {
    let secrets = Secrets::give("--terminal-pin-fd", &person.terminal_pin);
    t.simsync(args, &secrets).unwrap()
}

/// A person whose terminal has a reader with a pad, and whose PIN was only ever typed there; the card is in, no session open.
fn paired_at_pad(rig: &mut Rig, name: &str) -> (Terminal, Person) {
    let t = rig.terminal_with_pad(name, &json!({})).unwrap();
    let pad = t.pad.clone().unwrap();
    let mut person = provision(rig, &t, "card").unwrap();
    insert(rig, &t, &person).unwrap();
    // The first change is typed at the computer, and so is all of the first pairing.
    pair(&t, &mut person, true).unwrap();
    assert_eq!(pad.count(VERIFY_LINE).unwrap(), 0);
    let keys = [ok(&person.pin), ok(PIN), ok(PIN)];
    let changed = typing(&pad, &[&keys[0], &keys[1], &keys[2]], || {
        simsync(&t, &person, &["pin", "change"])
    });
    let changed = changed.ok("simsync pin change").unwrap();
    assert!(
        changed.stderr.contains("Type on the reader Terminal A"),
        "{}",
        changed.stderr
    );
    person.pin = PIN.to_owned();
    // While `pair` was there to give the PIN, a session may have been opened, too.
    pull(rig, &t, &person).unwrap();
    insert(rig, &t, &person).unwrap();
    (t, person)
}

/// Whether the memory of a process holds these bytes.
fn memory_holds(pid: u32, needle: &[u8]) -> bool {
    use std::os::unix::fs::FileExt;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mem = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    maps.lines()
        .filter(|l| l.split(' ').nth(1).is_some_and(|p| p.starts_with("rw")))
        .any(|line| {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let from = u64::from_str_radix(from, 16).unwrap();
            let to = u64::from_str_radix(to, 16).unwrap();
            let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
            let read = mem.read_at(&mut bytes, from).unwrap_or(0);
            bytes[..read].windows(needle.len()).any(|w| w == needle)
        })
}

/// A command of `simsync` that failed, and how it says so.
fn failed_with(told: &CliResult, exit: i32, code: &str, sentence: &str) {
    let error = &told.json["error"];
    assert_eq!(
        (told.code, error["code"].as_str()),
        (exit, Some(code)),
        "{told:?}"
    );
    let message = error["sentence"].as_str().unwrap();
    assert!(message.contains(sentence), "{message}");
}

fn unlock_at_pad(t: &Terminal, person: &Person) -> CliResult {
    let pad = t.pad.clone().unwrap();
    let unlocked = typing(&pad, &[&ok(&person.pin)], || {
        simsync(t, person, &["unlock"])
    });
    let unlocked = unlocked.ok("simsync unlock").unwrap();
    t.wait_state(&["synced"]).unwrap();
    unlocked
}

#[test]
fn a_session_is_opened_by_a_pin_that_the_computer_never_has() {
    let mut rig = Rig::start().unwrap();
    let (t, person) = paired_at_pad(&mut rig, "A");
    let pad = t.pad.clone().unwrap();
    let told = unlock_at_pad(&t, &person).stderr;
    assert!(
        told.contains("Type the PIN on the reader Terminal A 00 00 to open the session."),
        "{told}"
    );

    // A collection is signed for by the card: typed once more, and the person is told for what.
    std::fs::write(t.data.join("first.txt"), "first").unwrap();
    let path = t.data.to_string_lossy().into_owned();
    let added = typing(&pad, &[&ok(PIN)], || {
        simsync(&t, &person, &["collections", "add", "Documents", &path])
    });
    let added = added.ok("collections add").unwrap();
    assert!(
        added.stderr.contains("to sign the list"),
        "{}",
        added.stderr
    );
    std::fs::write(t.data.join("second.txt"), "second").unwrap();
    simsync(&t, &person, &["sync"]).ok("sync").unwrap();

    // Another terminal of the person's, with a pad too: the pairing needs three entries, and each is told.
    simsync(&t, &person, &["eject"]).ok("eject").unwrap();
    pull(&mut rig, &t, &person).unwrap();
    let b = rig.terminal_with_pad("B", &json!({})).unwrap();
    let pad_b = b.pad.clone().unwrap();
    insert(&mut rig, &b, &person).unwrap();
    let three = [ok(PIN), ok(PIN), ok(PIN)];
    let paired = typing(&pad_b, &[&three[0], &three[1], &three[2]], || {
        simsync(&b, &person, &["pair"])
    });
    let paired = paired.ok("simsync pair").unwrap();
    let purposes = [
        "to see whose card it is",
        "to write this terminal",
        "to sign",
    ];
    let told: Vec<usize> = purposes
        .iter()
        .map(|p| {
            paired
                .stderr
                .find(p)
                .unwrap_or_else(|| panic!("{p}: {}", paired.stderr))
        })
        .collect();
    assert!(told.is_sorted(), "{}", paired.stderr);
    b.wait_status("the card to be known after pairing", |s| {
        s["cards"]
            .as_array()
            .is_some_and(|c| c.iter().any(|c| c["state"] == "paired"))
    })
    .unwrap();
    unlock_at_pad(&b, &person);
    let path = b.data.to_string_lossy().into_owned();
    typing(&pad_b, &[&ok(PIN)], || {
        simsync(&b, &person, &["collections", "add", "Documents", &path])
    })
    .ok("collections add on B")
    .unwrap();
    let arrived = || (std::fs::read(b.data.join("second.txt")).ok()? == b"second").then_some(());
    wait_for("the data on B", DEADLINE, arrived).unwrap();

    // Neither the wires nor the daemons ever had it; what they do have is found.
    never_crossed(&pad, 0, &[PIN]);
    never_crossed(&pad_b, 0, &[PIN]);
    for terminal in [&t, &b] {
        let daemon = terminal.daemon_pid().unwrap();
        assert!(!memory_holds(daemon, PIN.as_bytes()), "{}", terminal.name);
        assert!(memory_holds(daemon, person.subscriber.as_bytes()));
    }

    // Leaving takes two: the list is signed without this terminal, then the card forgets it.
    let left = typing(&pad_b, &[&ok(PIN), &ok(PIN)], || {
        simsync(&b, &person, &["unpair", "--yes"])
    });
    let left = left.ok("simsync unpair").unwrap();
    assert!(
        left.stderr.contains("to take a terminal off the card"),
        "{}",
        left.stderr
    );
}

#[test]
fn what_goes_wrong_at_the_pad_is_said_and_the_daemon_goes_on() {
    let mut rig = Rig::start().unwrap();
    let (t, person) = paired_at_pad(&mut rig, "A");
    let pad = t.pad.clone().unwrap();
    let unlock = |keys: &[&str]| typing(&pad, keys, || simsync(&t, &person, &["unlock"]));

    // A wrong one: said, with the tries that are left, and asked for again.
    let told = unlock(&["9999 ok", "cancel"]);
    failed_with(&told, 8, "pin-declined", "cancelled on the reader");
    let again = "That was not accepted. Type the PIN on the reader Terminal A 00 00 to open the session, 2 tries left.";
    assert!(told.stderr.contains(again), "{}", told.stderr);
    t.wait_status("the tries to be counted", |s| {
        s["cards"][0]["pin_tries"] == 2
    })
    .unwrap();
    let told = unlock(&["timeout"]);
    failed_with(
        &told,
        8,
        "pin-timeout",
        "nobody typed the PIN on the reader in time",
    );
    let told = unlock(&["123 ok"]);
    failed_with(&told, 5, "pin-format", "4 to 8 digits");

    // The card is pulled while the reader waits.
    let told = std::thread::scope(|scope| {
        let mut finger = pad.finger().unwrap();
        let command = scope.spawn(|| simsync(&t, &person, &["unlock"]));
        finger.wait().unwrap();
        rig.bridge.eject(&person.card).unwrap();
        command.join().unwrap()
    });
    // The reader's end of the wait and pcscd's word of the removal come in either order.
    assert_eq!(told.code, 6, "{told:?}");
    let sentence = told.json["error"]["sentence"].as_str().unwrap();
    assert!(
        sentence.ends_with("put it in again") || sentence.ends_with("put it in"),
        "{sentence}"
    );
    t.wait_status("the card to be gone", |s| {
        s["cards"].as_array().is_some_and(Vec::is_empty)
    })
    .unwrap();
    insert(&mut rig, &t, &person).unwrap();
    unlock_at_pad(&t, &person);

    // A new PIN, and its repetition that is another one; then the old one counts still.
    let change = |keys: &[&str]| typing(&pad, keys, || simsync(&t, &person, &["pin", "change"]));
    let told = change(&[&ok(PIN), &ok(NEW_PIN), &ok("59306185")]);
    failed_with(&told, 5, "pins-differ", "nothing was changed");
    let told = change(&["9999 ok", &ok(NEW_PIN), &ok(NEW_PIN)]);
    failed_with(&told, 5, "pin-incorrect", "wrong PIN; 2 tries left");
}

/// `simsync unlock`, to be interrupted.
fn start_unlock(t: &Terminal, person: &Person) -> Child {
    let mut command = Command::new(program("simsync").unwrap());
    command
        .args([
            "--bus",
            &t.bus_address(),
            "unlock",
            "--terminal-pin-fd",
            "0",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}", person.terminal_pin).unwrap();
    child
}

#[test]
fn who_takes_it_back_at_the_computer_opens_nothing_by_typing_on() {
    let mut rig = Rig::start().unwrap();
    let (t, person) = paired_at_pad(&mut rig, "A");
    let pad = t.pad.clone().unwrap();
    let mut finger = pad.finger().unwrap();
    let child = start_unlock(&t, &person);
    finger.wait().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let told = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&told.stderr);
    assert_eq!(told.status.code(), Some(8), "{stderr}");
    t.wait_status("the opening to be over", |s| s["state"] == "locked")
        .unwrap();
    // The reader waits still, since nobody can stop it; the PIN that comes now opens no session.
    let before = pad.wire().unwrap().len();
    finger.press(&ok(PIN)).unwrap();
    let after = || {
        let wire = pad.wire().ok()?.split_off(before);
        wire.lines()
            .find(|l| l.starts_with("transmit >"))
            .map(str::to_owned)
    };
    let next = wait_for("the next command", DEADLINE, after).unwrap();
    assert!(next.starts_with("transmit > 00a40400"), "{next}");
    assert!(pad.wire().unwrap()[before..].starts_with("control 42330006 < 9000"));
    unlock_at_pad(&t, &person);
}

/// Whoever orders meanwhile: the person's fingers are on the reader, and one PIN opens the session for both.
#[test]
fn f_g_a_second_order_takes_nothing_from_a_person_at_the_pad() {
    let mut rig = Rig::start().unwrap();
    let (t, person) = paired_at_pad(&mut rig, "A");
    let pad = t.pad.clone().unwrap();
    let orders = pad.count(VERIFY_LINE).unwrap();
    let mut finger = pad.finger().unwrap();
    let first = start_unlock(&t, &person);
    finger.wait().unwrap();
    let second = start_unlock(&t, &person);
    t.wait_status("both orders", |s| {
        let jobs = s["jobs"].as_array().into_iter().flatten();
        jobs.filter(|j| j["kind"] == "unlock").count() == 2
    })
    .unwrap();
    finger.press(&ok(PIN)).unwrap();
    for child in [first, second] {
        let told = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&told.stderr);
        assert_eq!(told.status.code(), Some(0), "{stderr}");
    }
    assert_eq!(pad.count(VERIFY_LINE).unwrap(), orders + 1);
}

#[test]
fn a_pad_that_is_not_to_be_used_is_not_used() {
    let mut rig = Rig::start().unwrap();
    let (mut t, person) = paired_at_pad(&mut rig, "A");
    let pad = t.pad.clone().unwrap();
    // A script that has the PIN gives it.
    let orders = pad.count(VERIFY_LINE).unwrap();
    t.simsync(&["unlock"], &person.secrets())
        .unwrap()
        .ok("simsync unlock --pin-fd")
        .unwrap();
    t.wait_state(&["synced"]).unwrap();
    assert_eq!(pad.count(VERIFY_LINE).unwrap(), orders);
    // Switched off, a person without a terminal to type on cannot be asked.
    t.stop_daemon().unwrap();
    t.configure(&json!({ "pin_pad": "off" })).unwrap();
    t.start_daemon().unwrap();
    t.wait_status("the card", |s| s["cards"][0]["state"] == "paired")
        .unwrap();
    let told = simsync(&t, &person, &["unlock"]);
    failed_with(&told, 8, "no-agent", "nobody is there to ask");
    assert_eq!(pad.count(VERIFY_LINE).unwrap(), orders);
}
