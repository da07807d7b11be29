//! Against the bridge's card manager (`blank-gp`), which was written by another hand from the same specifications: the
//! real applet goes onto a blank card.
//!
//! These tests play the reader themselves. They need the bridge (`mvn -q package` in `javacard-applet/`).

#![allow(clippy::unwrap_used, clippy::panic)] // A failed step of a test is a panic.

#[path = "../../../card/tests/applet/bridge.rs"]
#[allow(dead_code)] // Of use to the applet's own tests.
mod bridge;
#[path = "../card/chip.rs"]
#[allow(dead_code)] // Of use to the card that is written in Rust.
mod chip;
mod station;

/// What `bridge` makes its cards with.
mod life {
    pub const SECRET: [u8; 16] = *b"transport secret";
}

use life::SECRET;
use simsync_card::client::{Applet, Lifecycle, Personalisation, Pin, Puk, TransportSecret};
use simsync_card::ids::{Hash, SubscriberId};
use simsync_globalplatform::domain;
use simsync_globalplatform::error::GpError;
use simsync_globalplatform::install::{self, Wishes};
use simsync_globalplatform::keys::Diversification;
use simsync_globalplatform::keys::{Key, KeySet};
use simsync_globalplatform::registry::{Registry, card_state_name};
use simsync_globalplatform::session::{Access, initialize_update, open_domain};
use station::{Station, access, hex_of, keys};

const REPLACE: Wishes = Wishes {
    replace: true,
    destroy_keys: false,
};
const DESTROY: Wishes = Wishes {
    replace: true,
    destroy_keys: true,
};

#[test]
fn installs_in_every_variant() {
    let station = Station::new();
    let (a, b, c) = (
        "000102030405060708090a0b0c0d0e0f",
        "101112131415161718191a1b1c1d1e1f",
        "202122232425262728292a2b2c2d2e2f",
    );
    let three = |times: usize| [a.repeat(times), b.repeat(times), c.repeat(times)];
    let mut cards: Vec<(String, [String; 3])> = Vec::new();
    for i in ["00", "10", "20", "30", "60", "70"] {
        cards.push((format!("scp=03 i={i}"), three(1)));
    }
    cards.push(("scp=03 i=70".to_owned(), three(2)));
    // 24 bytes.
    cards.push((
        "scp=03 i=70".to_owned(),
        three(2).map(|k| k[..48].to_owned()),
    ));
    for i in ["15", "55"] {
        cards.push((format!("scp=02 i={i}"), three(1)));
    }
    for (made, [enc, mac, dek]) in cards {
        let what = format!("{made} enc={enc} mac={mac} dek={dek}");
        let card = station.blank(&what);
        let keys = keys(&enc, &mac, &dek);
        let selected = station.install(&card, &access(&keys), Wishes::default());
        let selected = selected.unwrap_or_else(|e| panic!("{what}: {e}")).unwrap();
        assert_eq!(
            (selected.version, selected.lifecycle),
            ((1, 1), Lifecycle::Installed)
        );
        personalise(&station, &card);
    }
}

/// The applet that was installed takes the transport secret that went with it, and no other.
fn personalise(station: &Station, card: &str) {
    let mut applet = Applet::new(station.insert(card));
    applet.select().unwrap();
    let data = Personalisation {
        subscriber: "0011223344556677".parse::<SubscriberId>().unwrap(),
        label: "desk".to_owned(),
        server: "sync.example.org".to_owned(),
        ca_pin: Hash([7; 32]),
        pin: Pin::parse(b"1234").unwrap(),
        puk: Puk::parse(b"12345678").unwrap(),
        contactless: false,
        pin_due: false,
    };
    assert!(
        applet
            .personalise(&TransportSecret::new([0; 16]), &data)
            .is_err()
    );
    applet
        .personalise(&TransportSecret::new(SECRET), &data)
        .unwrap();
}

