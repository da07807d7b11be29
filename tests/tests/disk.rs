//! What somebody finds who takes the server's disk home (B1).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use std::path::Path;

use simsync_rig::demo::{Person, eject, insert, pull, unlock};
use simsync_rig::impostor::Impostor;
use simsync_rig::rig::{Rig, Secrets, Terminal, mark};
use simsync_rig::scene::{joined, paired, seed};
use simsync_rig::tree;
use simsync_vault::keyobject::RECOVERY_ID;
use simsync_vault::keys::VaultKey;
use simsyncd::recovery::RecoveryCode;
use simsyncd::store::Store;

/// Something to look for, and what it is.
struct Needle {
    what: String,
    bytes: Vec<u8>,
}

fn needle(what: impl Into<String>, bytes: impl AsRef<[u8]>) -> Needle {
    let (what, bytes) = (what.into(), bytes.as_ref().to_vec());
    assert!(
        bytes.len() >= 4,
        "{what} is too short to be told from chance"
    );
    Needle { what, bytes }
}

/// A secret as it is, and as it would stand in JSON or a log.
fn key(needles: &mut Vec<Needle>, what: &str, bytes: &[u8]) {
    use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, Engine as _};
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    needles.push(needle(what, bytes));
    needles.push(needle(format!("{what} in hex"), hex.to_uppercase()));
    needles.push(needle(format!("{what} in hex"), hex));
    let encoded = BASE64_STANDARD_NO_PAD.encode(bytes);
    assert!(BASE64_STANDARD.encode(bytes).starts_with(&encoded));
    // The last character depends on what follows.
    let whole = &encoded[..encoded.len() - 1];
    needles.push(needle(format!("{what} in base64"), whole));
}

/// All vault keys that ever were, and all that is derived from them, by the recovery code.
fn vault_keys(needles: &mut Vec<Needle>, terminal: &Terminal, person: &Person) {
    let code = RecoveryCode::parse(person.recovery.as_deref().unwrap()).unwrap();
    let store = Store::open(&terminal.home.join("state/state.db")).unwrap();
    let object = store.key_objects().unwrap().pop().unwrap();
    let wrap = store.wrap(&RECOVERY_ID).unwrap().unwrap();
    let vault = VaultKey::unwrap_with_key(&object, &wrap, &code.kem_secret()).unwrap();
    for (n, secret) in vault.secrets_for_tests().iter().enumerate() {
        key(needles, &format!("key {n} of the vault"), secret);
    }
}

/// Which needles stand in which files below a folder.
fn search(root: &Path, needles: &[Needle]) -> Vec<String> {
    let mut found = Vec::new();
    for file in tree::walk(root).unwrap() {
        let path = root.join(&file);
        if !path.is_file() {
            continue;
        }
        let hay = std::fs::read(&path).unwrap();
        // Names of files tell as well as what is in them.
        let name = path.to_string_lossy().into_owned().into_bytes();
        for n in needles {
            if contains(&hay, &n.bytes) || contains(&name, &n.bytes) {
                found.push(format!("{} in {}", n.what, file.display()));
            }
        }
    }
    found
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    let first = needle[0];
    let mut from = 0;
    while let Some(at) = hay[from..].iter().position(|b| *b == first) {
        from += at;
        if hay[from..].starts_with(needle) {
            return true;
        }
        from += 1;
    }
    false
}

