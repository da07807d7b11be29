//! Many subscribers from a file, and a desk's signed list.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use openssl::pkey::PKey;
use simsync_card::ids::CardId;
use simsync_protocol::issued::{self, IssuedCard, IssuedList};
use simsync_protocol::people::{self, Purpose};
use simsync_server::testing::{Seed, ServerProcess, SoftCard};

const PROGRAM: &str = env!("CARGO_BIN_EXE_simsync-server");

fn file(server: &ServerProcess, name: &str, text: &str) -> String {
    let path = server.scratch().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn import(server: &ServerProcess, text: &str, more: &[&str]) -> (Option<i32>, String) {
    let list = file(server, "people.csv", text);
    let out = server.output(&[&["subscriber", "import", &list], more].concat());
    (
        out.status.code(),
        String::from_utf8_lossy(&out.stderr).into_owned(),
    )
}

fn count(server: &ServerProcess) -> usize {
    let all = server.run(&["subscriber", "list"]);
    all["subscribers"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_imported_all_or_none_and_their_codes_enrol() {
    let mut server = ServerProcess::start(PROGRAM);
    let codes = server.scratch().join("codes.csv");
    let out = ["--out", codes.to_str().unwrap()];
    let bad = "label,subscriber\n\"Desk, <1>\",d 1\nBob,bob\n";
    let (exit, told) = import(&server, bad, &out);
    assert_eq!(exit, Some(4), "{told}");
    assert!(told.contains("line 2"), "{told}");
    assert_eq!(count(&server), 0);

    let (exit, told) = import(&server, "label\n\"Desk, <1>\"\nBob\n", &["--dry-run"]);
    assert_eq!(exit, Some(0), "{told}");
    assert!(count(&server) == 0 && !codes.exists());

    let (exit, told) = import(&server, "label,subscriber\n\"Desk, <1>\",\nBob,bob\n", &out);
    assert_eq!(exit, Some(0), "{told}");
    let mode = std::fs::metadata(&codes).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let people = people::read(&codes, Purpose::Issue).unwrap();
    assert_eq!(people[0].label, "Desk, <1>");
    assert_eq!(people[1].subscriber.as_ref().unwrap().as_str(), "bob");
    assert_eq!(count(&server), 2);
    for person in &people {
        let card = SoftCard::new(&Seed::new());
        let code = person.code.as_ref().unwrap();
        let subscriber = person.subscriber.as_ref().unwrap();
        card.enrol(&server.client(), subscriber, code)
            .await
            .unwrap();
    }
    // Codes are never overwritten, and nobody is added without them.
    let before = std::fs::read(&codes).unwrap();
    let (exit, told) = import(&server, "label\nCarol\n", &out);
    assert!(exit == Some(4) && told.contains("exists"), "{told}");
    assert_eq!(std::fs::read(&codes).unwrap(), before);
    assert_eq!(count(&server), 2);

    let audit = server.run(&["audit"]);
    let added = audit["entries"].as_array().unwrap().iter();
    let added = added.filter(|e| e["action"] == "subscriber-added").count();
    assert_eq!(added, 2);

    // Without a running server the store is written.
    server.terminate();
    let other = server.scratch().join("other.csv");
    let (exit, told) = import(
        &server,
        "subscriber,label\ncarol,Carol\n",
        &["--out", other.to_str().unwrap()],
    );
    assert_eq!(exit, Some(0), "{told}");
    assert_eq!(count(&server), 3);
}

#[test]
fn one_wrong_line_and_nobody_is_added() {
    let server = ServerProcess::start(PROGRAM);
    server.run(&["subscriber", "add", "--label", "x", "--id", "alice"]);
    let codes = server.scratch().join("codes.csv");
    let part = server.scratch().join("codes.csv.part");
    let out = ["--out", codes.to_str().unwrap()];
    let long = "x".repeat(33);
    for (text, words) in [
        (
            "label,subscriber\nBob,bob\nAlice,alice\n".to_owned(),
            "line 3: subscriber alice exists",
        ),
        (format!("label\nBob\n{long}\n\u{1}\n"), "2 lines are wrong"),
        (
            "label,subscriber\nA,a\nB,b\nA,a\n".to_owned(),
            "a is on line 2 already",
        ),
        ("Bob\nAlice\n".to_owned(), "name the columns"),
        ("label\n".to_owned(), "nobody"),
    ] {
        for more in [&out[..], &["--dry-run"]] {
            let (exit, told) = import(&server, &text, more);
            assert_eq!(exit, Some(4), "{told}");
            assert!(told.contains(words), "{words}: {told}");
            assert!(!codes.exists() && !part.exists());
            assert_eq!(count(&server), 1);
        }
    }
    // A place that cannot be written: said before anybody is added.
    let (exit, told) = import(&server, "label\nBob\n", &["--out", "/nowhere/codes.csv"]);
    assert!(exit == Some(1) && told.contains("/nowhere"), "{told}");
    assert_eq!(count(&server), 1);
}

#[test]
fn ten_thousand_at_once() {
    let server = ServerProcess::start(PROGRAM);
    let mut text = "label\n".to_owned();
    for n in 0..10_000 {
        text.push_str(&format!("Person number {n}\n"));
    }
    let codes = server.scratch().join("codes.csv");
    let (exit, told) = import(&server, &text, &["--out", codes.to_str().unwrap()]);
    assert_eq!(exit, Some(0), "{told}");
    assert_eq!(count(&server), 10_000);
    assert_eq!(people::read(&codes, Purpose::Issue).unwrap().len(), 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_list_is_held_against_the_store() {
    let server = ServerProcess::start(PROGRAM);
    let mut cards = Vec::new();
    for label in ["Alice", "Bob"] {
        let (subscriber, code) = server.add_subscriber(label);
        let card = SoftCard::new(&Seed::new());
        card.enrol(&server.client(), &subscriber, &code)
            .await
            .unwrap();
        cards.push(IssuedCard {
            subscriber,
            label: label.to_owned(),
            card: card.id,
            at: 1,
        });
    }
    let key = PKey::generate_ed25519().unwrap();
    let public = String::from_utf8(key.public_key_to_pem().unwrap()).unwrap();
    let public = file(&server, "key.pem", &public);
    let check =
        |cards: &[IssuedCard], change: bool| -> (Option<i32>, PathBuf, String, serde_json::Value) {
            let list = IssuedList {
                server: "localhost".to_owned(),
                cards: cards.to_vec(),
            };
            let mut text = issued::sign(&list, &key).unwrap();
            if change {
                text = text.replace("Alice", "Alicf");
            }
            let path = file(&server, "issued.json", &text);
            let out = server.output(&["card", "check", &path, "--key", &public]);
            (
                out.status.code(),
                path.into(),
                String::from_utf8_lossy(&out.stderr).into_owned(),
                serde_json::from_slice(&out.stdout).unwrap(),
            )
        };
    let (exit, .., found) = check(&cards, false);
    assert_eq!((exit, &found["agree"]), (Some(0), &2.into()), "{found}");
    let (exit, _, told, _) = check(&cards, true);
    assert!(exit == Some(4) && told.contains("signature"), "{told}");
    // Another card in the list than here: one is missing, and one is more.
    let mut other = cards.clone();
    other[1].card = CardId([9; 16]);
    let (exit, .., found) = check(&other, false);
    assert_eq!(exit, Some(7));
    assert_eq!(found["missing"][0]["card"], CardId([9; 16]).to_string());
    assert_eq!(found["more"][0]["card"], cards[1].card.to_string());
    // One of Alice's for Bob.
    let mut crossed = cards.clone();
    crossed[0].subscriber = cards[1].subscriber.clone();
    assert_eq!(check(&crossed, false).0, Some(7));
    server.run(&["card", "revoke", "--yes", &cards[0].card.to_string()]);
    let (exit, .., found) = check(&cards, false);
    assert_eq!(exit, Some(0));
    assert_eq!(found["revoked"][0]["card"], cards[0].card.to_string());
}