/// The issuer's side of diversification, written anew.
fn card_key(scheme: Diversification, master: &[u8], kdd: &[u8], number: u8) -> Vec<u8> {
    let halves = |six: [&[u8]; 2]| -> Vec<u8> {
        [0xF0, 0x0F]
            .iter()
            .flat_map(|f| chip::des3_block(master, &[six[0], six[1], &[*f, number]].concat()))
            .collect()
    };
    match scheme {
        Diversification::Kdf3 => {
            let text = |counter: u8| [&[counter, 0, 0, 0, number, 0], kdd].concat();
            let mut key = chip::cmac(master, &text(1));
            key.extend(chip::cmac(master, &text(2)));
            key.truncate(master.len());
            key
        }
        Diversification::Emv => halves([&kdd[4..], &[]]),
        Diversification::Visa2 => halves([&kdd[..2], &kdd[4..8]]),
    }
}

#[test]
fn installs_with_diversified_keys() {
    let station = Station::new();
    let kdd: [u8; 10] = [0x21, 0x43, 0x65, 0x87, 0x09, 0xBA, 0xDC, 0xFE, 0x10, 0x32];
    for (scheme, scp, length) in [
        (Diversification::Kdf3, "03", 16),
        (Diversification::Kdf3, "03", 32),
        (Diversification::Emv, "02", 16),
        (Diversification::Visa2, "02", 16),
    ] {
        let master: Vec<u8> = (0x50..).take(length).collect();
        let [enc, mac, dek] = [1, 2, 3].map(|n| hex_of(&card_key(scheme, &master, &kdd, n)));
        let card = station.blank(&format!(
            "scp={scp} kdd={} enc={enc} mac={mac} dek={dek}",
            hex_of(&kdd)
        ));
        let masters = KeySet::same(Key::new(&master).unwrap());
        let undiversified = station.install(&card, &access(&masters), Wishes::default());
        assert!(
            matches!(undiversified, Err(GpError::WrongKeys { .. })),
            "{scheme}"
        );
        let diversified = Access {
            diversification: Some(scheme),
            ..access(&masters)
        };
        station
            .install(&card, &diversified, Wishes::default())
            .unwrap()
            .unwrap();
    }
}

#[test]
fn wrong_keys_spend_no_try() {
    let station = Station::new();
    for scp in ["02", "03"] {
        let card = station.blank(&format!("scp={scp} tries=1"));
        let wrong = KeySet::same(Key::new(&[0x77; 16]).unwrap());
        for _ in 0..5 {
            let result = station.install(&card, &access(&wrong), Wishes::default());
            assert!(matches!(result, Err(GpError::WrongKeys { .. })));
        }
        let right = KeySet::public_test_keys();
        station
            .install(&card, &access(&right), Wishes::default())
            .unwrap()
            .unwrap();
    }
}

#[test]
fn a_failed_authentication_blocks_after_the_last_try_and_is_told() {
    let station = Station::new();
    let keys = KeySet::public_test_keys();
    for scp in ["02", "03"] {
        let card = station.blank(&format!("scp={scp} tries=2"));
        for _ in 0..2 {
            let altered = station::Meddled(station.insert(&card));
            let result = open_domain(altered, &access(&keys), &[1; 8]).map(drop);
            assert!(matches!(result, Err(GpError::AuthenticationRefused { .. })));
        }
        // Nothing helps any more, and it is not tried.
        let result = station.install(&card, &access(&keys), Wishes::default());
        assert!(matches!(result, Err(GpError::Blocked)), "{result:?}");
    }
}

#[test]
fn causes_have_their_sentences() {
    let station = Station::new();
    let keys = KeySet::public_test_keys();
    let fails = |made: &str| {
        let card = station.blank(made);
        station
            .install(&card, &access(&keys), Wishes::default())
            .unwrap_err()
    };
    let error = fails("memory=500");
    assert!(matches!(error, GpError::Memory { .. }), "{error}");
    let error = fails("api=2.2.2");
    assert!(matches!(error, GpError::TooOld), "{error}");
    let error = fails("state=CARD_LOCKED");
    assert!(matches!(error, GpError::Locked), "{error}");
    let error = fails("state=TERMINATED");
    assert!(matches!(error, GpError::Terminated), "{error}");
    let card = station.blank("kvn=30");
    let other = Access {
        key_version: 0x31,
        ..access(&keys)
    };
    let error = station
        .install(&card, &other, Wishes::default())
        .unwrap_err();
    assert!(matches!(error, GpError::NoSuchKeys(0x31)), "{error}");
}

