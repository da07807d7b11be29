//! What is left in the daemon's memory when a session has ended: no key, no PIN, no code, and nothing of the files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use std::os::unix::fs::FileExt;

use simsync_rig::demo::{Person, insert, pull, unlock};
use simsync_rig::rig::{DEADLINE, Rig, Secrets, Terminal, mark, wait_for};
use simsync_rig::scene::{joined, paired, seed};
use simsync_vault::keyobject::RECOVERY_ID;
use simsync_vault::keys::VaultKey;
use simsyncd::recovery::RecoveryCode;
use simsyncd::store::Store;

/// As long as a card PIN can be, so that it is not found by chance.
const PIN: &str = "97531864";

/// What must not be found, with its name.
type Needles = Vec<(String, Vec<u8>)>;

/// Which of these the writable memory of a process holds.
fn found(pid: u32, needles: &Needles) -> Vec<String> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mem = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut out = Vec::new();
    let mut by_first: Vec<Vec<usize>> = vec![Vec::new(); 256];
    for (i, (_, bytes)) in needles.iter().enumerate() {
        by_first[usize::from(bytes[0])].push(i);
    }
    let writable = |l: &&str| l.split(' ').nth(1).is_some_and(|p| p.starts_with("rw"));
    for line in maps.lines().filter(writable) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let from = u64::from_str_radix(from, 16).unwrap();
        let to = u64::from_str_radix(to, 16).unwrap();
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        let read = mem.read_at(&mut bytes, from).unwrap_or(0);
        let hay = &bytes[..read];
        for (at, byte) in hay.iter().enumerate() {
            for i in &by_first[usize::from(*byte)] {
                if hay[at..].starts_with(&needles[*i].1) {
                    let region = line.split_whitespace().nth(5).unwrap_or("anonymous");
                    out.push(format!("{} in {region}", needles[*i].0));
                }
            }
        }
    }
    out.sort();
    out.dedup();
    out
}

/// The keys of the vault's newest epoch, by the recovery code and the terminal's own copy of the key object.
fn keys(t: &Terminal, person: &Person) -> Needles {
    let code = RecoveryCode::parse(person.recovery.as_deref().unwrap()).unwrap();
    let store = Store::open(&t.home.join("state/state.db")).unwrap();
    let object = store.key_objects().unwrap().pop().unwrap();
    let wrap = store.wrap(&RECOVERY_ID).unwrap().unwrap();
    let key = VaultKey::unwrap_with_key(&object, &wrap, &code.kem_secret()).unwrap();
    let named = key.secrets_for_tests().into_iter().enumerate();
    let name = |i| format!("key {i} of epoch {}", object.body.epoch);
    named.map(|(i, k)| (name(i), k.to_vec())).collect()
}

fn needles(t: &Terminal, person: &Person, content: &str) -> Needles {
    let mut out = keys(t, person);
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

/// Waits until nothing is left: what is cleared is cleared soon, not at once.
fn nothing_is_left(t: &Terminal, needles: &Needles, what: &str) {
    let pid = t.daemon_pid().unwrap();
    let mut last = Vec::new();
    let gone = wait_for("nothing to be left", DEADLINE, || {
        last = found(pid, needles);
        last.is_empty().then_some(())
    });
    assert!(gone.is_ok(), "{what}: {last:?}\n{}", t.daemon_log());
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
        let before = keys(&a, &person);
        let pid = a.daemon_pid().unwrap();
        assert!(
            !found(pid, &before).is_empty(),
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
        nothing_is_left(&a, &needles, way);
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
