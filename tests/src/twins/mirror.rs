//! A chip whose chance and keys are those of another card: read from what that card answered to the same command.

use std::cell::RefCell;
use std::rc::Rc;

use simsync_card::ids::Point;
use simsync_card::model::Chip;
use simsync_card::sign::{self, SecretKey, Sig};

/// What the other card answered, and what is known of it.
#[derive(Default)]
pub struct Seen {
    /// Instruction of the command.
    pub ins: u8,
    /// The answer's data; none if there was no answer.
    pub answer: Vec<u8>,
    /// The private half of the HPKE point of an OPEN SESSION, where the test knows it.
    pub hpke: Option<SecretKey>,
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
#[derive(Clone)]
pub struct Mirror {
    seen: Rc<RefCell<Seen>>,
    keys: Option<(Point, Point)>,
}

impl Mirror {
    pub fn new(seen: Rc<RefCell<Seen>>) -> Self {
        Self { seen, keys: None }
    }
}

impl Chip for Mirror {
    fn random(&mut self) -> [u8; 16] {
        self.seen.borrow().random().try_into().unwrap_or([0; 16])
    }

    fn make_keys(&mut self) -> (Point, Point) {
        let mut seen = self.seen.borrow_mut();
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
        self.keys = Some((sig, kem));
        (sig, kem)
    }

    fn sign(&mut self, text: &[u8]) -> Vec<u8> {
        let mut seen = self.seen.borrow_mut();
        let der = seen.signature();
        let right = Sig::from_der(&der).is_ok_and(|sig| {
            self.keys
                .is_some_and(|(point, _)| sign::verify(&point, text, &sig).is_ok())
        });
        if !right && !seen.answer.is_empty() {
            seen.wrong.push("a signature does not verify".to_owned());
        }
        der
    }

    fn agree(&mut self, _point: &Point) -> [u8; 32] {
        let mut seen = self.seen.borrow_mut();
        let at = 5 + usize::from(seen.answer.get(4).copied().unwrap_or(0));
        let shared: [u8; 32] = seen.part(at, 32).try_into().unwrap_or([0; 32]);
        if let (Some(secret), Some((_, kem)), false) =
            (&seen.hpke, &self.keys, seen.answer.is_empty())
            && agree(secret, kem) != Some(shared)
        {
            seen.wrong.push("the agreed value is another".to_owned());
        }
        shared
    }

    fn wipe(&mut self) {
        self.keys = None;
    }
}

/// The x-coordinate of ECDH, by another implementation than the card's.
fn agree(secret: &SecretKey, point: &Point) -> Option<[u8; 32]> {
    let secret = p256::SecretKey::from_slice(&*secret.to_bytes()).ok()?;
    let public = p256::PublicKey::from_sec1_bytes(&point.0).ok()?;
    let shared = p256::ecdh::diffie_hellman(secret.to_nonzero_scalar(), public.as_affine());
    Some((*shared.raw_secret_bytes()).into())
}