#[test]
fn b1_the_servers_disk_holds_no_name_no_content_and_no_key() {
    let seed = seed();
    let mut rig = Rig::start().unwrap();
    let (a, mut person) = paired(&mut rig, "A").unwrap();
    let b = joined(&mut rig, &mut person, "B").unwrap();
    let mut needles = vec![
        needle("name of the collection", "Documents"),
        needle("name of a file", "first.txt"),
    ];
    // Names and contents: small, large enough for chunks, in folders, renamed, deleted.
    let mut put = |t: &Terminal, name: &str, repeat: usize| {
        let path = t.data.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let content = format!("content of {name}, seed {seed}. ");
        std::fs::write(&path, content.repeat(repeat)).unwrap();
        needles.push(needle(format!("content of {name}"), &content));
        for part in Path::new(name).components() {
            let part = part.as_os_str().to_string_lossy().into_owned();
            needles.push(needle(format!("name {part}"), &part));
        }
    };
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    put(&a, "Kündigungsschreiben.txt", 1);
    put(&a, "Befunde/Blutbild Anna.pdf", 60_000);
    put(&a, "Befunde/old name of it.txt", 3);
    eject(&mut rig, &a, &person).unwrap();
    std::fs::rename(
        a.data.join("Befunde/old name of it.txt"),
        a.data.join("Befunde/new name of it.txt"),
    )
    .unwrap();
    needles.push(needle("a new name", "new name of it.txt"));
    // A tail that nobody has merged, and one that somebody has.
    for (name, merged) in [
        ("only in a tail.txt", true),
        ("only in a later tail.txt", false),
    ] {
        insert(&mut rig, &a, &person).unwrap();
        unlock(&a, &person).unwrap();
        a.wire.set_down(true);
        a.wait_status("the server to be missed", |s| s["online"] == false)
            .unwrap();
        let path = a.data.join(name);
        let content = format!("content of {name}, seed {seed}");
        std::fs::write(path, &content).unwrap();
        needles.push(needle(name, &content));
        needles.push(needle(format!("name {name}"), name));
        pull(&mut rig, &a, &person).unwrap();
        a.wire.set_down(false);
        a.wait_status("the tail to be delivered", |s| {
            s["tails_waiting"] == 0 && mark(s, "tail-delivered") > mark(s, "removed")
        })
        .unwrap();
        let last = a.status().unwrap()["last_tail"].clone();
        assert!(last["items"].as_u64().unwrap() > 0, "{last}");
        if merged {
            insert(&mut rig, &b, &person).unwrap();
            unlock(&b, &person).unwrap();
            assert_eq!(std::fs::read_to_string(b.data.join(name)).unwrap(), content);
            eject(&mut rig, &b, &person).unwrap();
        }
    }
    // B goes, and its keys with it; the vault gets a new one.
    vault_keys(&mut needles, &a, &person);
    for t in [&a, &b] {
        let stolen = Impostor::of(t, &person).unwrap();
        key(
            &mut needles,
            &format!("{}'s private key", t.name),
            &*stolen.key.to_bytes(),
        );
    }
    let id = b.status().unwrap()["terminal"].as_str().unwrap().to_owned();
    rig.server
        .admin(&["terminal", "revoke", "--yes", &id])
        .unwrap();
    insert(&mut rig, &a, &person).unwrap();
    unlock(&a, &person).unwrap();
    vault_keys(&mut needles, &a, &person);
    // A PIN that is long enough to be told from chance.
    let order = Secrets::give("--pin-fd", &person.pin).and("--new-pin-fd", "Zq81xW7k");
    a.simsync(&["pin", "change"], &order)
        .unwrap()
        .ok("simsync pin change")
        .unwrap();
    person.pin = "Zq81xW7k".to_owned();
    needles.push(needle("the PIN", &person.pin));
    needles.push(needle("the terminal's PIN", &person.terminal_pin));
    needles.push(needle("the PUK", &person.puk));
    let code = person.recovery.clone().unwrap();
    needles.push(needle("the recovery code", &code));
    let words: Vec<&str> = code.split_whitespace().collect();
    for pair in words.windows(2) {
        needles.push(needle("two recovery words", pair.join(" ")));
    }
    let parsed = RecoveryCode::parse(&code).unwrap();
    needles.push(needle("recovery words", parsed.words()));

    // While it runs, with what its database has not moved from its log yet, and after it stopped.
    let folder = rig.server.dir.clone();
    let log = std::fs::metadata(folder.join("simsync.db-wal")).unwrap();
    assert!(log.len() > 0);
    assert_eq!(search(&folder, &needles), Vec::<String>::new());
    eject(&mut rig, &a, &person).unwrap();
    rig.server.stop().unwrap();
    assert_eq!(search(&folder, &needles), Vec::<String>::new());

    // The search finds what is there: on the server, what it has to know, in the database and in the packs; and
    // everything that it was sent after, where it is at home.
    let known = needle("the subscriber's ID", &person.subscriber);
    assert!(!search(&folder, &[known]).is_empty());
    let packs = tree::walk(&folder.join("blobs/packs")).unwrap();
    let pack = packs
        .iter()
        .map(|p| folder.join("blobs/packs").join(p))
        .find(|p| p.is_file())
        .unwrap();
    let middle = std::fs::read(&pack).unwrap();
    let middle = needle("a pack", &middle[middle.len() / 2..][..16]);
    assert!(!search(&folder, &[middle]).is_empty());
    let at_home = search(&a.data, &needles);
    for what in [
        "content of Kündigungsschreiben.txt",
        "name Blutbild Anna.pdf",
    ] {
        assert!(at_home.iter().any(|f| f.starts_with(what)), "{what}");
    }
    let planted = folder.join("planted");
    for n in &needles {
        std::fs::write(&planted, [b"before", &n.bytes[..], b"after"].concat()).unwrap();
        let one = std::slice::from_ref(n);
        assert_eq!(search(&folder, one).len(), 1, "{}", n.what);
    }
}
