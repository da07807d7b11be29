//! What `simsync-card install` and its like say before they touch a card, from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs it where no pcscd answers.
fn run(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simsync-card"))
        .args(args)
        .arg("--json")
        .current_dir(folder)
        .env("PCSCLITE_CSOCK_NAME", folder.join("no-pcscd"))
        .output()
        .unwrap()
}

fn failure(output: &Output) -> (i32, String, String) {
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["schema_version"], 1);
    let text = |name: &str| value["error"][name].as_str().unwrap().to_owned();
    (output.status.code().unwrap(), text("code"), text("message"))
}

const KEY: &str = "5EC5EC5EC5EC5EC5EC5EC5EC5EC5EC5E";

#[test]
fn what_is_wrong_is_said_before_a_card_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8], mode| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    write("keys", KEY.as_bytes(), 0o600);
    write("shared-keys", KEY.as_bytes(), 0o644);
    write("bad-keys", b"no key", 0o600);
    write("not.cap", b"no archive", 0o644);
    write("huge.cap", &vec![0; 2 << 20], 0o644);
    let cases: [(&[&str], &str); 9] = [
        (&["list", "--keys-file", "shared-keys"], "chmod 600"),
        (&["list", "--keys-file", "bad-keys"], "hexadecimal"),
        (&["list", "--keys-file", "none"], "cannot be read"),
        (&["list", "--keys-fd", "97"], "descriptor 97"),
        (&["delete", "--keys-file", "shared-keys"], "chmod 600"),
        (&["install"], "--cap FILE"),
        (&["install", "--cap", "not.cap"], "no readable ZIP"),
        (&["install", "--cap", "huge.cap"], "more than 1048576 bytes"),
        (&["install", "--cap", "none.cap"], "cannot be read"),
    ];
    for (args, words) in cases {
        let output = run(folder.path(), args);
        let (exit, code, message) = failure(&output);
        assert_eq!((exit, code.as_str()), (2, "usage"), "{args:?}: {message}");
        assert!(message.contains(words), "{args:?}: {message}");
        let all = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8_lossy(&all).contains(KEY));
    }
    // All is well up to the reader.
    for args in [&["list", "--keys-file", "keys"][..], &["lock-info"]] {
        let (exit, code, _) = failure(&run(folder.path(), args));
        assert_eq!((exit, code.as_str()), (3, "no-reader"), "{args:?}");
    }
}

#[test]
fn arguments_that_exclude_each_other() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        &["list", "--keys-file", "a", "--default-test-keys"][..],
        &["list", "--keys-fd", "3", "--default-test-keys"],
        &["install", "--destroy-keys"],
        &[
            "install",
            "--transport-secret-fd",
            "3",
            "--transport-secret-out",
            "f",
        ],
        &["list", "--kvn", "100"],
        &["list", "--kvn", "zz"],
        &["list", "--diversify", "rot13"],
    ] {
        assert_eq!(run(folder.path(), args).status.code(), Some(2), "{args:?}");
    }
}
