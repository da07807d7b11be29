//! What a card has besides its memory: chance and its two keys.

use p256::elliptic_curve::sec1::ToSec1Point as _;

use crate::ids::Point;
use crate::sign::SecretKey;

/// Chance and keys. The model asks for them and knows nothing else of them, so that they can also be taken from what
/// another card answered.
pub trait Chip {
    /// Random bytes: a challenge, a card ID, a token.
    fn random(&mut self) -> [u8; 16];
    /// Makes both keys; answers SIG and KEM point.
    fn make_keys(&mut self) -> (Point, Point);
    /// Signs with SIG; DER.
    fn sign(&mut self, text: &[u8]) -> Vec<u8>;
    /// The x-coordinate of ECDH with KEM; the point is on the curve.
    fn agree(&mut self, point: &Point) -> [u8; 32];
    /// Destroys the keys.
    fn wipe(&mut self);
}

/// A chip in memory. For tests and simulations: nothing protects its keys.
#[derive(Default, Clone)]
pub struct SoftChip {
    keys: Option<(SecretKey, p256::SecretKey)>,
}

fn random_key() -> [u8; 32] {
    // 256 bits from the system make a scalar in all but one of 2^32 draws; the caller's parsing tells.
    let mut bytes = [0; 32];
    fill(&mut bytes);
    bytes
}

fn fill(bytes: &mut [u8]) {
    // The system's source does not fail where this runs; zeros would show at once in the tests that compare cards.
    let _ = getrandom::fill(bytes);
}

impl Chip for SoftChip {
    fn random(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        fill(&mut bytes);
        bytes
    }

    fn make_keys(&mut self) -> (Point, Point) {
        loop {
            let (sig, kem) = (random_key(), random_key());
            if let (Ok(sig), Ok(kem)) = (
                SecretKey::from_bytes(&sig),
                p256::SecretKey::from_slice(&kem),
            ) {
                let mut point = Point([0; 65]);
                point
                    .0
                    .copy_from_slice(kem.public_key().to_sec1_point(false).as_bytes());
                let points = (sig.point(), point);
                self.keys = Some((sig, kem));
                return points;
            }
        }
    }

    fn sign(&mut self, text: &[u8]) -> Vec<u8> {
        self.keys
            .as_ref()
            .map(|(sig, _)| sig.sign(text).as_der().to_vec())
            .unwrap_or_default()
    }

    fn agree(&mut self, point: &Point) -> [u8; 32] {
        let public = p256::PublicKey::from_sec1_bytes(&point.0);
        match (&self.keys, public) {
            (Some((_, kem)), Ok(public)) => {
                let shared =
                    p256::ecdh::diffie_hellman(kem.to_nonzero_scalar(), public.as_affine());
                (*shared.raw_secret_bytes()).into()
            }
            _ => [0; 32],
        }
    }

    fn wipe(&mut self) {
        self.keys = None;
    }
}
