//! The applet over a modem's logical channel, on a real pseudo-terminal: a whole life with the model, and modems that do
//! what they must not.

#![allow(clippy::unwrap_used, clippy::panic)] // A failed step of a test is a panic.

#[path = "../../../tests/src/rig/modem.rs"]
#[allow(dead_code)]
mod fake;
#[path = "applet/life.rs"]
mod life;

use std::path::Path;
use std::time::Duration;

use fake::{Manner, Modem};
use life::{SECRET, whole_life};
use simsync_card::client::Applet;
use simsync_card::model::Model;
use simsync_card::modem::{Deadlines, ModemCard, ModemError};
use simsync_card::transport::{Transport, TransportError};

/// For modems that answer.
const PATIENT: Deadlines = Deadlines {
    greeting: Duration::from_secs(20),
    answer: Duration::from_secs(20),
    closing: Duration::from_secs(20),
};
/// For those that do not.
const SHORT: Deadlines = Deadlines {
    greeting: Duration::from_millis(50),
    answer: Duration::from_millis(50),
    closing: Duration::from_millis(50),
};
const GET_CHALLENGE: [u8; 5] = [0x80, 0x84, 0x00, 0x00, 0x00];

fn modem() -> Modem {
    Modem::start(Model::soft(SECRET)).unwrap()
}

fn open(modem: &Modem) -> ModemCard {
    ModemCard::open(modem.device(), PATIENT).unwrap()
}

