//! simsync-card at such a reader.

use serde_json::json;
use simsync_rig::demo::{Person, insert, provision, pull};
use simsync_rig::rig::{CliResult, Rig, Secrets, Terminal};
use simsync_test_ifd::{MODIFY_LINE, VERIFY_LINE};

use super::{NEW_PIN, PIN, never_crossed, ok, typing};

/// A card whose PIN was changed once, in a reader with a pad.
fn card_in_pad(rig: &mut Rig, t: &Terminal) -> Person {
    let mut person = provision(rig, t, "card").unwrap();
    insert(rig, t, &person).unwrap();
    let secrets = Secrets::give("--pin-fd", &person.pin)
        .and("--new-pin-fd", PIN)
        .take("--puk-fd");
    t.card_tool(&["pin", "change"], &secrets)
        .unwrap()
        .ok("the first change")
        .unwrap();
    person.pin = PIN.to_owned();
    person
}

fn tool(t: &Terminal, args: &[&str]) -> CliResult {
    t.card_tool(args, &Secrets::default()).unwrap()
}

#[test]
fn simsync_card_lets_the_pin_be_typed_on_the_reader() {
    let mut rig = Rig::start().unwrap();
    let t = rig.terminal_with_pad("A", &json!({})).unwrap();
    let pad = t.pad.clone().unwrap();
    let checks = tool(&t, &["doctor"]).json["checks"].clone();
    let pad_check = json!({
        "name": "PIN pad",
        "finding": "ok",
        "sentence": "the PIN, and a new one, are typed on the reader",
        "remedy": null,
    });
    let is_told = |checks: &serde_json::Value| checks.as_array().unwrap().contains(&pad_check);
    assert!(is_told(&checks), "an empty reader: {checks}");
    let readers = tool(&t, &["readers"]).ok("readers").unwrap().json;
    assert_eq!(readers["readers"][0]["pin_pad"], json!(null), "{readers}");
    let person = card_in_pad(&mut rig, &t);
    let since = pad.wire().unwrap().len();

    let readers = tool(&t, &["readers"]).ok("readers").unwrap().json;
    assert_eq!(readers["readers"][0]["pin_pad"], true, "{readers}");

    let info = typing(&pad, &[&ok(PIN)], || tool(&t, &["info", "--pin"]));
    let info = info.ok("info --pin").unwrap();
    assert_eq!(info.json["subscriber"], person.subscriber.as_str());
    assert!(
        info.stderr.contains("Type the PIN on the reader"),
        "{}",
        info.stderr
    );

    // Each refusal has its sentence and exit code, and only a wrong PIN costs a try.
    for (keys, code, sentence) in [
        ("9999 ok", 5, "wrong PIN; 2 tries left"),
        ("9999 ok", 5, "wrong PIN; 1 tries left"),
        ("cancel", 1, "cancelled on the reader"),
        ("timeout", 1, "nobody typed the PIN on the reader in time"),
        ("123 ok", 5, "4 to 8 digits"),
        (" ok", 5, "4 to 8 digits"),
    ] {
        let told = typing(&pad, &[keys], || tool(&t, &["info", "--pin"]));
        assert_eq!(told.code, code, "{keys}: {}", told.stderr);
        assert!(told.stderr.contains(sentence), "{keys}: {}", told.stderr);
    }
    let tries = tool(&t, &["info"]).json["pin_tries"].clone();
    assert_eq!(tries, 1);

    // The rest of what asks for the PIN; the right one makes the tries full again.
    let listed = typing(&pad, &[&ok(PIN)], || tool(&t, &["terminal", "list"]));
    assert_eq!(
        listed.ok("terminal list").unwrap().json["terminals"],
        json!([])
    );
    let doctor = typing(&pad, &[&ok(PIN)], || tool(&t, &["doctor", "--pin"]));
    let doctor = doctor.ok("doctor --pin").unwrap().json;
    assert!(is_told(&doctor["checks"]), "{doctor}");
    let checks = doctor["checks"].as_array().unwrap();
    let check = |name| checks.iter().find(|c| c["name"] == name).unwrap();
    assert_eq!(check("time to sign")["finding"], "ok", "{doctor}");

    never_crossed(&pad, since, &[PIN]);

    // A descriptor goes before the pad, and so does an option: nobody waits for keys then.
    let orders = pad.count(VERIFY_LINE).unwrap();
    let given = t
        .card_tool(&["info"], &Secrets::give("--pin-fd", PIN))
        .unwrap();
    assert_eq!(
        given.ok("info --pin-fd").unwrap().json["subscriber"],
        person.subscriber.as_str()
    );
    let asked = tool(&t, &["--no-pin-pad", "info", "--pin"]);
    assert_eq!(asked.code, 2, "{}", asked.stderr);
    assert!(
        asked.stderr.contains("there is no terminal to ask on"),
        "{}",
        asked.stderr
    );
    assert_eq!(pad.count(VERIFY_LINE).unwrap(), orders);
    // What does cross is seen: the search finds it where it was given to the computer.
    assert!(pad.wire().unwrap().contains("00200081083830343137323633"));
}

