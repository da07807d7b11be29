//! What a card answers, and the texts of its world.

use std::collections::VecDeque;

use simsync_card::apdu::{Command, Response};
use simsync_card::client::{Applet, OpenRequest, Pin, SignDomain, Slot, Slots, TransportSecret};
use simsync_card::ids::{CardId, Hash, Point, SubscriberId, TerminalId};
use simsync_card::sign::{self, Sig};
use simsync_card::sim::{self, is_iccid};
use simsync_card::text::Domain;
use simsync_card::transport::{Transcript, Transport, TransportError};

use super::vectors::{CARD, card_sig, statement, terminal};

/// A card that says what it was told to, then is gone.
struct Scripted(VecDeque<Vec<u8>>);

impl Scripted {
    fn new(bytes: &[u8]) -> Self {
        Self(pieces(bytes))
    }
}

/// Answers with their length in a byte before each.
pub(super) fn pieces(mut bytes: &[u8]) -> VecDeque<Vec<u8>> {
    let mut answers = VecDeque::new();
    while let Some((length, rest)) = bytes.split_first() {
        let (answer, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        answers.push_back(answer.to_vec());
        bytes = rest;
    }
    answers
}

impl Transport for Scripted {
    fn transmit(&mut self, _: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.0.pop_front().ok_or(TransportError::RemovedCard)
    }
}

/// A byte for the command, then the answers.
pub fn answers(input: &[u8]) -> bool {
    let (&which, rest) = input.split_first().unwrap_or((&0, &[]));
    let mut applet = Applet::new(Scripted::new(rest));
    let (point, hash) = (terminal().point(), Hash([1; 32]));
    let Ok(pin) = Pin::parse(b"1234") else {
        return false;
    };
    let result = match which % 16 {
        0 => applet.select().map(drop),
        1 => applet.get_challenge().map(drop),
        2 => applet.pin_state().map(drop),
        3 => applet.read_info().map(|info| {
            assert!(info.label.len() <= 255 && info.server.len() <= 255);
        }),
        4 => applet.read_keys(&[1; 32]).map(drop),
        5 => applet.terminals().map(|t| assert!(t.len() <= 16)),
        6 => applet.unsettled_sessions().map(|s| assert!(s.len() <= 16)),
        7 => applet.add_terminal(&point, "desk", &hash).map(drop),
        8 => applet.sign(SignDomain::KeyObject, &hash).map(drop),
        9 => applet
            .generate_keys(&TransportSecret::new([0x5a; 16]), &[1; 32])
            .map(drop),
        10 => applet.verify(&pin),
        11 => applet.change_pin(&pin, &pin),
        12 => Slot::new(which >> 4).map_or(Ok(()), |slot| applet.terminal(slot).map(drop)),
        _ => session(&mut applet),
    };
    if let Err(error) = &result {
        // It is shown to a person.
        assert!(error.to_string().len() < 300);
    }
    result.is_ok()
}

/// A session, and what its token is good for.
fn session(applet: &mut Applet<Scripted>) -> Result<(), simsync_card::client::CardError> {
    let hash = Hash([1; 32]);
    let opened = applet.open_session(&OpenRequest {
        terminal: statement().terminal,
        binding: hash,
        hpke: terminal().point(),
        sig: &statement().sig,
    })?;
    assert_eq!(opened.secret.len(), 32);
    assert!(opened.unsettled.iter().count() <= 16);
    applet.renew(&opened.token, &hash)?;
    if let Some(head) = &opened.head {
        applet.put_head(&opened.token, head, Slots::EMPTY)?;
    }
    Ok(())
}

pub fn answer_samples() -> Vec<Vec<u8>> {
    let sig = statement().sig;
    let sig = [&[sig.as_der().len() as u8][..], sig.as_der()].concat();
    let point = card_sig().point();
    let script = |which: u8, answers: &[&[u8]]| {
        let mut out = vec![which];
        for answer in answers {
            let answer = [answer, &[0x90, 0x00][..]].concat();
            out.push(answer.len() as u8);
            out.extend(answer);
        }
        out
    };
    let keys = [&point.0[..], &point.0, &sig].concat();
    let (first, rest) = keys.split_at(keys.len().min(200));
    let selected = [&[1, 0, 7, 3, 10, 1][..], &[8; 16], &[9; 16]].concat();
    let text = |t: &str| [&[t.len() as u8][..], t.as_bytes()].concat();
    let info = [
        &CARD.0[..],
        &text("alice"),
        &text("Blue"),
        &text("a:1"),
        &[5; 32],
    ]
    .concat();
    let listed = [&[3; 32][..], &text("desk"), &[0, 0, 0, 1]].concat();
    let unsettled = [&[2][..], &[4; 32], &[0, 0, 0, 9]].concat();
    let opened = [
        &[0, 0, 0, 3][..],
        &sig,
        &[6; 32],
        &[1],
        &[0, 0, 0, 1],
        &[0, 0, 0, 0, 0, 0, 0, 9],
        &[7; 32],
        &[0, 0, 0, 1],
        &[8; 32],
        &[0, 0, 5],
        &[9; 16],
    ]
    .concat();
    // The keys in two pieces: 61 says that more waits.
    let mut pieces = vec![4, first.len() as u8 + 2];
    pieces.extend(first);
    pieces.extend([0x61, 0x00, rest.len() as u8 + 2]);
    pieces.extend(rest);
    pieces.extend([0x90, 0x00]);
    vec![
        script(0, &[&selected]),
        script(1, &[&[8; 16]]),
        script(2, &[&[]]),
        vec![2, 2, 0x63, 0xc2],
        script(3, &[&info]),
        script(4, &[&keys]),
        pieces,
        script(5, &[&listed[..]; 16]),
        script(6, &[&unsettled]),
        script(7, &[&[&[1][..], &sig].concat()]),
        script(8, &[&sig]),
        script(10, &[&[]]),
        script(13, &[&opened, &sig, &[]]),
    ]
}

/// IDs, signatures, points, APDUs and transcripts, each with the same bytes.
pub fn text(bytes: &[u8]) -> bool {
    let mut taken = false;
    if let Ok(sig) = Sig::from_der(bytes) {
        assert_eq!(sig.as_der(), bytes);
        let text = Domain::Session.text(&CARD, &[&[0; 4]]);
        let _ = sign::verify(&terminal().point(), &text, &sig);
        taken = true;
    }
    if let Ok(point) = Point::from_slice(bytes) {
        let _ = sign::check_point(&point);
        taken = true;
    }
    if let Ok(command) = Command::decode(bytes) {
        // Short and extended lengths say the same; each is read as it is written.
        let again = Command::decode(&command.encode());
        assert_eq!(again.map(|c| c.encode()), Ok(command.encode()));
        taken = true;
    }
    if let Ok(response) = Response::decode(bytes) {
        assert_eq!(response.data.len() + 2, bytes.len());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Some(transcript) = Transcript::parse(text) {
            assert!(Transcript::parse(&transcript.to_string()) == Some(transcript));
            taken = true;
        }
        if let Ok(id) = text.parse::<SubscriberId>() {
            assert_eq!(id.as_str(), text);
            taken = true;
        }
        if let Ok(id) = text.parse::<CardId>() {
            assert_eq!(id.to_string().parse(), Ok(id));
            taken = true;
        }
        if let Ok(id) = text.parse::<TerminalId>() {
            assert_eq!(id.short(), text[..8].to_ascii_lowercase());
            taken = true;
        }
        if is_iccid(text) {
            assert!((18..=20).contains(&text.len()));
            taken = true;
        }
    }
    taken
}

pub fn text_samples() -> Vec<Vec<u8>> {
    vec![
        statement().sig.as_der().to_vec(),
        terminal().point().0.to_vec(),
        vec![0x80, 0x40, 0, 0, 3, 1, 2, 3, 0],
        vec![0x00, 0xa4, 4, 0, 0, 0, 3, 1, 2, 3, 0, 0],
        b"# a card\n> 00a40400\n< 9000\n".to_vec(),
        b"alice".to_vec(),
        CARD.to_string().into_bytes(),
        TerminalId([0xab; 32]).to_string().into_bytes(),
        b"8988211000000000000".to_vec(),
    ]
}

/// A SIM's answers to whoever asks for its number.
pub fn sim(input: &[u8]) -> bool {
    let mut card = Scripted::new(input);
    match sim::read(&mut card) {
        Ok(Some(sim)) => {
            if let Some(digits) = sim.iccid.digits() {
                assert!(is_iccid(digits), "{digits}");
            }
            true
        }
        _ => false,
    }
}

pub fn sim_samples() -> Vec<Vec<u8>> {
    let answer = |data: &[u8]| {
        let mut out = vec![data.len() as u8 + 2];
        out.extend(data);
        out.extend([0x90, 0x00]);
        out
    };
    let iccid = [0x98, 0x10, 0, 0, 0, 0, 0, 0, 0x08, 0xf1];
    let (found, refused) = (answer(&[0x62, 0]), vec![2, 0x6a, 0x82]);
    let usim = [0x61, 9, 0x4f, 7, 0xa0, 0, 0, 0, 0x87, 0x10, 0x02];
    let number = [&found[..], &answer(&[]), &answer(&iccid), &answer(&[])].concat();
    let application = [
        &answer(&[])[..],
        &answer(&usim),
        &answer(&[0x62, 0]),
        &[2, 0x63, 0xc3],
        &answer(&[]),
        &answer(&[8, 0x29, 0x26, 0x24, 0x10, 0x32, 0x54, 0x76, 0x98]),
    ]
    .concat();
    vec![
        [&number[..], &refused].concat(),
        [&number[..], &application].concat(),
        [refused.clone(), refused].concat(),
    ]
}
