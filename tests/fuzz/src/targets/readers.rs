//! What stands between us and the card: modems, and readers with keys of their own.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use simsync_card::modem::{Deadlines, ModemCard, ModemError, Wire};
use simsync_card::pinpad::{Control, PinPad};
use simsync_card::transport::{Transport, TransportError};

use super::card::pieces;

/// A modem that says what it was told to, piece by piece, and then nothing more.
struct Scripted(RefCell<VecDeque<Vec<u8>>>);

impl Wire for Scripted {
    fn flush(&self) -> Result<(), ModemError> {
        Ok(())
    }

    fn write(&self, _: &[u8], _: Instant) -> Result<(), ModemError> {
        Ok(())
    }

    fn read(&self, buffer: &mut [u8], _: Instant) -> Result<usize, ModemError> {
        let mut pieces = self.0.borrow_mut();
        while let Some(piece) = pieces.pop_front() {
            if !piece.is_empty() {
                buffer[..piece.len()].copy_from_slice(&piece);
                return Ok(piece.len());
            }
        }
        Err(ModemError::Silent(Duration::ZERO))
    }
}

/// Longest answer of a card: data and status word.
const ANSWER_MAX: usize = 258;

/// A channel, two commands to the applet on it, and its end.
pub fn modem(input: &[u8]) -> bool {
    let wire = Scripted(RefCell::new(pieces(input)));
    let mut card = match ModemCard::on(wire, Deadlines::default(), Some(1)) {
        Ok(card) => card,
        Err(why) => {
            // It is shown to a person.
            assert!(why.to_string().len() < 300);
            return false;
        }
    };
    assert_ne!(card.session(), 0);
    for _ in 0..2 {
        match card.transmit(&[0x00, 0x20, 0x00, 0x81]) {
            Ok(answer) => assert!((2..=ANSWER_MAX).contains(&answer.len())),
            Err(why) => assert!(why.to_string().len() < 300),
        }
    }
    if let Err(why) = card.close() {
        assert!(why.to_string().len() < 300);
    }
    true
}

pub fn modem_samples() -> Vec<Vec<u8>> {
    let script = |answers: &[&str]| -> Vec<u8> {
        let lines = answers.iter().flat_map(|a| {
            let text = format!("\r\n{a}\r\n");
            [&[text.len() as u8][..], text.as_bytes()].concat()
        });
        lines.collect()
    };
    let opened = ["OK", "OK", "OK", "+CCHO: 1\r\n\r\nOK"];
    let with = |more: &[&'static str]| script(&[&opened[..], more].concat());
    vec![
        with(&["+CGLA: 4,\"9000\"\r\nOK", "+CGLA:8,63c29000\r\nOK", "OK"]),
        with(&[
            "+CREG: 1",
            "+CGLA: 4,\"63C2\"",
            "OK",
            "+CME ERROR: 13",
            "OK",
        ]),
        script(&["ERROR", "OK", "OK", "+CME ERROR: 22", "OK", "2\r\nOK"]),
        script(&[
            "OK",
            "OK",
            "OK",
            "ERROR",
            "OK",
            "ERROR",
            "+CCHO: (1-3)\r\nOK",
        ]),
    ]
}

/// A reader that answers what it was told to, and keeps what it was sent.
struct Reader {
    answers: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

impl Control for Reader {
    fn features(&mut self) -> Result<Vec<u8>, TransportError> {
        self.answers.pop_front().ok_or(TransportError::Unsupported)
    }

    fn control(&mut self, _: u32, data: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.sent.push(data.to_vec());
        let answer = self.answers.pop_front();
        answer.ok_or(TransportError::RemovedCard)
    }
}

/// Features, properties, and what comes of two entries.
pub fn pin_pad(input: &[u8]) -> bool {
    let mut reader = Reader {
        answers: pieces(input),
        sent: Vec::new(),
    };
    let Some(pad) = PinPad::find(&mut reader) else {
        return false;
    };
    reader.sent.clear();
    for entry in [Some(pad.verify(&mut reader)), pad.modify(&mut reader)] {
        // What a person typed is not in it, whatever a reader says instead of a status word.
        if let Some(Err(why)) = entry {
            assert!(why.to_string().len() < 300);
        }
    }
    // Whatever the reader is, its place for the PIN is empty.
    assert_eq!(reader.sent.len(), 1 + usize::from(pad.can_modify()));
    assert!(reader.sent.iter().all(|s| s.ends_with(&[0xff; 8])));
    true
}

pub fn pin_pad_samples() -> Vec<Vec<u8>> {
    let script = |answers: &[&[u8]]| -> Vec<u8> {
        let with_length = answers.iter().map(|a| [&[a.len() as u8][..], a].concat());
        with_length.flatten().collect()
    };
    let feature = |tag: u8| [tag, 4, 0x42, 0x33, 0, tag];
    let both = [feature(6), feature(7), feature(10)].concat();
    vec![
        script(&[&both, &[0x10, 2, 7, 0], &[0x90, 0], &[0x63, 0xc2]]),
        script(&[&both, &[0, 0, 7, 0], &[0x64, 0], &[0x64, 1]]),
        script(&[&feature(6), &[0x69, 0x83]]),
        script(&[&[feature(18), feature(6)].concat(), b"1234"]),
    ]
}
