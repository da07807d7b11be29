//! The command line from outside, against a service of the test's making on a private bus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../daemon/tests/bus_support/mod.rs"]
mod bus_support;

use simsync_codes::{Code, State};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use bus_support::{Bus, Fake, Plan, card};
use serde_json::Value;
use simsyncd::api::{self, Failure, SecretKind};
use simsyncd::bus::BusService;

/// What a command printed and ended with.
#[derive(Debug)]
struct Run {
    code: i32,
    out: String,
    err: String,
}

impl Run {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

struct Rig {
    bus: Bus,
    fake: Fake,
    _offered: BusService,
}

impl Rig {
    async fn start() -> Self {
        let bus = Bus::start();
        let fake = Fake::new();
        let offered = fake.on(&bus).await;
        Self {
            bus,
            fake,
            _offered: offered,
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        command(&self.bus.address, args)
    }

    async fn run(&self, args: &[&str]) -> Run {
        finish(self.command(args)).await
    }

    /// Runs a command whose standard input is the secret.
    async fn run_with(&self, args: &[&str], secret: &'static str) -> Run {
        let mut command = self.command(args);
        command.stdin(Stdio::piped());
        let done = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            // It may have ended without reading.
            let _ = stdin.write_all(secret.as_bytes());
            drop(stdin);
            child.wait_with_output().unwrap()
        });
        output(done.await.unwrap())
    }
}

