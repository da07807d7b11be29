//! Installing and deleting on a card that is written here from the specification, with power that fails anywhere.

#![allow(clippy::unwrap_used, clippy::panic)] // A failed step of a test is a panic.

mod chip;
mod isd;
#[path = "../../src/cap/sample.rs"]
#[allow(dead_code)] // Of use to the crate's own tests.
mod sample;

use chip::CardKeys;
use isd::{Card, Cut, Made};
use proptest::prelude::*;
use simsync_card::client::{Lifecycle, Selected, TransportSecret};
use simsync_globalplatform::cap::CapFile;
use simsync_globalplatform::error::GpError;
use simsync_globalplatform::install::{self, InstallRequest, Prepared, Verdict, Wishes};
use simsync_globalplatform::keys::{Key, KeySet};
use simsync_globalplatform::registry::Registry;
use simsync_globalplatform::session::{Access, open_domain};

const SECRET: [u8; 16] = *b"transport secret";
const HOST: [u8; 8] = [9, 8, 7, 6, 5, 4, 3, 2];

const REPLACE: Wishes = Wishes {
    replace: true,
    destroy_keys: false,
};
const DESTROY: Wishes = Wishes {
    replace: true,
    destroy_keys: true,
};

fn cap(code: usize) -> CapFile {
    CapFile::parse(&sample::sample(code).zip()).unwrap()
}

/// The host's idea of a card's keys.
fn keys_of(keys: &CardKeys) -> KeySet {
    let [enc, mac] = [&keys.enc, &keys.mac].map(|k| Key::new(k).unwrap());
    KeySet::new(enc, mac.clone(), mac).unwrap()
}

/// What the tool does: looks, decides, installs.
fn install(
    card: &mut Card,
    keys: &KeySet,
    code: usize,
    wishes: Wishes,
) -> Result<Option<Selected>, GpError> {
    let cap = cap(code);
    let prepared = install::prepare(card, cap.version(), wishes)?;
    if let Verdict::Nothing(_) = prepared.verdict {
        return Ok(None);
    }
    perform(card, &prepared, &cap, keys, wishes).map(Some)
}

fn perform(
    card: &mut Card,
    prepared: &Prepared,
    cap: &CapFile,
    keys: &KeySet,
    wishes: Wishes,
) -> Result<Selected, GpError> {
    let order = InstallRequest {
        cap,
        access: access(keys),
        secret: &TransportSecret::new(SECRET),
        wishes,
    };
    install::perform(card, prepared, &order, &HOST, |_| {})
}

fn access(keys: &KeySet) -> Access<'_> {
    Access {
        keys,
        key_version: 0,
        diversification: None,
    }
}

fn check_installed(card: &Card, code: usize) {
    assert_eq!(card.instance, Some(SECRET));
    assert_eq!(card.load_file, Some(cap(code).load_data()));
    assert_eq!(card.tries_left, card.made.tries);
}

fn test_keys() -> KeySet {
    KeySet::public_test_keys()
}

/// Every variant that is spoken, and every length of key.
fn made() -> Vec<Made> {
    let mut all = Vec::new();
    for i in [0x00, 0x10, 0x20, 0x30, 0x60, 0x70] {
        for length in [16, 24, 32] {
            all.push(Made {
                i,
                keys: CardKeys {
                    enc: vec![0x11; length],
                    mac: vec![0x22; length],
                },
                ..Made::default()
            });
        }
    }
    for i in [0x05, 0x15, 0x45, 0x55] {
        all.push(Made {
            scp: 2,
            i,
            keys: CardKeys {
                enc: (0x10..0x20).collect(),
                mac: (0x30..0x40).collect(),
            },
            ..Made::default()
        });
    }
    all
}

#[test]
fn installs_in_every_variant() {
    for made in made() {
        let mut card = Card::new(made);
        let keys = keys_of(&card.made.keys);
        let selected = install(&mut card, &keys, 1500, Wishes::default())
            .unwrap()
            .unwrap();
        assert_eq!(selected.lifecycle, Lifecycle::Installed);
        check_installed(&card, 1500);
        assert_eq!(card.authentications, 1);
    }
}

