//! The client against scripted answers: what well-formed ones mean. Those that are not are in `hostile`.

mod hostile;

use super::*;
use crate::sign::SecretKey;
use crate::text::CardKeys;
use crate::transport::TransportError;

/// Answers every command with the same bytes and keeps the last command.
struct Scripted {
    answer: Vec<u8>,
    last: Vec<u8>,
}

impl Transport for Scripted {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.last = apdu.to_vec();
        // A chain that never ends has its own test.
        if apdu.get(1) == Some(&0xC0) {
            return Ok(vec![0x6F, 0x00]);
        }
        Ok(self.answer.clone())
    }
}

fn applet(data: &[u8], sw: u16) -> Applet<Scripted> {
    let mut answer = data.to_vec();
    answer.extend_from_slice(&sw.to_be_bytes());
    Applet::new(Scripted {
        answer,
        last: Vec::new(),
    })
}

fn signature() -> Vec<u8> {
    let mut lv = vec![70];
    lv.extend([0x30; 70]);
    lv
}

fn pin() -> Pin {
    Pin::parse(b"1234").unwrap()
}

fn puk() -> Puk {
    Puk::parse(b"12345678").unwrap()
}

fn secret() -> TransportSecret {
    TransportSecret::new([0x5A; 16])
}

fn values() -> Personalisation {
    Personalisation {
        subscriber: "alice".parse().unwrap(),
        label: "Blue".to_owned(),
        server: "a:1".to_owned(),
        ca_pin: Hash([0xCA; 32]),
        pin: pin(),
        puk: puk(),
        contactless: false,
        pin_due: true,
    }
}

fn head() -> HeadRecord {
    HeadRecord {
        epoch: 0x0102_0304,
        sequence: 0x0506_0708_090A_0B0C,
        head: Hash([0xAA; 32]),
        list_number: 0x0D0E_0F10,
        list_hash: Hash([0xBB; 32]),
        closed: true,
    }
}

fn selected_answer() -> Vec<u8> {
    let mut answer = vec![1, 0, 7, 3, 10, 3];
    answer.extend([0xC1; 16]);
    answer.extend([0xD2; 16]);
    answer
}

fn session_answer(about: u8) -> Vec<u8> {
    session_answer_by(
        about,
        &[0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0, 0, 0, 8],
    )
}