fn command(address: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simsync"));
    command
        .args(args)
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env("SIMSYNC_BUS_ADDRESS", address)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn output(output: std::process::Output) -> Run {
    Run {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn finish(mut command: Command) -> Run {
    let done = tokio::task::spawn_blocking(move || command.output().unwrap());
    output(done.await.unwrap())
}

/// Both a fake service and blocking children: more than one thread.
macro_rules! tests {
    ($($name:ident: |$rig:ident| $body:block)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let $rig = Rig::start().await;
            $body
        }
    )*};
}

/// Everything that a terminal emulator would act on: a title, a cleared screen, a forged line, letters turned around.
const HOSTILE: &str = "a\u{1b}]0;t\u{7}\u{9b}2J\nforged\u{202e}z";
const SEEN: &str = "a\\u{1b}]0;t\\u{7}\\u{9b}2J\\nforged\\u{202e}z";

fn drives_nothing(run: &Run) {
    for text in [&run.out, &run.err] {
        let acts = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
        assert_eq!(text.chars().find(acts), None, "{run:?}");
        assert!(!text.lines().any(|l| l.starts_with("forged")), "{run:?}");
    }
}

tests! {
    f_c_what_is_not_in_sync_is_listed_and_no_command_says_otherwise: |rig| {
        rig.fake.change(|s| {
            s.state = State::Attention;
            (s.need_attention, s.tried_again) = (8, 1);
        });
        let run = rig.run(&["status"]).await;
        assert_eq!(run.code, 0);
        for part in ["attention", "need you", "notes: secret: unreadable (Permission denied), since 2026-", "make it readable for you", "notes: 7 more", "notes: busy: changing"] {
            assert!(run.out.contains(part), "{part} in {}", run.out);
        }
        assert!(!run.out.contains("everything is in sync"), "{}", run.out);
        let json = rig.run(&["status", "--json"]).await.json();
        assert_eq!(json["status"]["need_attention"], 8);
        assert_eq!(json["status"]["outstanding"][1]["path"], "secret");
        // A job that left something says so, and ends with a code of its own.
        let left = |more: &[(&str, &str)]| {
            let all = [("outstanding", "9"), ("published", "2")];
            Plan::Done(all.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
        };
        for command in ["sync", "eject"] {
            rig.fake.plan(left(&[]));
            let run = rig.run(&[command]).await;
            assert_eq!(run.code, 10, "{run:?}");
            assert!(run.out.contains("secret") && !run.out.contains("n sync:"), "{run:?}");
        }
        // The card could not be told.
        rig.fake.plan(Plan::Done(BTreeMap::from([
            ("outstanding".to_owned(), "0".to_owned()),
            ("card-not-told".to_owned(), "the card was not told".to_owned()),
        ])));
        let run = rig.run(&["eject"]).await;
        assert_eq!(run.code, 10, "{run:?}");
        assert!(run.out.contains("the card was not told"), "{run:?}");
        rig.fake.plan(Plan::Done(BTreeMap::new()));
        assert_eq!(rig.run(&["sync"]).await.code, 0);
        let doctor = rig.run(&["doctor"]).await;
        assert!(doctor.out.contains("in sync: 8 of your paths are not"), "{}", doctor.out);
    }

    f_g1_names_from_elsewhere_drive_nothing: |rig| {
        *rig.fake.path.lock() = HOSTILE.to_owned();
        rig.fake.change(|s| {
            s.label = HOSTILE.to_owned();
            s.server = Some(HOSTILE.to_owned());
            s.reasons = vec![simsyncd::api::Reason { code: Code::Rule, sentence: HOSTILE.to_owned() }];
            s.last_error = s.reasons.first().cloned();
            s.readers = vec![HOSTILE.to_owned()];
            s.cards = vec![simsyncd::api::CardStatus { reader: HOSTILE.to_owned(), ..card() }];
            s.collections[0].name = HOSTILE.to_owned();
            s.collections[0].path = Some(HOSTILE.to_owned());
            s.terminals[0].label = HOSTILE.to_owned();
        });
        for args in [&["status"][..], &["conflicts"], &["terminals", "list"], &["collections", "list"], &["server", "show"], &["doctor"]] {
            let run = rig.run(args).await;
            drives_nothing(&run);
            assert!(run.out.contains(SEEN), "{run:?}");
            let mut json = args.to_vec();
            json.push("--json");
            let run = rig.run(&json).await;
            drives_nothing(&run);
            // Exact, all the same.
            assert!(run.json().to_string().contains(&serde_json::to_string(HOSTILE).unwrap()[1..10]), "{run:?}");
        }
        let status = rig.run(&["status", "--json"]).await.json();
        assert_eq!(status["status"]["label"], HOSTILE);
        rig.fake.plan(Plan::Review(vec![("notes".to_owned(), HOSTILE.to_owned(), "write".to_owned(), 1)]));
        let run = rig.run(&["sync", "--review", "--yes"]).await;
        drives_nothing(&run);
        assert!(run.out.contains(SEEN), "{run:?}");
        rig.fake.plan(Plan::Fail(Failure { code: Code::Failed, sentence: HOSTILE.to_owned() }));
        let run = rig.run(&["sync"]).await;
        drives_nothing(&run);
        assert!(run.err.contains(SEEN), "{run:?}");
        rig.fake.plan(Plan::Done(BTreeMap::from([("label".to_owned(), HOSTILE.to_owned()), ("server".to_owned(), HOSTILE.to_owned())])));
        drives_nothing(&rig.run(&["pair"]).await);
        rig.fake.plan(Plan::Done(BTreeMap::from([("outstanding".to_owned(), "1".to_owned()), ("card-not-told".to_owned(), HOSTILE.to_owned())])));
        let run = rig.run(&["eject"]).await;
        drives_nothing(&run);
        assert_eq!(run.out.matches(SEEN).count(), 2, "{run:?}");
    }
    f_g3_equal_labels_are_told: |rig| {
        let other = simsyncd::api::TerminalStatus { id: "bb22".to_owned(), own: false, ..bus_support::status().terminals[0].clone() };
        rig.fake.change(|s| s.terminals.push(other));
        let run = rig.run(&["terminals", "list"]).await;
        assert_eq!(run.out.matches("same name as another").count(), 2, "{run:?}");
        rig.fake.plan(Plan::Done(BTreeMap::from([("label".to_owned(), "desk".to_owned()), ("same-label".to_owned(), "bb22".to_owned())])));
        let run = rig.run(&["pair"]).await;
        assert!(run.out.contains("is called desk too (bb22)"), "{run:?}");
    }
    status_says_why_nothing_happens: |rig| {
        let run = rig.run(&[]).await;
        assert_eq!(run.code, 0);
        for part in ["waiting for your card", "no card of yours is in; put it in", "notes", "/home/me/notes", "this one", "2026-"] {
            assert!(run.out.contains(part), "{part} in {}", run.out);
        }
        assert!(!run.out.contains('\u{1b}'), "colour without a terminal");
        rig.fake.change(|s| s.cards.push(card()));
        let run = rig.run(&["status"]).await;
        assert!(run.out.contains("Reader 00  yours, in use"), "{}", run.out);
    }

    json_has_a_schema_version: |rig| {
        let status = rig.run(&["--json"]).await.json();
        assert_eq!(status["schema_version"], 1);
        assert_eq!(status["ok"], true);
        assert_eq!(status["status"]["state"], "waiting");
        assert_eq!(status["status"]["reasons"][0]["code"], "no-card");
        assert_eq!(status["status"]["session"], Value::Null);
        assert_eq!(status["status"]["login_active"], Value::Null);
        assert_eq!(status["status"]["marks"]["inserted"], 7);
        let log = rig.run(&["log", "--json", "-n", "1"]).await.json();
        assert_eq!(log["log"].as_array().unwrap().len(), 1);
        assert_eq!(log["log"][0]["closing"], true);
        let conflicts = rig.run(&["conflicts", "--json"]).await.json();
        assert_eq!(conflicts["conflicts"][0]["path"], "a.txt");
        let list = rig.run(&["collections", "list", "--json"]).await.json();
        assert_eq!(list["collections"][0]["id"], "c0ffee");
        let list = rig.run(&["terminals", "list", "--json"]).await.json();
        assert_eq!(list["terminals"][0]["own"], true);
        rig.fake.plan(Plan::Done(BTreeMap::from([("applied".to_owned(), "2".to_owned())])));
        let sync = rig.run(&["sync", "--json"]).await.json();
        assert_eq!(sync["job"]["state"], "done");
        assert_eq!(sync["job"]["result"]["applied"], "2");
        rig.fake.plan(Plan::Fail(Failure::new(Code::Offline, "no server")));
        let failed = rig.run(&["sync", "--json"]).await;
        assert_eq!(failed.code, 7);
        let failed = failed.json();
        assert_eq!(failed["ok"], false);
        assert_eq!(failed["error"]["code"], "offline");
        assert_eq!(failed["error"]["exit_code"], 7);
    }

    lists_are_for_people_too: |rig| {
        let log = rig.run(&["log"]).await;
        assert!(log.out.contains("session closed, 1 tail merged"), "{}", log.out);
        let conflicts = rig.run(&["conflicts"]).await;
        assert!(conflicts.out.contains("kept aside as"), "{}", conflicts.out);
    }

    exit_codes_are_those_of_the_table: |rig| {
        for (code, exit) in [
            ("rule", 9), ("no-card", 6), ("offline", 7), ("pin-blocked", 5), ("not-paired", 4),
            ("cancelled", 8), ("bad-argument", 2), ("store", 1), ("stopping", 3),
        ] {
            let code: Code = code.parse().unwrap();
            rig.fake.plan(Plan::Refuse(Failure::new(code, "what to do next")));
            let run = rig.run(&["sync"]).await;
            assert_eq!(run.code, exit, "{code} refused");
            assert_eq!(run.err, "simsync: what to do next\n");
            rig.fake.plan(Plan::Fail(Failure::new(code, "what to do next")));
            assert_eq!(rig.run(&["sync"]).await.code, exit, "{code} failed");
        }
        assert_eq!(rig.run(&["no-such-command"]).await.code, 2);
        assert_eq!(rig.run(&["--help"]).await.code, 0);
        let help = rig.run(&["--help"]).await.out;
        assert!(help.contains("9  a guard refused"), "{help}");
    }

    orders_are_what_was_typed: |rig| {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_str().unwrap();
        for (args, given) in [
            (vec!["unlock"], api::Command::Unlock),
            (vec!["pair", "--label", "desk"], api::Command::Pair { label: "desk".to_owned() }),
            (vec!["unpair", "--yes"], api::Command::Unpair),
            (vec!["sync", "--allow-deletions"], api::Command::Sync { review: false, allow_deletions: true }),
            (vec!["eject"], api::Command::Eject),
            (vec!["collections", "add", "n", folder], api::Command::AddCollection {
                attribute: "files".to_owned(), name: "n".to_owned(), path: folder.to_owned(),
            }),
            (vec!["collections", "answer", "n", "deleted"], api::Command::AnswerCollection {
                collection: "n".to_owned(), deleted: true, question: String::new(),
            }),
            (vec!["collections", "answer", "n", "give-back"], api::Command::AnswerCollection {
                collection: "n".to_owned(), deleted: false, question: String::new(),
            }),
            (vec!["collections", "answer", "n", "stop"], api::Command::RemoveCollection { collection: "n".to_owned() }),
            (vec!["collections", "remove", "n"], api::Command::RemoveCollection { collection: "n".to_owned() }),
            (vec!["forget", "desk"], api::Command::Forget { terminal: "desk".to_owned() }),
            (vec!["pin", "change"], api::Command::ChangeCardPin),
            (vec!["pin", "change", "--terminal"], api::Command::ChangeTerminalPin),
        ] {
            let run = rig.run(&args).await;
            assert_eq!(run.code, 0, "{args:?}: {run:?}");
            assert!(!run.out.is_empty(), "{args:?}");
            assert_eq!(rig.fake.last_command(), Some(given));
        }
        let run = rig.run(&["unpair"]).await;
        assert_eq!(run.code, 9, "nobody was there to be asked: {run:?}");
        let run = rig.run(&["collections", "add", "n", "/no/such/folder"]).await;
        assert_eq!(run.code, 2, "{run:?}");
    }

    a_pin_of_a_script_is_handed_over: |rig| {
        rig.fake.plan(Plan::Ask(vec![(SecretKind::CardPin, "4711"), (SecretKind::CardPin, "4711")]));
        let run = rig.run_with(&["unlock", "--pin-fd", "0"], "4711\n").await;
        assert_eq!(run.code, 0, "{run:?}");
        // A wrong one costs one try, and the code says what was wrong.
        rig.fake.plan(Plan::Ask(vec![(SecretKind::CardPin, "4711")]));
        let run = rig.run_with(&["unlock", "--pin-fd", "0"], "1234\n").await;
        assert_eq!(run.code, 5, "{run:?}");
        assert!(run.err.contains("PIN that was given is wrong"), "{run:?}");
        // Without any PIN to give there is nobody to ask.
        rig.fake.plan(Plan::Ask(vec![(SecretKind::CardPin, "4711")]));
        let run = rig.run(&["unlock"]).await;
        assert_eq!(run.code, 8, "{run:?}");
        assert!(run.err.contains("simsync unlock"), "{run:?}");
        // One that is given something else leaves the question to others.
        rig.fake.plan(Plan::Ask(vec![(SecretKind::TerminalPin, "x")]));
        let run = rig.run_with(&["unlock", "--pin-fd", "0"], "4711").await;
        assert_eq!(run.code, 8, "{run:?}");
    }

    the_terminal_pin_has_its_own_descriptors: |rig| {
        rig.fake.plan(Plan::Ask(vec![(SecretKind::NewTerminalPin, "correct horse")]));
        let run = rig.run_with(&["pair", "--terminal-pin-fd", "0"], "correct horse").await;
        assert_eq!(run.code, 0, "{run:?}");
        rig.fake.plan(Plan::Ask(vec![(SecretKind::NewTerminalPin, "another horse")]));
        let run = rig.run_with(&["pin", "change", "--terminal", "--new-pin-fd", "0"], "another horse").await;
        assert_eq!(run.code, 0, "{run:?}");
    }

    a_secret_that_was_made_is_written_to_a_descriptor: |rig| {
        let words = "alpha bravo charlie";
        rig.fake.plan(Plan::Show("recovery-code", words));
        // Standard error is as good a descriptor as any.
        let run = rig.run(&["pair", "--recovery-fd", "2"]).await;
        assert_eq!(run.code, 0, "{run:?}");
        assert_eq!(run.err, format!("{words}\n"));
        rig.fake.plan(Plan::Show("puk", "12345678"));
        let run = rig.run(&["pin", "change", "--puk-fd", "2"]).await;
        assert_eq!(run.err, "12345678\n");
        assert!(!run.out.contains("12345678"));
    }

    a_locked_session_is_opened_first: |rig| {
        rig.fake.plan(Plan::Refuse(Failure::new(Code::Locked, "no session is open; run `simsync unlock`")));
        rig.fake.plan(Plan::Ask(vec![(SecretKind::CardPin, "4711")]));
        let run = rig.run_with(&["sync", "--pin-fd", "0"], "4711").await;
        assert_eq!(run.code, 0, "{run:?}");
        let commands = rig.fake.commands.lock().clone();
        let sync = api::Command::Sync { review: false, allow_deletions: false };
        assert_eq!(commands, [sync.clone(), api::Command::Unlock, sync]);
    }

    a_review_waits_for_an_answer: |rig| {
        let line = ("notes".to_owned(), "a.txt".to_owned(), "write".to_owned(), 12);
        rig.fake.plan(Plan::Review(vec![line.clone()]));
        let run = rig.run(&["sync", "--review"]).await;
        assert_eq!(run.code, 9, "{run:?}");
        assert!(run.out.contains("notes/a.txt"), "{run:?}");
        assert!(run.err.contains("--yes"), "{run:?}");
        rig.fake.plan(Plan::Review(vec![line]));
        let run = rig.run(&["sync", "--review", "--yes"]).await;
        assert_eq!(run.code, 0, "{run:?}");
    }

    waiting_can_be_left_out_or_end: |rig| {
        rig.fake.plan(Plan::Endless);
        let run = rig.run(&["sync", "--no-wait"]).await;
        assert_eq!(run.code, 0, "{run:?}");
        rig.fake.plan(Plan::Endless);
        let run = rig.run(&["sync", "--timeout", "1"]).await;
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.err.contains("goes on in simsyncd"), "{run:?}");
    }

    monitor_prints_an_object_a_line: |rig| {
        let mut child = rig.command(&["monitor", "--json"]).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = tx.send(serde_json::from_str::<Value>(&line).unwrap());
            }
        });
        let first = rx.recv().await.unwrap();
        assert_eq!(first["event"], "status");
        assert_eq!(first["schema_version"], 1);
        rig.fake.change(|s| s.state = State::Synced);
        while rx.recv().await.unwrap()["status"]["state"] != "synced" {}
        child.kill().unwrap();
        child.wait().unwrap();
    }

    doctor_names_what_to_mend: |rig| {
        let run = rig.run(&["doctor", "--json"]).await;
        let checks = run.json()["checks"].clone();
        let of = |name: &str| {
            let all = checks.as_array().unwrap();
            all.iter().find(|c| c["name"] == name).cloned().unwrap()
        };
        assert_eq!(of("daemon")["finding"], "ok");
        assert_eq!(of("server")["finding"], "ok");
        assert_eq!(of("card")["finding"], "warning");
        assert!(of("card")["remedy"].as_str().unwrap().contains("put yours in"));
        for check in checks.as_array().unwrap() {
            assert!(check["finding"] == "ok" || check["remedy"].is_string(), "{check}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_daemon_it_says_so() {
    let bus = Bus::start();
    let run = finish(command(&bus.address, &["status"])).await;
    assert_eq!(run.code, 3, "{run:?}");
    assert!(
        run.err.contains("systemctl --user start simsyncd"),
        "{run:?}"
    );
    let run = finish(command("unix:path=/nonexistent/bus", &["status", "--json"])).await;
    assert_eq!(run.code, 3, "{run:?}");
    assert_eq!(run.json()["error"]["code"], "no-daemon");
}

#[test]
fn completions_need_no_daemon() {
    for shell in ["bash", "zsh", "fish"] {
        let mut child = command("unix:path=/nonexistent/bus", &["completions", shell])
            .spawn()
            .unwrap();
        let mut text = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert!(child.wait().unwrap().success());
        assert!(text.contains("collections"), "{shell}");
    }
}