#[test]
fn each_step_and_block_is_announced() {
    let mut card = Card::new(Made::default());
    let (cap, keys) = (cap(1500), test_keys());
    let prepared = install::prepare(&mut card, cap.version(), Wishes::default()).unwrap();
    assert_eq!(prepared.free, Some(100_000));
    let order = InstallRequest {
        cap: &cap,
        access: access(&keys),
        secret: &TransportSecret::new(SECRET),
        wishes: Wishes::default(),
    };
    let mut seen = Vec::new();
    install::perform(&mut card, &prepared, &order, &HOST, |p| {
        seen.push((p.step.to_string(), p.done, p.total));
    })
    .unwrap();
    let planned = install::plan(&cap, &[], 239).unwrap();
    for step in planned {
        let of: Vec<_> = seen.iter().filter(|s| s.0 == step.to_string()).collect();
        assert_eq!(of.first().map(|s| s.1), Some(0), "{step}");
        assert!(of.last().is_some_and(|s| s.1 == s.2), "{step}");
    }
}

#[test]
fn an_application_that_is_selected_by_default_is_no_hindrance() {
    let mut card = Card::new(Made {
        default_application: true,
        ..Made::default()
    });
    install(&mut card, &test_keys(), 300, Wishes::default())
        .unwrap()
        .unwrap();
    check_installed(&card, 300);
}

#[test]
fn a_card_that_was_changed_for_another_is_left_alone() {
    let mut blank = Card::new(Made::default());
    let mut fresh = Card::new(Made::default());
    let mut used = Card::new(Made::default());
    for card in [&mut fresh, &mut used] {
        install(card, &test_keys(), 300, Wishes::default()).unwrap();
    }
    used.lifecycle = 0x07;
    used.authentications = 0;
    for prepared in [
        install::prepare(&mut blank, (1, 0), Wishes::default()),
        install::prepare(&mut fresh, (1, 0), REPLACE),
    ] {
        let error = perform(
            &mut used,
            &prepared.unwrap(),
            &cap(500),
            &test_keys(),
            REPLACE,
        );
        assert!(matches!(error, Err(GpError::OtherCard)));
    }
    assert_eq!(used.authentications, 0);
    check_installed(&used, 300);
}

#[test]
fn what_is_there_already_is_left_without_authentication() {
    let mut card = Card::new(Made::default());
    install(&mut card, &test_keys(), 300, Wishes::default()).unwrap();
    card.power_up();
    card.authentications = 0;
    for lifecycle in [0x01, 0x03, 0x07, 0x7F] {
        card.lifecycle = lifecycle;
        assert_eq!(
            install(&mut card, &test_keys(), 300, Wishes::default()).unwrap(),
            None
        );
    }
    assert_eq!(card.authentications, 0);
}

#[test]
fn replacing_needs_the_word_and_keys_in_use_another() {
    let mut card = Card::new(Made::default());
    install(&mut card, &test_keys(), 300, Wishes::default()).unwrap();
    card.lifecycle = 0x03;
    install(&mut card, &test_keys(), 500, REPLACE)
        .unwrap()
        .unwrap();
    check_installed(&card, 500);

    card.lifecycle = 0x07;
    card.authentications = 0;
    let error = install(&mut card, &test_keys(), 700, REPLACE).unwrap_err();
    assert!(matches!(error, GpError::InUse { .. }), "{error}");
    let error =
        install::remove(&mut card, &access(&test_keys()), &HOST, Wishes::default()).unwrap_err();
    assert!(matches!(error, GpError::InUse { .. }), "{error}");
    assert_eq!(card.authentications, 0);
    check_installed(&card, 500);
    install(&mut card, &test_keys(), 700, DESTROY)
        .unwrap()
        .unwrap();
    check_installed(&card, 700);
}

#[test]
fn an_applet_that_is_hidden_is_not_deleted_without_the_word() {
    let mut card = Card::new(Made::default());
    install(&mut card, &test_keys(), 300, Wishes::default()).unwrap();
    card.applet_locked = true;
    for result in [
        install(&mut card, &test_keys(), 300, REPLACE).map(drop),
        install::remove(&mut card, &access(&test_keys()), &HOST, Wishes::default()).map(drop),
    ] {
        assert!(matches!(result, Err(GpError::InUse { .. })));
    }
    check_installed(&card, 300);
    install(&mut card, &test_keys(), 400, DESTROY)
        .unwrap()
        .unwrap();
    check_installed(&card, 400);
}

