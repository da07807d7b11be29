//! docs/card.md is enough for another client: a script that knows nothing else pairs and opens a session.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;
use simsync_rig::demo::provision;
use simsync_rig::rig::{Rig, Secrets, Terminal, repository};

/// Runs the script in the desk's namespace; its output, or what it complains of.
fn script(desk: &Terminal, lines: [&str; 3]) -> Result<Value, String> {
    let mut command = desk.inside("/usr/bin/python3".as_ref());
    let mut child = command
        .arg(repository().join("tests/python/client.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{}", lines.join("\n")).unwrap();
    drop(input);
    let done = child.wait_with_output().unwrap();
    if done.status.success() {
        Ok(serde_json::from_slice(&done.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }
}

#[test]
fn m18_the_page_about_the_card_is_enough_for_another_client() {
    let mut rig = Rig::start().unwrap();
    let mut desk = rig.terminal("desk").unwrap();
    let person = provision(&mut rig, &desk, "card").unwrap();
    // The script alone is at the card, as the other client that it is.
    desk.stop_daemon().unwrap();
    rig.bridge.insert("card", desk.port).unwrap();
    simsync_rig::rig::wait_for("the card", simsync_rig::rig::DEADLINE, || {
        let info = desk.card_tool(&["info"], &Secrets::default()).ok()?;
        (info.code == 0).then_some(())
    })
    .unwrap();
    let (new_pin, new_puk) = ("2468", "87654321");
    let found = script(&desk, [&person.pin, new_pin, new_puk]).unwrap();
    assert_eq!(
        (&found["slot"], &found["n"], &found["has_head"]),
        (&0.into(), &1.into(), &0.into())
    );
    assert_eq!(found["label"], "card");
    assert_eq!(found["subscriber"], person.subscriber);
    // Again: another terminal, the next number. A wrong PIN is refused in the page's own words.
    let found = script(&desk, [new_pin, new_pin, new_puk]).unwrap();
    assert_eq!((&found["slot"], &found["n"]), (&1.into(), &2.into()));
    let refused = script(&desk, [new_pin, "1357", new_puk]).unwrap_err();
    assert_eq!(refused.trim(), "00 20: 63C2");
    let list = desk
        .card_tool(&["terminal", "list"], &Secrets::give("--pin-fd", new_pin))
        .unwrap()
        .ok("terminal list")
        .unwrap();
    assert_eq!(list.json["terminals"].as_array().map(Vec::len), Some(2));
}