/// What an APDU fails with.
fn failure(card: &mut ModemCard) -> ModemError {
    match card.transmit(&GET_CHALLENGE) {
        Err(TransportError::Modem(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// What opening fails with.
fn refusal(device: &Path, deadlines: Deadlines) -> ModemError {
    match ModemCard::open(device, deadlines) {
        Err(error) => error,
        Ok(_) => panic!("it was opened"),
    }
}

#[test]
fn m18_a_whole_life_over_a_modems_channel() {
    for manner in [Manner::Good, Manner::Chatty] {
        let modem = modem();
        modem.behave(manner);
        let card = whole_life(open(&modem));
        // The applet saw the channel's number in every class.
        assert_eq!(
            modem.classes().into_iter().collect::<Vec<_>>(),
            [0x01, 0x81]
        );
        assert!(modem.is_open());
        drop(card);
        assert!(!modem.is_open());
    }
}

#[test]
fn the_channel_is_closed_and_opened_anew_and_another_one_waits() {
    let modem = modem();
    let first = open(&modem);
    // A second program: the port is this one's alone, or at least the channel is.
    let error = refusal(modem.device(), PATIENT);
    assert!(
        matches!(error, ModemError::Taken(_) | ModemError::NoApplet(_)),
        "{error}"
    );
    drop(first);
    let mut again = Applet::new(open(&modem));
    assert!(again.select().is_ok());
}

#[test]
fn a_channel_that_was_left_open_is_closed_by_its_name_only() {
    let modem = modem();
    let first = open(&modem);
    let name = first.session();
    // As if its program had ended in the middle.
    modem.behave(Manner::Deaf);
    drop(first);
    modem.behave(Manner::Good);
    assert!(modem.is_open());
    for wrong in [None, Some(name + 1)] {
        let error = ModemCard::open_after(modem.device(), PATIENT, wrong).map(|_| ());
        assert!(matches!(error, Err(ModemError::NoApplet(_))), "{error:?}");
    }
    let card = ModemCard::open_after(modem.device(), PATIENT, Some(name)).unwrap();
    card.close().unwrap();
    assert!(!modem.is_open());
    // A name that nobody has any more does no harm.
    let mut again = ModemCard::open_after(modem.device(), PATIENT, Some(99)).unwrap();
    assert_eq!(again.transmit(&GET_CHALLENGE).unwrap().len(), 18);
}

#[test]
fn what_a_modem_says_no_with_has_a_sentence() {
    for (how, wanted) in [
        ("+CME ERROR: 10", "no SIM in the modem"),
        ("+CME ERROR: 11", "its own PIN"),
        ("+CME ERROR: 12", "its own PIN"),
        ("+CME ERROR: 22", "not found"),
        ("+CME ERROR: SIM busy", "no simsync applet"),
        ("+CMS ERROR: 310", "no simsync applet"),
        ("ERROR", "no simsync applet"),
    ] {
        let modem = modem();
        modem.behave(Manner::Refuses(how));
        let error = refusal(modem.device(), PATIENT).to_string();
        assert!(error.contains(wanted), "{how}: {error}");
    }
    let modem = modem();
    modem.behave(Manner::Without);
    let error = refusal(modem.device(), PATIENT);
    assert!(matches!(error, ModemError::NoChannels(_)), "{error}");
}

#[test]
fn a_sim_without_the_applet_is_told() {
    struct Nobody;
    impl Transport for Nobody {
        fn transmit(&mut self, _: &[u8]) -> Result<Vec<u8>, TransportError> {
            Ok(vec![0x6A, 0x82])
        }
    }
    let modem = Modem::start(Nobody).unwrap();
    let error = refusal(modem.device(), PATIENT);
    assert!(matches!(error, ModemError::NoApplet(_)), "{error}");
}

#[test]
fn a_refused_command_is_an_answer_and_the_channel_goes_on() {
    let modem = modem();
    let mut card = open(&modem);
    modem.behave(Manner::Refuses("+CME ERROR: 13"));
    let error = failure(&mut card);
    assert!(error.to_string().contains("SIM failure"), "{error}");
    modem.behave(Manner::Refuses("+CME ERROR: 10"));
    assert!(matches!(failure(&mut card), ModemError::NoSim));
    modem.behave(Manner::Good);
    assert_eq!(card.transmit(&GET_CHALLENGE).unwrap().len(), 18);
}

#[test]
fn hostile_answers_are_refused_and_nothing_after_them_is_believed() {
    let flood = b"\r\n+CREG: 1\r\n".repeat(500);
    let cases: [(&[u8], &str); 12] = [
        (b"\r\nOK\r\n", "no answer of the card"),
        (
            b"\r\n+CGLA: 4,\"9000\"\r\n+CGLA: 4,\"9000\"\r\nOK\r\n",
            "or two",
        ),
        (b"\r\n+CGLA: 4\r\nOK\r\n", "no length"),
        (b"\r\n+CGLA: 6,\"9000\"\r\nOK\r\n", "the length"),
        (b"\r\n+CGLA: 4,\"90zz\"\r\nOK\r\n", "hexadecimal"),
        (b"\r\n+CGLA: 2,\"90\"\r\nOK\r\n", "status word"),
        (b"\r\n+CGLA: 0,\"\"\r\nOK\r\n", "status word"),
        (b"\r\n\xFF\xFE\x00\r\nOK\r\n", "no text"),
        (b"\x01\x02\x03\x04", "did not answer"),
        (b"\r\n+CGLA: 4,\"9000\"\r\n", "did not answer"),
        (&[b'A'; 5000], "too much"),
        (&flood, "too much"),
    ];
    for (bytes, wanted) in cases {
        let modem = modem();
        let mut card = open(&modem);
        if wanted == "did not answer" {
            card.set_deadlines(SHORT);
        }
        modem.behave(Manner::Says(bytes.to_vec()));
        let error = failure(&mut card).to_string();
        assert!(error.contains(wanted), "{wanted}: {error}");
        card.set_deadlines(PATIENT);
        // Even if all is well from now on: what comes may belong to what was asked before.
        modem.behave(Manner::Good);
        assert!(matches!(failure(&mut card), ModemError::Broken));
    }
}

#[test]
fn a_modem_that_is_silent_or_gone_is_told_in_time() {
    let modem = modem();
    let mut card = open(&modem);
    card.set_deadlines(SHORT);
    modem.behave(Manner::Silent);
    assert!(matches!(failure(&mut card), ModemError::Silent(_)));
    drop(card);

    let leaves = self::modem();
    let mut card = open(&leaves);
    leaves.behave(Manner::Leaves);
    assert!(matches!(failure(&mut card), ModemError::Gone));
    assert!(matches!(failure(&mut card), ModemError::Broken));

    let mut unplugged = self::modem();
    let mut card = open(&unplugged);
    unplugged.unplug();
    assert!(matches!(failure(&mut card), ModemError::Gone));

    let dead = self::modem();
    dead.behave(Manner::Dead);
    assert!(matches!(
        refusal(dead.device(), SHORT),
        ModemError::Silent(_)
    ));
}

#[test]
fn what_is_no_modem_is_told() {
    for (device, wanted) in [
        ("/nonexistent/ttyUSB0", "cannot be opened"),
        ("/dev/null", "no serial port"),
    ] {
        let error = refusal(Path::new(device), SHORT).to_string();
        assert!(error.contains(wanted), "{device}: {error}");
    }
}