#[test]
fn wrong_keys_cost_no_try() {
    for made in made() {
        let mut card = Card::new(made);
        let wrong = KeySet::same(Key::new(&vec![0x77; card.made.keys.mac.len()]).unwrap());
        for _ in 0..12 {
            let error = install(&mut card, &wrong, 100, Wishes::default()).unwrap_err();
            assert!(matches!(error, GpError::WrongKeys { .. }), "{error}");
            let error = open_domain(&mut card, &access(&wrong), &HOST)
                .map(drop)
                .unwrap_err();
            assert!(matches!(error, GpError::WrongKeys { .. }), "{error}");
        }
        assert_eq!((card.authentications, card.tries_left), (0, 10));
    }
}

/// SCP03's cryptograms prove the key MAC alone.
#[test]
fn a_wrong_key_for_encryption_alone_is_found_out_before_anything_is_changed() {
    let mut card = Card::new(Made::default());
    let right = Key::new(&card.made.keys.mac).unwrap();
    let keys = KeySet::new(Key::new(&[0x77; 16]).unwrap(), right.clone(), right).unwrap();
    let error = install(&mut card, &keys, 100, Wishes::default()).unwrap_err();
    assert!(error.to_string().contains("key ENC"), "{error}");
    assert_eq!((card.authentications, card.tries_left), (1, 10));
    assert!(card.load_file.is_none() && card.instance.is_none());
}

/// A line on which somebody changes what goes to the card.
struct Meddled<'a>(&'a mut Card);

impl simsync_card::transport::Transport for Meddled<'_> {
    fn transmit(
        &mut self,
        apdu: &[u8],
    ) -> Result<Vec<u8>, simsync_card::transport::TransportError> {
        let mut apdu = apdu.to_vec();
        if apdu[1] == 0x82 {
            apdu[6] ^= 1;
        }
        self.0.transmit(&apdu)
    }
}

#[test]
fn one_failed_authentication_and_no_more() {
    let mut card = Card::new(Made::default());
    let error = open_domain(Meddled(&mut card), &access(&test_keys()), &HOST)
        .map(drop)
        .unwrap_err();
    assert!(
        matches!(error, GpError::AuthenticationRefused { sw: 0x6300 }),
        "{error}"
    );
    assert_eq!((card.authentications, card.tries_left), (1, 9));
    // A right one sets the counter back.
    card.power_up();
    open_domain(&mut card, &access(&test_keys()), &HOST)
        .map(drop)
        .unwrap();
    assert_eq!(card.tries_left, 10);
}

#[test]
fn a_blocked_card_is_left_alone() {
    let mut card = Card::new(Made::default());
    card.tries_left = 0;
    let error = install(&mut card, &test_keys(), 100, Wishes::default()).unwrap_err();
    assert!(matches!(error, GpError::Blocked), "{error}");
    assert_eq!(card.authentications, 0);
}

#[test]
fn causes_have_their_sentences() {
    let fails = |made: Made| {
        let mut card = Card::new(made);
        let error = install(&mut card, &test_keys(), 2000, Wishes::default()).unwrap_err();
        assert_eq!(card.instance, None);
        (error, card)
    };
    // Not enough for the code, and enough for the code alone.
    for memory in [1000, 5000] {
        let (error, _) = fails(Made {
            memory,
            ..Made::default()
        });
        let words = format!(
            "{} bytes are wanted, {memory} are free",
            cap(2000).load_data().len()
        );
        assert!(error.to_string().contains(&words), "{error}");
    }
    let (error, _) = fails(Made {
        memory: 1000,
        tells_memory: false,
        ..Made::default()
    });
    assert!(error.to_string().contains("does not tell"), "{error}");
    let (error, _) = fails(Made {
        old_java_card: true,
        ..Made::default()
    });
    assert!(matches!(error, GpError::TooOld), "{error}");
    for (state, locked) in [(0x7F, true), (0xFF, false)] {
        let (error, card) = fails(Made {
            state,
            ..Made::default()
        });
        assert_eq!(matches!(error, GpError::Locked), locked, "{error}");
        assert_eq!(card.authentications, 0);
    }
}