#[test]
fn what_is_there_is_left_replaced_or_deleted() {
    let station = Station::new();
    let keys = KeySet::public_test_keys();
    let access = access(&keys);
    let card = station.blank("");
    station
        .install(&card, &access, Wishes::default())
        .unwrap()
        .unwrap();
    // There already: nothing is done.
    assert!(
        station
            .install(&card, &access, Wishes::default())
            .unwrap()
            .is_none()
    );
    personalise(&station, &card);
    station.install(&card, &access, REPLACE).unwrap().unwrap();
    personalise(&station, &card);

    station.enrol(&card);
    let result = station.install(&card, &access, REPLACE);
    assert!(matches!(result, Err(GpError::InUse { .. })));
    let remove = |wishes| install::remove(station.insert(&card), &access, &[3; 8], wishes);
    assert!(matches!(
        remove(Wishes::default()),
        Err(GpError::InUse { .. })
    ));
    assert_eq!(remove(DESTROY).unwrap().len(), 2);
    assert_eq!(remove(DESTROY).unwrap(), []);
    station
        .install(&card, &access, Wishes::default())
        .unwrap()
        .unwrap();
    // A new applet, with keys of its own to be made.
    personalise(&station, &card);
}

#[test]
fn the_registry_and_what_the_card_tells_of_itself() {
    let station = Station::new();
    let keys = KeySet::public_test_keys();
    let card = station.blank("kdd=00112233445566778899 kvn=30 state=SECURED");
    let mut reader = station.insert(&card);
    let found = domain::select_issuer_domain(&mut reader).unwrap();
    assert_eq!(found.aid.to_string(), "A000000151000000");
    assert_eq!(found.card_data.unwrap().variant(3), Some(0x70));
    assert!(domain::production_data(&mut reader).unwrap().is_some());
    let told = domain::key_information(&mut reader).unwrap();
    assert!(
        told.iter()
            .all(|k| k.version == 0x30 && k.kind_name() == "AES")
            && told.len() == 3
    );
    for _ in 0..20 {
        let challenge = initialize_update(&mut reader, 0, &[5; 8]).unwrap();
        assert_eq!(
            hex_of(&challenge.diversification_data),
            "00112233445566778899"
        );
        assert_eq!((challenge.key_version, challenge.scp), (0x30, 3));
    }
    drop(reader);
    station
        .install(&card, &access(&keys), Wishes::default())
        .unwrap()
        .unwrap();
    let (_, mut session) = open_domain(station.insert(&card), &access(&keys), &[6; 8]).unwrap();
    let registry = Registry::read(&mut session).unwrap();
    assert_eq!(card_state_name(registry.domain.unwrap().state), "SECURED");
    let ours: Vec<_> = registry
        .applications
        .iter()
        .filter_map(|e| e.aid.our_name())
        .collect();
    assert_eq!(ours, ["simsync applet"]);
    let ours: Vec<_> = registry
        .load_files
        .iter()
        .filter_map(|e| e.aid.our_name())
        .collect();
    assert_eq!(ours, ["simsync package"]);
}

#[test]
fn cut_at_any_command_it_is_repeated_and_ends_installed() {
    let station = Station::new();
    let keys = KeySet::public_test_keys();
    let access = access(&keys);
    let whole = station.blank("");
    station
        .install(&whole, &access, Wishes::default())
        .unwrap()
        .unwrap();
    let commands = station.commands(&whole);
    assert!(commands > 10, "{commands}");
    for at in 1..=commands {
        for kind in ["yank", "yank-before"] {
            let card = station.blank("");
            let error = station
                .install_yanked(&card, &access, kind, at)
                .unwrap_err();
            assert!(error.transport().is_some(), "{kind} {at}: {error}");
            let again = station.install(&card, &access, Wishes::default());
            // Where all was done but the last answer, it is told that it is there.
            if again
                .unwrap_or_else(|e| panic!("{kind} {at}: {e}"))
                .is_none()
            {
                // INSTALL was done: what is missing are four answers to GET STATUS, and SELECT.
                assert!(at + 5 >= commands, "{kind} {at} of {commands}");
            }
            personalise(&station, &card);
        }
    }
}
