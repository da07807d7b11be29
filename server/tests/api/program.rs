//! The program as operators run it.

use simsync_protocol::ClientError;
use simsync_protocol::problem::Code;
use simsync_server::testing::{
    Seed, ServerProcess, SoftCard, SoftTerminal, SoftVault, put_all, refused,
};
use simsync_vault::keyobject::TerminalEntry;

const PROGRAM: &str = env!("CARGO_BIN_EXE_simsync-server");

struct Person {
    seed: Seed,
    card: SoftCard,
    terminal: SoftTerminal,
    vault: SoftVault,
    files: simsync_vault::ids::CollectionId,
    subscriber: simsync_card::ids::SubscriberId,
}

async fn person(server: &ServerProcess) -> Person {
    let seed = Seed::new();
    let client = server.client();
    let (subscriber, code) = server.add_subscriber("Alice");
    let card = SoftCard::new(&seed);
    card.enrol(&client, &subscriber, &code).await.unwrap();
    let mut terminal = SoftTerminal::new(&seed);
    terminal.pair(&client, &subscriber, &card).await.unwrap();
    let files = simsync_vault::ids::CollectionId(seed.id());
    let mut vault = SoftVault::new(&seed);
    let opened = terminal.open(&client, &card).await.unwrap();
    let entry = TerminalEntry {
        key: terminal.key.point(),
        label: "a".to_owned(),
        collections: vec![files],
    };
    let (list, wraps) = vault.next_list(&seed, &[&card], vec![entry]);
    let list = card.sign_key_object(list);
    let body = vault.body(&terminal, &opened.statement, Some(&list));
    vault
        .commit_with(&opened, &terminal, body, Some((list, wraps)))
        .await
        .unwrap();
    Person {
        seed,
        card,
        terminal,
        vault,
        files,
        subscriber,
    }
}

#[tokio::test]
async fn m2_what_was_acknowledged_survives_kill_9() {
    let mut server = ServerProcess::start(PROGRAM);
    let mut p = person(&server).await;
    let client = server.client();
    let opened = p.terminal.open(&client, &p.card).await.unwrap();
    let packs: Vec<_> = (0..12)
        .map(|n| simsync_protocol::batch::Pack {
            id: simsync_vault::ids::PackId(p.seed.id()),
            collection: p.files,
            bytes: p.seed.blob(1000 + n),
        })
        .collect();
    put_all(&opened.connection, packs.clone()).await.unwrap();
    let mut body = p.vault.body(&p.terminal, &opened.statement, None);
    body.packs_added = packs
        .iter()
        .map(|pack| simsync_vault::commit::PackRef {
            id: pack.id,
            collection: pack.collection,
            size: pack.bytes.len() as u64,
        })
        .collect();
    p.vault.commit(&opened, &p.terminal, body).await.unwrap();
    let waiting = simsync_protocol::batch::Pack {
        id: simsync_vault::ids::PackId(p.seed.id()),
        collection: p.files,
        bytes: p.seed.blob(77),
    };
    put_all(&opened.connection, [waiting.clone()])
        .await
        .unwrap();
    server.kill();
    let broken = opened.connection.commits(0).await;
    assert!(matches!(broken, Err(ClientError::Offline(_))), "{broken:?}");

    server.serve();
    let client = server.client();
    let c = p.terminal.connect(&client).await.unwrap();
    c.set_grant(opened.connection.grant());
    refused(c.commits(0).await, Code::GrantRequired);
    let answer = p
        .terminal
        .renew(&c, &p.card, opened.statement.n)
        .await
        .unwrap();
    assert_eq!(answer.head, p.vault.head);
    let ids: Vec<_> = packs.iter().chain([&waiting]).map(|p| p.id).collect();
    let all: Vec<_> = packs.into_iter().chain([waiting]).collect();
    assert_eq!(c.fetch_packs(ids).await.unwrap(), all);
    assert_eq!(c.commits(0).await.unwrap().commits.len(), 2);
    let audit = server.run(&["audit", "--verify"]);
    assert!(audit["broken"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn b8_an_order_reaches_live_connections_and_the_store_alone() {
    let mut server = ServerProcess::start(PROGRAM);
    let p = person(&server).await;
    let opened = p.terminal.open(&server.client(), &p.card).await.unwrap();
    let mut events = opened.connection.events().await.unwrap();
    events.next().await.unwrap();
    let shown = server.run(&["subscriber", "show", p.subscriber.as_str()]);
    assert_eq!(
        shown["terminals"][0]["terminal"],
        p.terminal.id().to_string()
    );
    assert_eq!(shown["subscriber"]["head"]["sequence"], 1);
    server.run(&["terminal", "revoke", "--yes", &p.terminal.id().to_string()]);
    let revoked = simsync_protocol::api::ServerEvent::Revoked;
    assert_eq!(events.next().await.unwrap(), Some(revoked));
    assert!(server.terminate());
    // Without a running server the orders go to the store.
    server.run(&["card", "revoke", "--yes", &p.card.id.to_string()]);
    assert_eq!(
        server.run(&["card", "list"])["cards"][0]["state"],
        "revoked"
    );
    assert_eq!(
        server.run(&["terminal", "list"])["terminals"][0]["state"],
        "revoked"
    );
    assert_eq!(
        server.run(&["subscriber", "list"])["subscribers"][0]["rekey_required"],
        true
    );
}

#[test]
fn m19_init_never_overwrites_and_exit_codes_are_the_documented_ones() {
    let server = ServerProcess::init(PROGRAM);
    let exit = |args: &[&str]| server.output(args).status.code();
    let before = std::fs::read(server.dir().join("ca.key")).unwrap();
    assert_eq!(exit(&["init", "--name", "other"]), Some(4));
    assert_eq!(std::fs::read(server.dir().join("ca.key")).unwrap(), before);
    assert_eq!(exit(&["subscriber", "show", "nobody"]), Some(3));
    assert_eq!(
        exit(&["subscriber", "add", "--label", "x", "--id", "alice"]),
        Some(0)
    );
    assert_eq!(
        exit(&["subscriber", "add", "--label", "x", "--id", "alice"]),
        Some(4)
    );
    assert_eq!(exit(&["subscriber", "add", "--label", ""]), Some(4));
    assert_eq!(exit(&["subscriber", "show", ".."]), Some(3));
    assert_eq!(exit(&["frobnicate"]), Some(2));
    assert_eq!(exit(&["card", "revoke", "zz"]), Some(2));
    assert_eq!(exit(&["audit", "--verify"]), Some(0));
    let elsewhere = std::process::Command::new(PROGRAM)
        .args(["--dir"])
        .arg(server.scratch().join("nowhere"))
        .arg("serve")
        .output()
        .unwrap();
    assert_eq!(elsewhere.status.code(), Some(3));
}

#[test]
fn f_g3_nothing_is_removed_without_the_operators_word_and_the_fingerprint_can_be_seen_again() {
    let server = ServerProcess::init(PROGRAM);
    server.run(&["subscriber", "add", "--label", "x", "--id", "alice"]);
    server.run(&["subscriber", "add", "--label", "x", "--id", "alina"]);
    let state = |id: &str| server.run(&["subscriber", "show", id])["subscriber"]["state"].clone();
    // Nobody sits here who could say yes.
    let asked = server.output(&["subscriber", "remove", "alice"]);
    assert_eq!(asked.status.code(), Some(4));
    let text = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(text.contains("--yes"), "{text}");
    assert_eq!(state("alice"), "active");
    let ambiguous = server.output(&["subscriber", "remove", "--yes", "ali"]);
    assert_eq!(ambiguous.status.code(), Some(2));
    server.run(&["subscriber", "remove", "--yes", "alic"]);
    assert_eq!(
        (state("alice"), state("alina")),
        ("removed".into(), "active".into())
    );
    for kind in ["card", "terminal"] {
        let none = server.output(&[kind, "revoke", "--yes", "abcd"]);
        assert_eq!(none.status.code(), Some(3));
    }
    assert_eq!(server.run(&["show"])["ca_pin"], server.ca_pin().to_string());
}

#[test]
fn m19_the_folder_is_its_owners_alone_and_codes_are_kept_as_hashes() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut server = ServerProcess::start(PROGRAM);
    let (_, code) = server.add_subscriber("Alice");
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&server.dir()), 0o700);
    for name in ["ca.key", "server.key", "server.json", "admin.sock"] {
        assert_eq!(mode(&server.dir().join(name)), 0o600, "{name}");
    }
    let typed: String = code.chars().filter(|c| *c != '-').collect();
    server.terminate();
    for entry in std::fs::read_dir(server.dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            for secret in [code.as_bytes(), typed.as_bytes()] {
                let found = bytes.windows(secret.len()).any(|w| w == secret);
                assert!(!found, "{}", path.display());
            }
        }
    }
}