#[test]
fn memory_that_was_short_is_enough_after_a_larger_card_or_a_smaller_file() {
    let mut card = Card::new(Made {
        memory: 5000,
        ..Made::default()
    });
    assert!(install(&mut card, &test_keys(), 2000, Wishes::default()).is_err());
    // The load file stayed without an instance; it goes first.
    assert!(card.load_file.is_some());
    install(&mut card, &test_keys(), 300, Wishes::default())
        .unwrap()
        .unwrap();
    check_installed(&card, 300);
}

#[test]
fn cards_with_old_or_short_answers() {
    for (old_status, short_answers) in [(true, false), (false, true), (true, true)] {
        let mut card = Card::new(Made {
            old_status,
            short_answers,
            ..Made::default()
        });
        install(&mut card, &test_keys(), 300, Wishes::default())
            .unwrap()
            .unwrap();
        check_installed(&card, 300);
        let (_, mut session) = open_domain(&mut card, &access(&test_keys()), &HOST).unwrap();
        let registry = Registry::read(&mut session).unwrap();
        assert_eq!(registry.load_files.len(), 2);
        assert_eq!(registry.applications.len(), 1);
    }
}

#[test]
fn cut_at_any_command_it_is_repeated_and_ends_well() {
    for start in ["blank", "to be replaced"] {
        let prepare = || {
            let mut card = Card::new(Made::default());
            if start != "blank" {
                install(&mut card, &test_keys(), 500, Wishes::default()).unwrap();
                card.lifecycle = 0x03;
            }
            card.power_up();
            card
        };
        let wishes = if start == "blank" {
            Wishes::default()
        } else {
            REPLACE
        };
        let mut whole = prepare();
        install(&mut whole, &test_keys(), 1200, wishes)
            .unwrap()
            .unwrap();
        let commands = whole.commands;
        assert!(commands > 15, "{commands}");
        for at in 0..commands {
            for cut in [Cut::Before(at), Cut::After(at)] {
                let mut card = prepare();
                card.cut = Some(cut);
                let error = install(&mut card, &test_keys(), 1200, wishes).unwrap_err();
                assert!(error.transport().is_some(), "{error}");
                card.power_up();
                // At the very end all was done, and it is told so.
                let again = install(&mut card, &test_keys(), 1200, wishes).unwrap();
                assert!(again.is_some() || card.instance.is_some());
                check_installed(&card, 1200);
            }
        }
    }
}

#[test]
fn deleting_takes_ours_and_nothing_else() {
    let mut card = Card::new(Made::default());
    let remove =
        |card: &mut Card| install::remove(card, &access(&test_keys()), &HOST, Wishes::default());
    assert_eq!(remove(&mut card).unwrap(), []);
    install(&mut card, &test_keys(), 300, Wishes::default()).unwrap();
    assert_eq!(remove(&mut card).unwrap().len(), 2);
    assert!(card.instance.is_none() && card.load_file.is_none());

    install(&mut card, &test_keys(), 300, Wishes::default()).unwrap();
    card.power_up();
    remove(&mut card).unwrap();
    for at in 0..card.commands {
        for cut in [Cut::Before(at), Cut::After(at)] {
            card.power_up();
            install(&mut card, &test_keys(), 300, Wishes::default()).unwrap();
            card.power_up();
            card.cut = Some(cut);
            assert!(remove(&mut card).unwrap_err().transport().is_some());
            card.power_up();
            remove(&mut card).unwrap();
            assert!(card.instance.is_none() && card.load_file.is_none());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_keys_and_sizes(
        key in prop_oneof![Just(16usize), Just(24), Just(32)]
            .prop_flat_map(|n| proptest::collection::vec(any::<u8>(), 2 * n)),
        scp03: bool,
        variant in 0usize..6,
        code in 3usize..3000,
    ) {
        let half = if scp03 { key.len() / 2 } else { 16 };
        let made = Made {
            scp: if scp03 { 3 } else { 2 },
            i: if scp03 { [0x00, 0x10, 0x20, 0x30, 0x60, 0x70] } else { [0x05, 0x15, 0x55, 0x04, 0x14, 0x45] }[variant],
            keys: CardKeys { enc: key[..half].to_vec(), mac: key[key.len() - half..].to_vec() },
            ..Made::default()
        };
        let mut card = Card::new(made);
        let keys = keys_of(&card.made.keys);
        prop_assert!(install(&mut card, &keys, code, Wishes::default()).unwrap().is_some());
        check_installed(&card, code);
    }
}