#[test]
fn simsync_card_changes_the_pin_on_the_reader() {
    let mut rig = Rig::start().unwrap();
    let t = rig.terminal_with_pad("A", &json!({})).unwrap();
    let pad = t.pad.clone().unwrap();

    // The first change sets a new PUK, too, which no pad can: it says so, and asks here.
    let new = provision(&mut rig, &t, "fresh").unwrap();
    insert(&mut rig, &t, &new).unwrap();
    let told = tool(&t, &["pin", "change"]);
    assert_eq!(told.code, 2, "{}", told.stderr);
    assert!(
        told.stderr.contains("the reader's PIN pad cannot"),
        "{}",
        told.stderr
    );
    assert_eq!(pad.wire().unwrap().matches(MODIFY_LINE).count(), 0);
    pull(&mut rig, &t, &new).unwrap();

    let person = card_in_pad(&mut rig, &t);
    let since = pad.wire().unwrap().len();
    let change = |keys: &[&str]| typing(&pad, keys, || tool(&t, &["pin", "change"]));
    let differ = change(&[&ok(PIN), &ok(NEW_PIN), &ok("59306185")]);
    assert_eq!(differ.code, 5, "{}", differ.stderr);
    assert!(
        differ.stderr.contains("differ; nothing was changed"),
        "{}",
        differ.stderr
    );
    let cancelled = change(&[&ok(PIN), "cancel"]);
    assert!(
        cancelled.stderr.contains("cancelled"),
        "{}",
        cancelled.stderr
    );
    let changed = change(&[&ok(PIN), &ok(NEW_PIN), &ok(NEW_PIN)]);
    let changed = changed.ok("pin change").unwrap();
    assert_eq!(changed.json["changed"], true);
    assert!(
        changed
            .stderr
            .contains("Type on the reader: the PIN (3 tries left)"),
        "{}",
        changed.stderr
    );
    // The new one counts, and the old one no more.
    let old = typing(&pad, &[&ok(PIN)], || tool(&t, &["info", "--pin"]));
    assert!(
        old.stderr.contains("wrong PIN; 2 tries left"),
        "{}",
        old.stderr
    );
    let info = typing(&pad, &[&ok(NEW_PIN)], || tool(&t, &["info", "--pin"]));
    assert_eq!(
        info.ok("info --pin").unwrap().json["subscriber"],
        person.subscriber.as_str()
    );
    let wire = pad.wire().unwrap().split_off(since);
    let template = "0024008110ffffffffffffffffffffffffffffffff";
    assert_eq!(
        wire.lines()
            .filter(|l| l.starts_with(MODIFY_LINE) && l.ends_with(template))
            .count(),
        3
    );
    never_crossed(&pad, since, &[PIN, NEW_PIN]);
}

#[test]
fn a_card_that_is_pulled_while_the_reader_waits_is_said_to_be_gone() {
    let mut rig = Rig::start().unwrap();
    let t = rig.terminal_with_pad("A", &json!({})).unwrap();
    let pad = t.pad.clone().unwrap();
    let person = card_in_pad(&mut rig, &t);
    let told = std::thread::scope(|scope| {
        let mut finger = pad.finger().unwrap();
        let command = scope.spawn(|| tool(&t, &["info", "--pin"]));
        finger.wait().unwrap();
        rig.bridge.eject(&person.card).unwrap();
        command.join().unwrap()
    });
    assert_eq!(told.code, 4, "{}", told.stderr);
    assert!(
        told.stderr.contains("check that the card is fully in"),
        "{}",
        told.stderr
    );
}

#[test]
fn a_reader_without_keys_has_no_pin_pad() {
    let mut rig = Rig::start().unwrap();
    let t = rig.terminal("A").unwrap();
    let person = provision(&mut rig, &t, "card").unwrap();
    insert(&mut rig, &t, &person).unwrap();
    let readers = tool(&t, &["readers"]).ok("readers").unwrap().json;
    assert_eq!(readers["readers"][0]["pin_pad"], false, "{readers}");
    let doctor = tool(&t, &["doctor"]).json["checks"].to_string();
    assert!(
        doctor.contains("none: the PIN is typed at the computer"),
        "{doctor}"
    );
    let asked = tool(&t, &["info", "--pin"]);
    assert_eq!(asked.code, 2, "{}", asked.stderr);
    assert!(
        asked.stderr.contains("there is no terminal to ask on"),
        "{}",
        asked.stderr
    );
}