#[test]
fn m19_a_second_server_and_a_newer_store_are_refused() {
    let mut server = ServerProcess::start(PROGRAM);
    assert_eq!(
        server
            .output(&["serve", "--listen", "127.0.0.1:0"])
            .status
            .code(),
        Some(4)
    );
    server.terminate();
    let db = server.dir().join("simsync.db");
    rusqlite::Connection::open(&db)
        .unwrap()
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    let refused = server.output(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(refused.status.code(), Some(5));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        text.contains("99") && text.contains("update simsync-server"),
        "{text}"
    );
}

#[test]
fn m9_a_changed_audit_log_is_found_out() {
    let server = ServerProcess::init(PROGRAM);
    server.add_subscriber("Alice");
    server.add_subscriber("Bob");
    let db = rusqlite::Connection::open(server.dir().join("simsync.db")).unwrap();
    // The database itself refuses; an intruder takes the guard away first.
    assert!(db.execute("UPDATE audit SET action = 'x'", []).is_err());
    assert!(db.execute("DELETE FROM audit", []).is_err());
    db.execute_batch(
        "DROP TRIGGER audit_is_not_changed; UPDATE audit SET action = 'x' WHERE number = 1;",
    )
    .unwrap();
    assert_eq!(server.output(&["audit", "--verify"]).status.code(), Some(6));
}

#[test]
fn m19_systemd_is_told_when_the_server_is_ready() {
    use std::io::{BufRead as _, BufReader};
    let server = ServerProcess::init(PROGRAM);
    let path = server.scratch().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    let mut child = std::process::Command::new(PROGRAM)
        .env("NOTIFY_SOCKET", &path)
        .arg("--dir")
        .arg(server.dir())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut buffer = [0; 100];
    let n = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..n], b"READY=1\n");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.starts_with("ready on 127.0.0.1:"), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
}
