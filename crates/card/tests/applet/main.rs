//! A whole life by the client: with the real applet, live in the simulator and replayed from a recording of that, and with
//! the model.
//!
//! The live tests play the reader themselves: the bridge connects to them as to a virtual reader. They need the bridge
//! (`mvn -q package` in `javacard-applet/`, which `make test` does before). With `SIMSYNC_RECORD=FILE` a new recording
//! is written.

#![allow(clippy::unwrap_used, clippy::panic)] // A failed step of a test is a panic.

mod bridge;
mod life;
#[path = "../../../../tests/src/rig/modem.rs"]
#[allow(dead_code)]
mod modem;

use simsync_card::model::Model;
use simsync_card::modem::{Deadlines, ModemCard};
use simsync_card::transport::{Recorder, Replay, Transcript, Transport as _};

use bridge::Bridge;
use life::{SECRET, whole_life};

#[test]
fn a_recorded_life_replays() {
    let text = include_str!("life.apdu");
    let replay = whole_life(Replay::new(Transcript::parse(text).unwrap()));
    assert!(replay.is_finished());
}

#[test]
fn a_life_with_the_real_applet() {
    let bridge = Bridge::start();
    let recorder = whole_life(Recorder::new(bridge.insert_blank("card")));
    if let Some(file) = std::env::var_os("SIMSYNC_RECORD") {
        let text = format!(
            "# A card's whole life, recorded by tests/applet.\n{}",
            recorder.into_transcript()
        );
        std::fs::write(file, text).unwrap();
    }
}

#[test]
fn m18_a_life_with_the_real_applet_in_a_modem() {
    let bridge = Bridge::start();
    let modem = modem::Modem::start(bridge.insert_blank("card")).unwrap();
    let card = ModemCard::open(modem.device(), Deadlines::default()).unwrap();
    whole_life(card);
    // The modem put its channel into every class, the card's runtime left it there, and the applet understood.
    let classes: Vec<u8> = modem.classes().into_iter().collect();
    assert_eq!(classes, [0x01, 0x81]);
}

/// The longest short command: 4 bytes of header, Lc, 255 bytes, Le. No command of ours takes so many.
#[test]
fn f_f2_255_bytes_with_le_are_a_wrong_length_and_no_defect() {
    let bridge = Bridge::start();
    let mut card = bridge.insert_blank("card");
    let aid = [
        0x00, 0xA4, 4, 0, 9, 0xF0, 0x53, 0x49, 0x4D, 0x53, 0x59, 0x4E, 0x43, 1, 0,
    ];
    card.transmit(&aid).unwrap();
    for rest in [&[][..], &[0], &[16]] {
        let command = [&[0x80, 0x10, 0, 0, 255][..], &[7; 255], rest].concat();
        assert_eq!(card.transmit(&command).unwrap(), [0x67, 0x00], "{rest:?}");
    }
}

/// What is refused before anything is looked at, by the applet and by the model: every class, and every way to SELECT.
#[test]
fn f_f2_applet_and_model_refuse_alike() {
    let bridge = Bridge::start();
    let mut card = bridge.insert_blank("card");
    let mut model = Model::soft(SECRET);
    let aid = [0xF0, 0x53, 0x49, 0x4D, 0x53, 0x59, 0x4E, 0x43, 1];
    let select = |p2: u8| [&[0x00, 0xA4, 4, p2, 9][..], &aid, &[0]].concat();
    card.transmit(&select(0)).unwrap();
    model.transmit(&select(0)).unwrap();
    let mut alike = |command: &[u8], expected: Option<u16>| {
        let real = card.transmit(command).unwrap();
        let modelled = model.transmit(command).unwrap();
        assert_eq!(real, modelled, "{command:02x?}");
        if let Some(sw) = expected {
            assert_eq!(real, sw.to_be_bytes(), "{command:02x?}");
        }
    };
    for cla in 0..=255 {
        alike(&[cla, 0x20, 0, 0x81, 0], None);
        alike(&[cla, 0x99, 0, 0, 0], None);
    }
    for (cla, sw) in [
        (0x10, 0x6884),
        (0x0C, 0x6882),
        (0x84, 0x6882),
        (0xA0, 0x6E00),
    ] {
        alike(&[cla, 0x84, 0, 0, 0], Some(sw));
    }
    alike(&select(2), Some(0x6A82));
    for le in [0, 8, 16, 0xFF] {
        alike(&[0x00, 0x20, 0, 0x81, le], Some(0x6985));
        alike(&[0x80, 0x50, 0, 0, le], Some(0x6985));
        alike(&[0x80, 0x10, 0, 0, le], Some(0x6700));
    }
}

#[test]
fn a_life_with_the_model() {
    whole_life(Model::soft(SECRET));
}
