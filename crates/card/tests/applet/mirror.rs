//! A chip whose chance and keys are those of another card: read from what that card answered to the same command.

use std::cell::RefCell;
use std::rc::Rc;

use simsync_card::ids::Point;
use simsync_card::model::Chip;
use simsync_card::sign::{self, SecretKey, Sig};

use crate::life::agree;

/// What the other card answered, and what is known of it.
#[derive(Default)]
pub struct Seen {
    /// Instruction of the command.
    pub ins: u8,
    /// The answer's data.
    pub answer: Vec<u8>,
    /// The private half of the HPKE point of an OPEN SESSION, where the test knows it.
    pub hpke: Option<SecretKey>,
    keys: Option<(Point, Point)>,
    /// What the answer has that no right card would answer.
    pub wrong: Vec<String>,
}

impl Seen {
    fn part(&self, at: usize, len: usize) -> Vec<u8> {
        self.answer.get(at..at + len).unwrap_or_default().to_vec()
    }

    fn random(&self) -> Vec<u8> {
        match self.ins {
            0xA4 => self.part(6, 16),
            0x40 => self.part(self.answer.len().saturating_sub(16), 16),
            _ => self.part(0, 16),
        }
    }

    fn signature(&self) -> Vec<u8> {
        let at = match self.ins {
            0x12 | 0x22 => 130,
            0x40 => 4,
            0x30 => 1,
            _ => 0,
        };
        let len = self.answer.get(at).copied().unwrap_or(0);
        self.part(at + 1, len.into())
    }
}

/// The chip; shares what was seen with whoever drives both cards.
pub struct Mirror(pub Rc<RefCell<Seen>>);

impl Chip for Mirror {
    fn random(&mut self) -> [u8; 16] {
        self.0.borrow().random().try_into().unwrap_or([0; 16])
    }

    fn make_keys(&mut self) -> (Point, Point) {
        let mut seen = self.0.borrow_mut();
        let point = |at| Point(seen.part(at, 65).try_into().unwrap_or([0; 65]));
        let (sig, kem) = (point(0), point(65));
        for (what, point) in [("SIG", &sig), ("KEM", &kem)] {
            if sign::check_point(point).is_err() {
                seen.wrong.push(format!("the {what} key is no point"));
            }
        }
        if sig == kem {
            seen.wrong.push("one key for two purposes".to_owned());
        }
        seen.keys = Some((sig, kem));
        (sig, kem)
    }

    fn sign(&mut self, text: &[u8]) -> Vec<u8> {
        let mut seen = self.0.borrow_mut();
        let der = seen.signature();
        let right = Sig::from_der(&der).is_ok_and(|sig| {
            seen.keys
                .is_some_and(|(point, _)| sign::verify(&point, text, &sig).is_ok())
        });
        if !right && !seen.answer.is_empty() {
            seen.wrong.push("a signature does not verify".to_owned());
        }
        der
    }

    fn agree(&mut self, _point: &Point) -> [u8; 32] {
        let mut seen = self.0.borrow_mut();
        let at = 5 + usize::from(seen.answer.get(4).copied().unwrap_or(0));
        let shared: [u8; 32] = seen.part(at, 32).try_into().unwrap_or([0; 32]);
        if let (Some(secret), Some((_, kem))) = (&seen.hpke, &seen.keys)
            && agree(secret, kem) != shared
        {
            seen.wrong.push("the agreed value is another".to_owned());
        }
        shared
    }

    fn wipe(&mut self) {
        self.0.borrow_mut().keys = None;
    }
}
