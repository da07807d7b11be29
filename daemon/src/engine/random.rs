//! Randomness for keys, names and nonces.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// A source of randomness that is seeded by the system.
pub fn fresh_rng() -> StdRng {
    StdRng::from_rng(&mut rand::rng())
}
