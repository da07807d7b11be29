//! `simsync-card doctor` on real parts: what is wrong is named, with what helps.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use serde_json::Value;
use simsync_rig::demo::{install, provision_inserted};
use simsync_rig::rig::{DEADLINE, Rig, Secrets, Terminal, wait_for};

fn doctor(desk: &Terminal, secrets: &Secrets) -> (i32, Value) {
    let done = desk.card_tool(&["doctor"], secrets).unwrap();
    (done.code, done.json)
}

/// What was found by the check of this name.
fn finding<'a>(told: &'a Value, name: &str) -> Option<(&'a str, &'a str)> {
    let checks = told["checks"].as_array()?;
    let check = checks.iter().find(|c| c["name"] == name)?;
    // Whatever failed says what helps.
    assert!(
        check["finding"] != "failed" || check["remedy"].is_string(),
        "{check}"
    );
    Some((check["finding"].as_str()?, check["sentence"].as_str()?))
}

/// Until the doctor finds this.
fn until(desk: &Terminal, name: &str, wanted: &str) -> Value {
    wait_for(&format!("{name} to be {wanted}"), DEADLINE, || {
        let (_, told) = doctor(desk, &Secrets::default());
        (finding(&told, name)?.0 == wanted).then_some(told)
    })
    .unwrap()
}

#[test]
fn m18_the_doctor_names_what_is_wrong_from_the_service_to_the_applet() {
    let mut rig = Rig::start().unwrap();
    let mut desk = rig.terminal("desk").unwrap();
    let told = until(&desk, "card", "failed");
    assert_eq!(finding(&told, "pcscd").unwrap().0, "ok");
    assert_eq!(finding(&told, "reader").unwrap().0, "ok");
    assert_eq!(
        finding(&told, "card").unwrap().1,
        "no card is in any reader"
    );
    assert_eq!(doctor(&desk, &Secrets::default()).0, 1);

    // As it comes from the factory, and then with the applet.
    rig.bridge.call("blank-gp other").unwrap();
    rig.bridge.insert("other", desk.port).unwrap();
    let told = until(&desk, "applet", "failed");
    assert_eq!(
        finding(&told, "ATR").unwrap().1,
        "3B878131FE4553494D53594E43DC, T=1"
    );
    rig.bridge.eject("other").unwrap();
    desk.wait_status("an empty reader", |s| {
        s["cards"].as_array().is_some_and(Vec::is_empty)
    })
    .unwrap();
    let secret = install(&mut rig, &desk, "card").unwrap();
    let told = until(&desk, "applet", "warning");
    assert_eq!(finding(&told, "applet").unwrap().1, "version 1.1, blank");

    let person = provision_inserted(&rig, &desk, "card", &secret).unwrap();
    let (code, told) = doctor(&desk, &Secrets::default());
    assert_eq!((code, &told["ok"]), (0, &Value::Bool(true)), "{told}");
    assert_eq!(
        finding(&told, "applet").unwrap(),
        ("ok", "version 1.1, in use")
    );
    assert_eq!(finding(&told, "tries").unwrap().0, "warning");
    assert_eq!(finding(&told, "time to sign").unwrap().0, "unknown");
    let new = Secrets::give("--pin-fd", &person.pin)
        .and("--new-pin-fd", "2468")
        .take("--puk-fd");
    desk.card_tool(&["pin", "change"], &new)
        .unwrap()
        .ok("pin change")
        .unwrap();
    let (code, told) = doctor(&desk, &Secrets::give("--pin-fd", "2468"));
    assert_eq!(code, 0, "{told}");
    let (found, time) = finding(&told, "time to sign").unwrap();
    assert!(
        time.ends_with(" ms") && matches!(found, "ok" | "warning"),
        "{time}"
    );
    assert_eq!(finding(&told, "tries").unwrap().0, "ok");

    // A wrong PIN costs one try, and that is seen.
    let (code, told) = doctor(&desk, &Secrets::give("--pin-fd", "9999"));
    assert_eq!(code, 1);
    assert!(told.to_string().contains("wrong PIN"), "{told}");
    let (_, told) = doctor(&desk, &Secrets::default());
    assert_eq!(
        finding(&told, "tries").unwrap(),
        ("warning", "2 for the PIN, 10 for the PUK")
    );

    desk.kill_pcscd();
    let (code, told) = doctor(&desk, &Secrets::default());
    assert_eq!((code, finding(&told, "pcscd").unwrap().0), (1, "failed"));
}