fn session_answer_by(is_set: u8, writer: &[u8]) -> Vec<u8> {
    let mut answer = vec![0, 0, 0, 9];
    answer.extend(signature());
    answer.extend([0x5E; 32]);
    answer.push(is_set);
    answer.extend([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    answer.extend([0xAA; 32]);
    answer.extend([13, 14, 15, 16]);
    answer.extend([0xBB; 32]);
    answer.push(1);
    answer.extend(writer);
    answer.extend([0x80, 0x01]);
    answer.extend([0x70; 16]);
    answer
}

fn open_request(sig: &Sig) -> OpenRequest<'_> {
    OpenRequest {
        terminal: TerminalId([1; 32]),
        binding: Hash([2; 32]),
        hpke: Point([4; 65]),
        sig,
    }
}

/// A command, as a function that runs it and forgets the result.
type Run<T = Scripted> = fn(&mut Applet<T>) -> Result<(), CardError>;

/// Every command: its name, how it is run, and an answer that fits.
fn commands<T: Transport>() -> Vec<(&'static str, Run<T>, Vec<u8>)> {
    let keys = [&[4; 130][..], &signature()].concat();
    let info = [
        &[7; 16][..],
        b"\x05alice",
        b"\x04Blue",
        b"\x03a:1",
        &[0xCA; 32],
    ]
    .concat();
    let listed = [&[1; 32][..], b"\x06laptop", &[0, 0, 0, 5]].concat();
    vec![
        ("SELECT", |a| a.select().map(drop), selected_answer()),
        (
            "GET CHALLENGE",
            |a| a.get_challenge().map(drop),
            vec![3; 16],
        ),
        (
            "PERSONALISE",
            |a| a.personalise(&secret(), &values()).map(drop),
            vec![7; 16],
        ),
        (
            "GENERATE KEYS",
            |a| a.generate_keys(&secret(), &[9; 32]).map(drop),
            keys.clone(),
        ),
        ("ENROLLED", |a| a.enrolled(&secret()), vec![]),
        ("VERIFY", |a| a.verify(&pin()), vec![]),
        ("VERIFY", |a| a.pin_state().map(drop), vec![]),
        (
            "CHANGE REFERENCE DATA",
            |a| a.change_pin(&pin(), &pin()),
            vec![],
        ),
        (
            "CHANGE REFERENCE DATA",
            |a| a.change_first_pin(&pin(), &pin(), &puk()),
            vec![],
        ),
        ("RESET RETRY COUNTER", |a| a.unblock(&puk(), &pin()), vec![]),
        ("READ INFO", |a| a.read_info().map(drop), info),
        ("READ KEYS", |a| a.read_keys(&[9; 32]).map(drop), keys),
        (
            "SET SERVER",
            |a| a.set_server("b:2", &Hash([1; 32])),
            vec![],
        ),
        (
            "ADD TERMINAL",
            |a| {
                a.add_terminal(&Point([4; 65]), "laptop", &Hash([2; 32]))
                    .map(drop)
            },
            [&[15][..], &signature()].concat(),
        ),
        (
            "LIST",
            |a| a.terminal(Slot::new(3).unwrap()).map(drop),
            listed,
        ),
        (
            "READ SESSIONS",
            |a| a.unsettled_sessions().map(drop),
            [&[2][..], &[0xAB; 8], &[0, 0, 1, 0]].concat(),
        ),
        (
            "REMOVE TERMINAL",
            |a| a.remove_terminal(&TerminalId([1; 32])),
            vec![],
        ),
        (
            "OPEN SESSION",
            |a| {
                let sig = Sig::from_der(&[0x30; 70]).unwrap();
                a.open_session(&open_request(&sig)).map(drop)
            },
            session_answer(3),
        ),
        (
            "RENEW",
            |a| a.renew(&Token::new([1; 16]), &Hash([2; 32])).map(drop),
            signature(),
        ),
        (
            "PUT HEAD",
            |a| a.put_head(&Token::new([1; 16]), &head(), Slots(5)),
            vec![],
        ),
        (
            "SIGN",
            |a| a.sign(SignDomain::Erase, &Hash([1; 32])).map(drop),
            signature(),
        ),
        ("TERMINATE", |a| a.terminate(Some(&puk())), vec![]),
    ]
}

#[test]
fn the_secret_asked_for_is_the_one_named() {
    let wrong = |run: Run| run(&mut applet(&[], 0x63C2)).unwrap_err().status();
    let with = |secret| {
        Some(Status::Wrong {
            secret,
            tries_left: 2,
        })
    };
    assert_eq!(wrong(|a| a.verify(&pin())), with(Secret::Pin));
    assert_eq!(wrong(|a| a.unblock(&puk(), &pin())), with(Secret::Puk));
    assert_eq!(wrong(|a| a.terminate(Some(&puk()))), with(Secret::Puk));
    assert_eq!(wrong(|a| a.enrolled(&secret())), with(Secret::Transport));
}

#[test]
fn commands_byte_by_byte() {
    let sent = |run: Run, answer: &[u8]| {
        let mut applet = applet(answer, 0x9000);
        run(&mut applet).unwrap();
        hex::encode(applet.into_inner().last)
    };
    assert_eq!(
        sent(|a| a.select().map(drop), &selected_answer()),
        "00a4040009f053494d53594e430100"
    );
    assert_eq!(
        sent(|a| a.get_challenge().map(drop), &[0; 16]),
        "8084000000"
    );
    assert_eq!(
        sent(|a| a.verify(&pin()), &[]),
        "002000810831323334ffffffff"
    );
    assert_eq!(sent(|a| a.pin_state().map(drop), &[]), "00200081");
    assert_eq!(
        sent(|a| a.personalise(&secret(), &values()).map(drop), &[0; 16]),
        format!(
            "8010000050{}05{}04{}03{}{}{}{}0200",
            "5a".repeat(16),
            hex::encode("alice"),
            hex::encode("Blue"),
            hex::encode("a:1"),
            "ca".repeat(32),
            "31323334ffffffff",
            hex::encode("12345678")
        )
    );
    assert_eq!(
        sent(
            |a| a.put_head(&Token::new([1; 16]), &head(), Slots(0x8001)),
            &[]
        ),
        format!(
            "8044000063{}0102030405060708090a0b0c{}0d0e0f10{}018001",
            "01".repeat(16),
            "aa".repeat(32),
            "bb".repeat(32)
        )
    );
    assert_eq!(
        sent(
            |a| a.sign(SignDomain::Restore, &Hash([1; 32])).map(drop),
            &signature()
        ),
        format!("8046030020{}00", "01".repeat(32))
    );
    assert_eq!(sent(|a| a.terminate(None), &[]), "80500000");
}

#[test]
fn select_tells_versions_and_lifecycles() {
    let selected = applet(&selected_answer(), 0x9000).select().unwrap();
    assert_eq!(selected.lifecycle, Lifecycle::Enrolled);
    assert_eq!((selected.pin_tries, selected.puk_tries), (3, 10));
    assert!(selected.pin_set && selected.pin_due);
    assert_eq!(selected.challenge, [0xC1; 16]);
    for (state, set, due) in [(0, false, false), (1, true, false), (2, false, true)] {
        let mut answer = selected_answer();
        answer[5] = state;
        let selected = applet(&answer, 0x9000).select().unwrap();
        assert_eq!((selected.pin_set, selected.pin_due), (set, due), "{state}");
    }

    let mut other = selected_answer();
    other[0] = 2;
    assert!(matches!(
        applet(&other, 0x9000).select(),
        Err(CardError::Version { major: 2, minor: 0 })
    ));
    // A later version's answer may have another length.
    assert!(matches!(
        applet(&[2, 1], 0x9000).select(),
        Err(CardError::Version { major: 2, minor: 1 })
    ));
    for (byte, lifecycle) in [
        (1, Some(Lifecycle::Installed)),
        (3, Some(Lifecycle::Personalised)),
        (5, None),
        (0x7F, Some(Lifecycle::Terminated)),
    ] {
        let mut answer = selected_answer();
        answer[2] = byte;
        let found = applet(&answer, 0x9000).select().map(|s| s.lifecycle);
        assert_eq!(found.ok(), lifecycle, "{byte}");
    }
    let missing = applet(&[], 0x6A82).select().unwrap_err();
    assert_eq!(missing.status(), Some(Status::NotFound));
}

#[test]
fn f_f4_a_locked_card_has_no_applet_to_select_and_is_no_bad_model() {
    let locked = applet(&[], 0x6A81).select().unwrap_err();
    assert_eq!(locked.status(), Some(Status::NotFound));
    let bad_model = applet(&[], 0x6A81)
        .generate_keys(&secret(), &[0; 32])
        .unwrap_err();
    assert_eq!(bad_model.status(), Some(Status::Unusable));
}

#[test]
fn the_pseudonym_is_recognised() {
    let card = CardId([7; 16]);
    let alice = "alice".parse().unwrap();
    let mut answer = selected_answer();
    answer[22..].copy_from_slice(&crate::text::pseudonym(&card, &alice, &[0xC1; 16]));
    let selected = applet(&answer, 0x9000).select().unwrap();
    assert!(selected.is_card_of(&card, &alice));
    assert!(!selected.is_card_of(&card, &"bob".parse().unwrap()));
    assert!(!selected.is_card_of(&CardId([8; 16]), &alice));
}

#[test]
fn an_opened_session_has_its_head_or_none() {
    let sig = SecretKey::from_bytes(&[7; 32]).unwrap().sign(b"x");
    let opened = applet(&session_answer(3), 0x9000)
        .open_session(&open_request(&sig))
        .unwrap();
    assert_eq!(opened.n, 9);
    assert_eq!(opened.secret.as_slice(), [0x5E; 32]);
    assert_eq!(opened.unsettled, Slots(0x8001));
    assert_eq!(opened.head, Some(head()));
    let writer = HeadWriter {
        terminal: [0x77; 8],
        n: 8,
    };
    assert_eq!(opened.writer, Some(writer));
    let opened = applet(&session_answer(2), 0x9000)
        .open_session(&open_request(&sig))
        .unwrap();
    assert_eq!((opened.head, opened.writer), (None, None));
    // The record's last byte before its writer: whether the vault was closed.
    let mut open = session_answer_by(1, &[]);
    let flags = open.len() - 19;
    open[flags] = 0;
    let opened = applet(&open, 0x9000).open_session(&open_request(&sig));
    assert!(opened.unwrap().head.is_some_and(|h| !h.closed));
    // Version 1.0 of the applet does not say who wrote it.
    let opened = applet(&session_answer_by(1, &[]), 0x9000)
        .open_session(&open_request(&sig))
        .unwrap();
    assert_eq!((opened.head, opened.writer), (Some(head()), None));
    assert_eq!(opened.unsettled, Slots(0x8001));
    assert!(
        applet(&session_answer(4), 0x9000)
            .open_session(&open_request(&sig))
            .is_err()
    );
}

#[test]
fn pin_state_is_no_error() {
    let state = |sw| applet(&[], sw).pin_state();
    assert_eq!(state(0x9000).unwrap(), PinState::Verified);
    assert_eq!(
        state(0x63C1).unwrap(),
        PinState::NotVerified { tries_left: 1 }
    );
    assert_eq!(state(0x6983).unwrap(), PinState::Blocked);
    assert!(state(0x6D00).is_err());
}

#[test]
fn a_lost_session_is_told_from_a_refusal() {
    let challenge = |sw| applet(&[], sw).get_challenge().unwrap_err();
    for sw in [0x6D00, 0x6E00, 0x6986, 0x6881] {
        assert!(challenge(sw).is_session_lost(), "{sw:04x}");
    }
    for sw in [0x6982, 0x6985, 0x63C1] {
        assert!(!challenge(sw).is_session_lost(), "{sw:04x}");
    }
}

#[test]
fn empty_slots_are_none() {
    let slot = Slot::new(0).unwrap();
    assert_eq!(applet(&[], 0x6A82).terminal(slot).unwrap(), None);
    assert!(applet(&[], 0x6A82).terminals().unwrap().is_empty());
    assert!(applet(&[], 0x6982).terminals().is_err());
}

#[test]
fn sessions_are_read_in_thirteens() {
    let mut answer = vec![2];
    answer.extend([0xAB; 8]);
    answer.extend([0, 0, 1, 0]);
    let one = UnsettledSession {
        slot: Slot::new(2).unwrap(),
        terminal: [0xAB; 8],
        n: 256,
    };
    assert_eq!(
        applet(&answer.repeat(2), 0x9000)
            .unsettled_sessions()
            .unwrap(),
        [one, one]
    );
    assert!(applet(&[], 0x9000).unsettled_sessions().unwrap().is_empty());
    assert!(applet(&answer[..12], 0x9000).unsettled_sessions().is_err());
    answer[0] = 16;
    assert!(applet(&answer, 0x9000).unsettled_sessions().is_err());
}

#[test]
fn signed_keys_are_checked() {
    let (sig_key, kem_key) = (
        SecretKey::from_bytes(&[7; 32]).unwrap(),
        SecretKey::from_bytes(&[8; 32]).unwrap(),
    );
    let keys = CardKeys {
        sig: sig_key.point(),
        kem: kem_key.point(),
    };
    let (card, nonce) = (CardId([1; 16]), [2; 32]);
    let answer = |keys: &CardKeys, sig: &Sig| {
        let der = sig.as_der();
        let length = u8::try_from(der.len()).unwrap();
        let bytes = [&keys.sig.0[..], &keys.kem.0, &[length], der].concat();
        applet(&bytes, 0x9000).read_keys(&nonce).unwrap()
    };
    let sig = sig_key.sign(&crate::text::keys(&card, &keys, &nonce));
    assert_eq!(answer(&keys, &sig).of(&card, &nonce).unwrap(), keys);
    assert!(answer(&keys, &sig).of(&card, &[3; 32]).is_err());
    assert!(answer(&keys, &sig).of(&CardId([2; 16]), &nonce).is_err());
    assert!(answer(&keys, &sig).enrolled_by(&card, &nonce).is_err());
    let mut off_curve = keys;
    off_curve.kem.0[64] ^= 1;
    let sig = sig_key.sign(&crate::text::keys(&card, &off_curve, &nonce));
    assert!(answer(&off_curve, &sig).of(&card, &nonce).is_err());
}

#[test]
fn values_that_do_not_fit_are_refused_before_anything_is_sent() {
    let mut applet = applet(&[], 0x9000);
    let long = "x".repeat(65);
    assert!(matches!(
        applet.set_server(&long, &Hash([0; 32])),
        Err(CardError::Length {
            least: 1,
            most: 64,
            length: 65,
            ..
        })
    ));
    assert!(applet.set_server("", &Hash([0; 32])).is_err());
    assert!(
        applet
            .add_terminal(&Point([4; 65]), &long[..25], &Hash([0; 32]))
            .is_err()
    );
    let mut bad = values();
    bad.label = long[..33].to_owned();
    assert!(applet.personalise(&secret(), &bad).is_err());
    bad = values();
    bad.server = "x".repeat(300);
    assert!(applet.personalise(&secret(), &bad).is_err());
    assert!(applet.into_inner().last.is_empty());
}

#[test]
fn the_largest_personalisation_fits() {
    let mut large = values();
    large.subscriber = "s".repeat(32).parse().unwrap();
    large.label = "l".repeat(32);
    large.server = "a".repeat(64);
    assert!(
        applet(&[7; 16], 0x9000)
            .personalise(&secret(), &large)
            .is_ok()
    );
}
