//! `simsync-card provision --batch` behind a real pcscd with two readers: blank cards become people's, whatever is pulled, killed
//! or full in between.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use std::path::Path;
use std::process::Command;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use simsync_rig::rig::Secrets;
use simsync_rig::scene;
use simsync_rig::station::{End, IssuingStation};

const PEOPLE: usize = 3;

fn succeed(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status().unwrap();
    assert!(status.success(), "{program} {args:?}");
}

fn ended_well(end: &End) {
    match end {
        End::Itself(last) => assert_eq!(last["event"], "end", "{last}"),
        End::Killed => panic!("killed"),
    }
}

#[test]
fn pulled_and_killed_in_between_each_person_ends_with_one_card() {
    let seed = scene::seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut desk = IssuingStation::start(PEOPLE, seed, |_| Ok(())).unwrap();
    desk.yank = 0.5;
    // Header, and four lines a card.
    let first = rng.random_range(2..6);
    assert_eq!(desk.run(&[], Some(first)).unwrap(), End::Killed);
    let second = rng.random_range(first + 1..11);
    assert_eq!(desk.run(&[], Some(second)).unwrap(), End::Killed);

    let (private, public) = (desk.file("sign.pem"), desk.file("sign.pub"));
    let (private, public) = (private.to_str().unwrap(), public.to_str().unwrap());
    succeed(
        "openssl",
        &["genpkey", "-algorithm", "ed25519", "-out", private],
    );
    succeed(
        "openssl",
        &["pkey", "-in", private, "-pubout", "-out", public],
    );
    let formats = ["--sign-key", private, "--letters-format", "text"];
    ended_well(&desk.run(&formats, None).unwrap());
    desk.check(PEOPLE).unwrap();
    // Another run finds nothing to do, and asks for no card.
    let taken = desk.taken;
    ended_well(&desk.run(&formats, None).unwrap());
    assert_eq!(desk.taken, taken);

    let list = desk.file("people.csv.issued.json");
    let list = list.to_str().unwrap();
    let found = desk
        .rig
        .server
        .admin(&["card", "check", list, "--key", public])
        .unwrap();
    assert_eq!(found["agree"], PEOPLE);
    let text = std::fs::read_to_string(list).unwrap();
    std::fs::write(list, text.replace("Person", "Persom")).unwrap();
    let changed = desk
        .rig
        .server
        .admin(&["card", "check", list, "--key", public]);
    assert!(changed.unwrap_err().contains("signature"));
}

#[test]
fn a_full_disk_ends_the_batch_before_the_card_is_finished() {
    let seed = scene::seed();
    let full = |folder: &Path| {
        let letters = folder.join("letters");
        std::fs::create_dir(&letters).map_err(|e| e.to_string())?;
        let letters = letters.to_str().unwrap();
        succeed(
            "mount",
            &["-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", letters],
        );
        Ok(())
    };
    let mut desk = IssuingStation::start(PEOPLE, seed, full).unwrap();
    let filler = desk.file("letters/filler");
    // As much as there is room for.
    let _ = std::fs::write(&filler, vec![0; 1 << 20]);
    match desk.run(&[], None).unwrap() {
        End::Itself(last) => {
            let told = last["error"]["message"].as_str().unwrap();
            assert!(
                told.contains("letter") && told.contains("Make room"),
                "{last}"
            );
        }
        End::Killed => panic!("killed"),
    }
    // The server knows the cards; they are not finished, and no part of a letter is there.
    let left: Vec<_> = std::fs::read_dir(desk.file("letters")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(desk.taken <= 2);
    std::fs::remove_file(&filler).unwrap();
    ended_well(&desk.run(&[], None).unwrap());
    desk.check(PEOPLE).unwrap();
    // Each card that is finished tells how fast it goes; after the last one nothing is left.
    let events = desk.events();
    let done: Vec<_> = events.iter().filter(|e| e["event"] == "done").collect();
    assert_eq!(done.len(), PEOPLE, "{events:?}");
    for event in &done {
        assert_eq!(event["of"], PEOPLE);
        assert!(event["cards_an_hour"].as_f64().unwrap() > 0.0, "{event}");
        let left = event["seconds_left"].as_u64().unwrap();
        assert!(left == 0 || event["done"] != PEOPLE, "{event}");
    }
    assert!(done.iter().any(|e| e["done"] == PEOPLE), "{events:?}");
    let letters = desk.file("letters");
    succeed("umount", &["-l", letters.to_str().unwrap()]);
}

#[test]
fn what_is_wrong_is_said_before_a_card_is_asked_for() {
    let mut desk = IssuingStation::start(1, scene::seed(), |_| Ok(())).unwrap();
    let list = desk.file("people.csv");
    let good = std::fs::read_to_string(&list).unwrap();
    let told = |desk: &mut IssuingStation, more: &[&str]| match desk.run(more, None).unwrap() {
        End::Itself(last) => {
            assert_eq!(last["error"]["code"], "usage", "{last}");
            last["error"]["message"].as_str().unwrap().to_owned()
        }
        End::Killed => panic!("killed"),
    };
    std::fs::write(&list, format!("{good}x,y\n,z,12\n")).unwrap();
    let words = told(&mut desk, &[]);
    assert!(
        words.contains("line 3") && words.contains("line 4"),
        "{words}"
    );
    std::fs::write(&list, &good).unwrap();
    // A letter of a card that was not begun is somebody's.
    let subscriber = good
        .lines()
        .nth(1)
        .unwrap()
        .split(',')
        .rev()
        .nth(1)
        .unwrap();
    let letters = desk.file("letters");
    assert!(letters.is_dir() || std::fs::create_dir(&letters).is_ok());
    let private = std::os::unix::fs::PermissionsExt::from_mode;
    std::fs::set_permissions(&letters, private(0o755)).unwrap();
    let words = told(&mut desk, &[]);
    assert!(words.contains("chmod 700"), "{words}");
    std::fs::set_permissions(&letters, private(0o700)).unwrap();
    let letter = letters.join(format!("letter-{subscriber}.txt"));
    std::fs::write(&letter, "Your simsync card").unwrap();
    let words = told(&mut desk, &[]);
    assert!(words.contains("none is overwritten"), "{words}");
    std::fs::remove_file(&letter).unwrap();
    let words = told(&mut desk, &["--sign-key", list.to_str().unwrap()]);
    assert!(words.contains("genpkey"), "{words}");
    assert_eq!(desk.taken, 0);
    // A secret for all cards beside a key for each.
    let both = desk.terminal.card_tool(
        &[
            "provision",
            "--batch",
            "x",
            "--server",
            "s",
            "--ca-pin",
            "c",
            "--transport-secret-fd",
            "7",
        ],
        &Secrets::give("--transport-key-fd", "x"),
    );
    assert_eq!(both.unwrap().code, 2);
}
